//! Two connections of ours against each other, and one against raw bytes.

use super::*;
use crate::streams::spdy::frame::CANCEL;
use tokio::io::{DuplexStream, duplex};

fn pair() -> (Connection, Connection) {
    let (near, far) = duplex(1 << 16);
    (Connection::new(near, Role::Client), Connection::new(far, Role::Server))
}

async fn opened(client: &mut Connection, server: &mut Connection) -> (Stream, Stream) {
    let accept = async {
        let stream = server.accept().await.unwrap();
        stream.outlet.reply().await;
        stream
    };
    let (opened, accepted) = tokio::join!(client.open(&[("streamType", "data")]), accept);
    (opened.unwrap(), accepted)
}

#[tokio::test]
async fn data_goes_both_ways_and_each_half_ends_by_itself() {
    let (mut client, mut server) = pair();
    let (mut ours, mut theirs) = opened(&mut client, &mut server).await;
    assert_eq!((ours.id, theirs.id, theirs.headers.get("streamtype")), (1, 1, "data"));
    ours.outlet.send(Bytes::from(vec![7; 300_000])).await.unwrap();
    ours.outlet.finish().await;
    assert_eq!(theirs.inlet.rest(usize::MAX).await, vec![7; 300_000]);
    theirs.outlet.send(Bytes::from_static(b"done")).await.unwrap();
    theirs.outlet.finish().await;
    assert_eq!(ours.inlet.rest(usize::MAX).await, b"done");
    let (second, _theirs) = opened(&mut client, &mut server).await;
    assert_eq!((second.id, client.shared.table.len(), server.shared.table.len()), (3, 1, 1));
}

#[tokio::test]
async fn a_reset_ends_both_halves() {
    let (mut client, mut server) = pair();
    let (mut ours, theirs) = opened(&mut client, &mut server).await;
    theirs.outlet.reset().await;
    assert_eq!(ours.inlet.next().await, None);
    ours.outlet.closed().await;
    assert_eq!(ours.outlet.send(Bytes::from_static(b"x")).await, Err(Gone));
}

#[tokio::test]
async fn a_connection_ends_when_all_is_written_and_dropped() {
    let (mut client, mut server) = pair();
    let (mut ours, theirs) = opened(&mut client, &mut server).await;
    theirs.outlet.send(Bytes::from_static(b"last")).await.unwrap();
    server.close().await;
    drop(theirs);
    assert_eq!(ours.inlet.next().await.unwrap(), "last");
    assert_eq!(ours.inlet.next().await, None);
    assert!(client.accept().await.is_none());
    client.gone().cancelled().await;
}

#[tokio::test]
async fn whoever_is_gone_takes_all_streams_along() {
    let (mut client, mut server) = pair();
    let (ours, mut theirs) = opened(&mut client, &mut server).await;
    drop((client, ours));
    assert_eq!(theirs.inlet.next().await, None);
    server.gone().cancelled().await;
    assert_eq!(theirs.outlet.send(Bytes::from_static(b"x")).await, Err(Gone));
}

/// A peer that writes frames by hand.
struct Raw {
    io: DuplexStream,
    encoder: Encoder,
}

impl Raw {
    fn new() -> (Raw, Connection) {
        let (near, far) = duplex(1 << 20);
        (Raw { io: near, encoder: Encoder::new().unwrap() }, Connection::new(far, Role::Server))
    }

    async fn open(&mut self, stream: u32) {
        let mut out = Vec::new();
        self.encoder.open(&mut out, stream, &Headers::of(&[("streamType", "data")])).unwrap();
        self.io.write_all(&out).await.unwrap();
    }

