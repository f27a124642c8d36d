//! Sessions as each protocol makes them, against clients on the other end of a pipe.

use super::*;
use crate::streams::session::{Outcome, Size};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol};

fn options(tty: bool) -> Options {
    Options { command: Vec::new(), stdin: true, stdout: true, stderr: !tty, tty }
}

async fn made(
    version: u8,
    tty: bool,
    names: &[&str],
) -> (Connection, Vec<Stream>, Session, Option<Connection>) {
    let (near, far) = duplex(1 << 16);
    let mut client = Connection::new(near, Role::Client);
    let options = options(tty);
    let serving = tokio::spawn(async move { session(far, &Front::Spdy { version }, &options).await });
    let mut streams = Vec::new();
    for name in names {
        streams.push(client.open(&[("streamType", name)]).await.unwrap());
    }
    let (session, connection) = serving.await.unwrap().unwrap();
    (client, streams, session, connection)
}

#[tokio::test]
async fn version_4_has_a_stream_for_each_and_a_status_in_json() {
    let names = ["error", "stdin", "stdout", "resize"];
    let (_client, mut streams, mut session, connection) = made(4, true, &names).await;
    streams[1].outlet.send(Bytes::from_static(b"ls\n")).await.unwrap();
    streams[1].outlet.finish().await;
    assert_eq!(session.stdin.take().unwrap().rest(100).await, b"ls\n");
    streams[3].outlet.send(Bytes::from_static(b"{\"Width\":80,\"Height\":24}")).await.unwrap();
    assert_eq!(session.sizes.as_mut().unwrap().next().await, Some(Size { width: 80, height: 24 }));
    session.stdout.take().unwrap().send(Bytes::from_static(b"a.txt")).await.unwrap();
    session.status.end(&Outcome::Success).await;
    connection.unwrap().close().await;
    assert_eq!(streams[2].inlet.rest(100).await, b"a.txt");
    assert_eq!(streams[0].inlet.rest(100).await, br#"{"metadata":{},"status":"Success"}"#);
}

#[tokio::test]
async fn version_2_knows_no_sizes_and_tells_only_what_went_wrong() {
    let (_client, mut streams, session, _connection) = made(2, true, &["stdout", "error", "stdin"]).await;
    assert!(session.sizes.is_none() && session.stderr.is_none());
    session.status.end(&Outcome::Failure("oops".to_owned())).await;
    assert_eq!(streams[1].inlet.rest(100).await, b"Internal error occurred: oops");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_makes_too_few_streams_is_not_served() {
    let (near, far) = duplex(1 << 16);
    let mut client = Connection::new(near, Role::Client);
    let serving =
        tokio::spawn(async move { session(far, &Front::Spdy { version: 4 }, &options(false)).await });
    let _error = client.open(&[("streamType", "error")]).await.unwrap();
    let _other = client.open(&[("streamType", "nonsense")]).await.unwrap();
    assert!(serving.await.unwrap().is_none());
}

async fn over_web_socket(wording: Wording, tty: bool) -> (WebSocketStream<DuplexStream>, Session) {
    let (near, far) = duplex(1 << 16);
    let form = Form { base64: false, ends: wording == Wording::Retold };
    let client = WebSocketStream::from_raw_socket(near, protocol::Role::Client, None).await;
    let made = session(far, &Front::WebSocket { form, wording }, &options(tty)).await;
    (client, made.unwrap().0)
}

async fn next(client: &mut WebSocketStream<DuplexStream>) -> Message {
    client.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_web_socket_begins_with_an_empty_piece_and_ends_with_the_status() {
    let (mut client, mut session) = over_web_socket(Wording::Retold, false).await;
    assert_eq!(next(&mut client).await, Message::Binary(Bytes::from_static(&[1])));
    assert!(session.sizes.is_none());
    client.send(Message::Binary(Bytes::from_static(b"\x00in"))).await.unwrap();
    client.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
    assert_eq!(session.stdin.take().unwrap().rest(100).await, b"in");
    session.stderr.take().unwrap().send(Bytes::from_static(b"warning")).await.unwrap();
    drop(session.stdout.take());
    session.status.end(&Outcome::Success).await;
    assert_eq!(next(&mut client).await, Message::Binary(Bytes::from_static(b"\x02warning")));
    let status = [&[3u8][..], br#"{"metadata":{},"status":"Success"}"#].concat();
    assert_eq!(next(&mut client).await, Message::Binary(status.into()));
    assert!(matches!(next(&mut client).await, Message::Close(Some(_))));
}

#[tokio::test]
async fn older_web_sockets_say_nothing_of_success() {
    let (mut client, mut session) = over_web_socket(Wording::Text, true).await;
    assert_eq!(next(&mut client).await, Message::Binary(Bytes::from_static(&[1])));
    assert!(session.stderr.is_none() && session.sizes.is_some());
    drop(session.stdout.take());
    session.status.end(&Outcome::Success).await;
    assert!(matches!(next(&mut client).await, Message::Close(Some(_))));
}
