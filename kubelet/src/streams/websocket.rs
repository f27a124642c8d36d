//! Streams over a WebSocket: the first byte of a message is the number of its channel, a digit where the rest is base64.
//! Version 5 can end a channel of the client: 255 and the number.

use super::idle::Idle;
use super::pipe::{FIRST_WINDOW, Gate, Inlet, Outgoing, Outlet, hand_on, outbox};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

/// As upstream's: a message is 32 MiB at most.
const LARGEST_MESSAGE: usize = 32 << 20;
const BUFFER: usize = 32 << 10;
/// How long we wait for the client to close after we did.
const LINGER: Duration = Duration::from_secs(5);
const END_CHANNEL: u8 = 255;

/// How the channels are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub base64: bool,
    /// The client may end a channel.
    pub ends: bool,
}

/// Which way the messages of a channel go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
    Both,
}

/// One channel; an end is there where its way goes.
pub struct Channel {
    pub inlet: Option<Inlet>,
    pub outlet: Option<Outlet>,
}

/// The channels of a connection, which ends when all their outlets are dropped.
pub struct Channels {
    pub channels: Vec<Channel>,
    /// The client is not there any more.
    pub gone: CancellationToken,
}

/// A server's side over a connection that was upgraded.
pub async fn socket<T: AsyncRead + AsyncWrite + Unpin>(io: T) -> WebSocketStream<T> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Serves channels, whose numbers are their places in `ways`.
pub async fn channels<T>(io: T, form: Form, ways: &[Way]) -> Channels
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sink, stream) = socket(io).await.split();
    let (outbox, outgoing) = outbox();
    let gate = Gate::new(FIRST_WINDOW, false);
    let (mut channels, mut takers) = (Vec::new(), Vec::new());
    for (number, way) in (0u32..).zip(ways) {
        let outlet = || Outlet::new(number, outbox.clone(), gate.clone(), gate.clone());
        let (taker, inlet) = Inlet::new();
        takers.push((*way != Way::Out).then_some(taker));
        channels.push(Channel {
            inlet: (*way != Way::Out).then_some(inlet),
            outlet: (*way != Way::In).then(outlet),
        });
    }
    let (idle, closing) = (Idle::new(), CancellationToken::new());
    let state = Arc::new(State { form, gate, idle, outbox: outbox.downgrade(), closing });
    let gone = CancellationToken::new();
    tokio::spawn(read(stream, takers, state.clone(), gone.clone()));
    tokio::spawn(write(sink, outgoing, state, gone.clone()));
    Channels { channels, gone }
}

struct State {
    form: Form,
    gate: Arc<Gate>,
    idle: Idle,
    outbox: mpsc::WeakSender<Outgoing>,
    /// Nothing more is written.
    closing: CancellationToken,
}

type Takers = Vec<Option<mpsc::Sender<Bytes>>>;

async fn read<T>(
    mut stream: SplitStream<WebSocketStream<T>>,
    mut takers: Takers,
    state: Arc<State>,
    gone: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let messages = async {
        while let Some(Ok(message)) = stream.next().await {
            state.idle.touch();
            let message = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                Message::Close(_) => break,
                _ => continue,
            };
            if take(message, &mut takers, &state).await.is_err() {
                break;
            }
        }
    };
    let over = async {
        state.closing.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        () = messages => {}
        () = over => {}
        () = state.idle.expired() => {}
    }
    state.gate.shut();
    gone.cancel();
}

/// What cannot be understood is passed over, as upstream does; only a channel that ends must be one.
async fn take(mut message: Bytes, takers: &mut Takers, state: &State) -> Result<(), ()> {
    let form = state.form;
    let Some(first) = message.first().copied() else { return Ok(()) };
    let mut rest = message.split_off(1);
    if form.ends && first == END_CHANNEL {
        let [channel] = rest[..] else { return Err(()) };
        *takers.get_mut(usize::from(channel)).ok_or(())? = None;
        return Ok(());
    }
    let channel = if form.base64 { first.wrapping_sub(b'0') } else { first };
    let Some(Some(taker)) = takers.get(usize::from(channel)) else { return Ok(()) };
    if form.base64 {
        let Ok(decoded) = BASE64.decode(&rest) else { return Ok(()) };
        rest = decoded.into();
    }
    if !rest.is_empty() {
        let outbox = || state.outbox.upgrade();
        hand_on(taker, rest, || drop(outbox().map(|outbox| outbox.try_send(Outgoing::Ping(0))))).await;
    }
    Ok(())
}

async fn write<T>(
    mut sink: SplitSink<WebSocketStream<T>, Message>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    state: Arc<State>,
    gone: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let messages = async {
        while let Some(next) = outgoing.recv().await {
            let message = match next {
                Outgoing::Data(channel, data) => {
                    state.idle.touch();
                    message(u8::try_from(channel).unwrap_or_default(), &data, state.form)
                }
                Outgoing::Ping(_) => Message::Ping(Bytes::new()),
                // It cannot be told: a channel ends with the connection.
                _ => continue,
            };
            // Written to the end only when nothing else waits.
            let fed = sink.feed(message).await;
            if fed.is_err() || outgoing.is_empty() && sink.flush().await.is_err() {
                return;
            }
        }
        let _ = sink.send(Message::Close(Some(normal_end()))).await;
    };
    tokio::select! {
        () = messages => {}
        () = gone.cancelled() => {}
    }
    state.closing.cancel();
}

/// Without a code clients take the end for a fault.
pub fn normal_end() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }
}

fn message(channel: u8, data: &[u8], form: Form) -> Message {
    if form.base64 {
        let text = format!("{}{}", char::from(b'0'.wrapping_add(channel)), BASE64.encode(data));
        return Message::Text(Utf8Bytes::from(text));
    }
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

#[cfg(test)]
mod tests;