    async fn read(&mut self) -> (Head, Vec<u8>) {
        let mut head = [0; Head::LENGTH];
        self.io.read_exact(&mut head).await.unwrap();
        let head = Head::read(head).unwrap();
        let (Head::Control { length, .. } | Head::Data { length, .. }) = head;
        let mut body = vec![0; length as usize];
        self.io.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    async fn expect_reset(&mut self, stream: u32, why: u32) {
        let (head, body) = self.read().await;
        assert_eq!(head, Head::Control { kind: 3, flags: 0, length: 8 });
        assert_eq!(body, [stream.to_be_bytes(), why.to_be_bytes()].concat());
    }
}

#[tokio::test]
async fn streams_of_wrong_or_used_numbers_are_reset() {
    let (mut raw, mut server) = Raw::new();
    raw.open(2).await;
    raw.expect_reset(2, 1).await;
    raw.open(5).await;
    assert_eq!(server.accept().await.unwrap().id, 5);
    raw.open(3).await;
    raw.expect_reset(3, 1).await;
}

#[tokio::test]
async fn pings_are_answered_and_what_is_unknown_is_passed_over() {
    let (mut raw, _server) = Raw::new();
    raw.io.write_all(&[0x80, 3, 0, 99, 0, 0, 0, 2, 1, 2]).await.unwrap();
    let mut ping = Vec::new();
    Encoder::ping(&mut ping, 7);
    raw.io.write_all(&ping).await.unwrap();
    assert_eq!(raw.read().await, (Head::Control { kind: 6, flags: 0, length: 4 }, vec![0, 0, 0, 7]));
}

#[tokio::test]
async fn who_says_how_much_it_takes_gets_no_more() {
    let (mut raw, mut server) = Raw::new();
    // A first window of 10 bytes.
    raw.io.write_all(&[0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 10]).await.unwrap();
    raw.open(1).await;
    let stream = server.accept().await.unwrap();
    let sending = tokio::spawn(async move { stream.outlet.send(Bytes::from(vec![1; 15])).await });
    assert_eq!(raw.read().await.1.len(), 10);
    let mut more = Vec::new();
    Encoder::window(&mut more, 1, 100);
    raw.io.write_all(&more).await.unwrap();
    assert_eq!(raw.read().await.1.len(), 5);
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_taken_is_told() {
    let (mut raw, mut server) = Raw::new();
    raw.open(1).await;
    let mut stream = server.accept().await.unwrap();
    let mut data = Vec::new();
    Encoder::data(&mut data, 1, &vec![0; 40_000], false);
    raw.io.write_all(&data).await.unwrap();
    let mut taken = 0;
    while taken < 40_000 {
        taken += stream.inlet.next().await.unwrap().len();
    }
    let mut told = [raw.read().await.1, raw.read().await.1];
    told.sort();
    let of = |stream: u32, by: u32| [stream.to_be_bytes(), by.to_be_bytes()].concat();
    assert_eq!(told[0], of(0, 40_000));
    assert!(told[1] == of(1, 32_768) || told[1] == of(1, 40_000), "{told:?}");
}

#[tokio::test]
async fn bytes_that_are_no_spdy_end_the_connection() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x80, 3, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 9]]
    {
        let (mut raw, mut server) = Raw::new();
        raw.io.write_all(bytes).await.unwrap();
        raw.io.shutdown().await.unwrap();
        assert!(server.accept().await.is_none());
    }
}

#[tokio::test]
async fn a_stream_whose_queue_is_full_waits_without_growing() {
    let (mut raw, mut server) = Raw::new();
    raw.open(1).await;
    let mut stream = server.accept().await.unwrap();
    let writing = tokio::spawn(async move {
        for _ in 0..300 {
            let mut data = Vec::new();
            Encoder::data(&mut data, 1, &vec![0; 16 << 10], false);
            raw.io.write_all(&data).await.unwrap();
        }
        raw
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!writing.is_finished());
    let mut taken = 0;
    while taken < 300 * (16 << 10) {
        taken += stream.inlet.next().await.unwrap().len();
    }
    let raw = writing.await.unwrap();
    stream.outlet.reset().await;
    assert_eq!(CANCEL, 5);
    drop(raw);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_while_nobody_takes_what_it_sent_is_missed() {
    let (mut client, mut server) = pair();
    let (ours, _theirs) = opened(&mut client, &mut server).await;
    for _ in 0..40 {
        ours.outlet.send(Bytes::from_static(b"x")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!server.gone().is_cancelled(), "it answers");
    drop((client, ours));
    let missed = tokio::time::timeout(Duration::from_secs(60), server.gone().cancelled()).await;
    assert!(missed.is_ok(), "it has been gone for a minute");
}
