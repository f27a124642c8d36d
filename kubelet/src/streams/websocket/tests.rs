//! Channels against a WebSocket client on the other end of a pipe.

use super::*;
use tokio::io::{DuplexStream, duplex};

async fn client(form: Form, ways: &[Way]) -> (WebSocketStream<DuplexStream>, Channels) {
    let (near, far) = duplex(1 << 16);
    let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    (client, channels(far, form, ways).await)
}

const SHELL: [Way; 5] = [Way::In, Way::Out, Way::Out, Way::Out, Way::In];

#[tokio::test]
async fn the_first_byte_is_the_channel() {
    let (mut client, mut channels) = client(Form::default(), &SHELL).await;
    client.send(Message::Binary(Bytes::from_static(b"\x00hello"))).await.unwrap();
    client.send(Message::Text("\u{4}{}".into())).await.unwrap();
    assert_eq!(channels.channels[0].inlet.as_mut().unwrap().next().await.unwrap(), "hello");
    assert_eq!(channels.channels[4].inlet.as_mut().unwrap().next().await.unwrap(), "{}");
    channels.channels[2].outlet.as_ref().unwrap().send(Bytes::from_static(b"oops")).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"\x02oops")));
}

#[tokio::test]
async fn base64_is_a_digit_and_text() {
    let form = Form { base64: true, ends: false };
    let (mut client, mut channels) = client(form, &SHELL).await;
    client.send(Message::Text("0!!".into())).await.unwrap();
    client.send(Message::Text("0aGVsbG8=".into())).await.unwrap();
    assert_eq!(channels.channels[0].inlet.as_mut().unwrap().next().await.unwrap(), "hello");
    channels.channels[1].outlet.as_ref().unwrap().send(Bytes::from_static(b"world")).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Text("1d29ybGQ=".into()));
}

#[tokio::test]
async fn only_version_5_ends_a_channel() {
    let (mut new, mut channels) = client(Form { base64: false, ends: true }, &SHELL).await;
    new.send(Message::Binary(Bytes::from_static(b"\x00last"))).await.unwrap();
    new.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
    let stdin = channels.channels[0].inlet.as_mut().unwrap();
    assert_eq!(stdin.next().await.unwrap(), "last");
    assert_eq!(stdin.next().await, None);
    assert!(!channels.gone.is_cancelled());
    let (mut old, mut channels) = client(Form::default(), &SHELL).await;
    old.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
    old.send(Message::Binary(Bytes::from_static(b"\x00more"))).await.unwrap();
    assert_eq!(channels.channels[0].inlet.as_mut().unwrap().next().await.unwrap(), "more");
}

#[tokio::test]
async fn an_end_of_no_channel_ends_the_connection() {
    for wrong in [&[255u8][..], &[255, 9], &[255, 0, 0]] {
        let (mut client, channels) = client(Form { base64: false, ends: true }, &SHELL).await;
        client.send(Message::Binary(Bytes::copy_from_slice(wrong))).await.unwrap();
        channels.gone.cancelled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_is_written_before_the_connection_closes() {
    let (mut client, mut channels) = client(Form::default(), &SHELL).await;
    let outlet = channels.channels[1].outlet.take().unwrap();
    let writing = tokio::spawn(async move { outlet.send(Bytes::from(vec![5; 200_000])).await });
    drop(std::mem::take(&mut channels.channels));
    let mut got = 0;
    let last = loop {
        match client.next().await.unwrap().unwrap() {
            Message::Binary(piece) => got += piece.len() - 1,
            last => break last,
        }
    };
    assert_eq!((got, last), (200_000, Message::Close(Some(normal_end()))));
    writing.await.unwrap().unwrap();
    channels.gone.cancelled().await;
}

#[tokio::test]
async fn a_client_that_vanishes_ends_all_channels() {
    let (client, mut channels) = client(Form::default(), &SHELL).await;
    drop(client);
    assert_eq!(channels.channels[0].inlet.as_mut().unwrap().next().await, None);
    channels.gone.cancelled().await;
    let outlet = channels.channels[1].outlet.as_ref().unwrap();
    outlet.closed().await;
    assert!(outlet.send(Bytes::from_static(b"x")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_while_nobody_takes_its_stdin_is_missed() {
    let (mut client, channels) = client(Form::default(), &SHELL).await;
    for _ in 0..40 {
        client.send(Message::Binary(Bytes::from_static(b"\x00more"))).await.unwrap();
    }
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Ping(Bytes::new()));
    assert!(!channels.gone.is_cancelled());
    drop(client);
    let missed = tokio::time::timeout(Duration::from_secs(60), channels.gone.cancelled()).await;
    assert!(missed.is_ok(), "it has been gone for a minute");
}
