//! Ports of our own machine, forwarded over SPDY and over a WebSocket.

use super::*;
use crate::streams::spdy::Role;
use futures::{SinkExt, StreamExt};
use std::path::Path;
use tokio::io::duplex;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol};

fn pod() -> Pod {
    let pod = Pod::new(&Runtime::new(Path::new("/nowhere")), "abc");
    pod.namespace.set(Namespace::ours("abc")).unwrap_or_else(|_| panic!("set twice"));
    pod
}

/// Answers what it was sent, with what it was sent, after all of it came.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    port
}

async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn client() -> Connection {
    let (near, far) = duplex(1 << 16);
    tokio::spawn(async move { over_spdy(Connection::new(far, Role::Server), &pod()).await });
    Connection::new(near, Role::Client)
}

async fn opened(client: &mut Connection, port: u16, id: &str) -> (Stream, Stream) {
    let port = port.to_string();
    let error = client.open(&[("streamType", "error"), ("port", &port), ("requestID", id)]).await.unwrap();
    let data = client.open(&[("streamType", "data"), ("port", &port), ("requestID", id)]).await.unwrap();
    (data, error)
}

#[tokio::test]
async fn each_pair_of_streams_is_a_connection_whose_halves_end_by_themselves() {
    let (mut client, port) = (client(), echo().await);
    let mut pairs = Vec::new();
    for n in 0..5u8 {
        pairs.push((n, opened(&mut client, port, &n.to_string()).await));
    }
    for (n, (data, mut error)) in pairs {
        error.outlet.finish().await;
        data.outlet.send(Bytes::from(vec![n; 100_000])).await.unwrap();
        data.outlet.finish().await;
        let mut data = data;
        assert_eq!(data.inlet.rest(usize::MAX).await, vec![n; 100_000]);
        assert_eq!(error.inlet.next().await, None);
    }
}

#[tokio::test]
async fn old_clients_that_name_no_pairs_get_theirs_by_number() {
    let (mut client, port) = (client(), echo().await);
    let (mut data, _error) = opened(&mut client, port, "").await;
    data.outlet.send(Bytes::from_static(b"hello")).await.unwrap();
    data.outlet.finish().await;
    assert_eq!(data.inlet.rest(usize::MAX).await, b"hello");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_on_the_stream_of_errors() {
    let (mut client, port) = (client(), nobody().await);
    let (mut data, mut error) = opened(&mut client, port, "0").await;
    let why = String::from_utf8(error.inlet.rest(usize::MAX).await).unwrap();
    let start = format!(
        "error forwarding port {port} to pod abc, uid : failed to execute portforward in network namespace"
    );
    assert!(why.starts_with(&start), "{why}");
    assert_eq!(data.inlet.next().await, None);
    let (mut data, _error) = opened(&mut client, echo().await, "1").await;
    data.outlet.finish().await;
    assert_eq!(data.inlet.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn streams_that_say_no_port_or_stay_alone_are_reset() {
    let mut client = client();
    assert!(client.open(&[("streamType", "data"), ("port", "none")]).await.is_err());
    assert!(client.open(&[("streamType", "stdin"), ("port", "80")]).await.is_err());
    let mut alone =
        client.open(&[("streamType", "error"), ("port", "80"), ("requestID", "7")]).await.unwrap();
    assert_eq!(alone.inlet.rest(usize::MAX).await, b"(request=7) timed out waiting for streams");
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_connections() {
    let (mut client, listener) = (client(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let pair = opened(&mut client, listener.local_addr().unwrap().port(), "0").await;
    let (mut connection, _) = listener.accept().await.unwrap();
    drop((pair, client));
    assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn older_web_sockets_begin_with_the_port_of_each_channel() {
    let (open, shut) = (echo().await, nobody().await);
    let (near, far) = duplex(1 << 16);
    tokio::spawn(async move { over_web_socket(far, Form::default(), &[open, shut], &pod()).await });
    let mut client = WebSocketStream::from_raw_socket(near, protocol::Role::Client, None).await;
    let mut said: HashMap<u8, Vec<u8>> = HashMap::new();
    while said.get(&3).is_none_or(|error| error.len() <= 2) || said.len() < 4 {
        let Some(Ok(Message::Binary(message))) = client.next().await else { panic!("ended") };
        said.entry(message[0]).or_default().extend_from_slice(&message[1..]);
    }
    assert_eq!((&said[&0][..], &said[&1][..]), (&open.to_le_bytes()[..], &open.to_le_bytes()[..]));
    assert!(String::from_utf8_lossy(&said[&3][2..]).contains("connection refused"));
    client.send(Message::Close(None)).await.unwrap();
}
