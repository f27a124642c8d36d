//! Bytes in the messages of a WebSocket: what the SPDY of port-forward is carried in since its clients speak WebSocket.

use super::websocket::{normal_end, socket};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::Message;

const BUFFER: usize = 64 << 10;

/// The bytes in a WebSocket's binary messages, as a connection. Its end closes the WebSocket, and the other way round.
pub async fn tunnel<T>(io: T) -> DuplexStream
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sink, mut stream) = socket(io).await.split();
    let (near, far) = tokio::io::duplex(BUFFER);
    let (mut reading, mut writing) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        while let Ok(1..) = reading.read_buf(&mut buffer).await {
            if sink.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                break;
            }
            buffer.reserve(BUFFER);
        }
        let _ = sink.send(Message::Close(Some(normal_end()))).await;
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let bytes: Bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                Message::Text(_) | Message::Close(_) => break,
            };
            if writing.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = writing.shutdown().await;
    });
    near
}
