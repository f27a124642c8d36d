//! Long answers go out in pieces, at the pace that leaves the server's threads free for others: a piece is made, or
//! sealed and sent, and then it is somebody else's turn.

use super::Answer;
use crate::door::{Body, BoxError};
use crate::flow::{Kept, Pace};
use bytes::Bytes;
use futures::Stream;
use hyper::body::Body as _;

/// Bytes of one piece.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Answers up to here are sent at once.
pub const SHORT_BYTES: u64 = 256 * 1024;

/// Marks an answer whose pieces are made as they are sent. It has no length yet, and may be compressed.
#[derive(Clone, Copy, Debug)]
pub struct InPieces;

/// An answer made of `pieces`.
pub fn of(answer: Answer, pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Answer {
    let mut answer = answer.map(|_| Body::stream(pieces));
    answer.extensions_mut().insert(InPieces);
    answer
}

/// Sends an answer that is there already in pieces, if it is long. Its length stays announced.
pub fn send(answer: Answer, pace: impl FnOnce() -> Pace) -> Answer {
    if answer.body().size_hint().exact().is_none_or(|size| size <= SHORT_BYTES) {
        return answer;
    }
    let Some(bytes) = answer.body().whole() else { return answer };
    let pieces = futures::stream::unfold((bytes, pace(), None), |(mut bytes, mut pace, room)| async move {
        if bytes.is_empty() {
            return None;
        }
        let room = match room {
            Some(room) => room,
            None => pace.room().await,
        };
        pace.next_slice().await;
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        pace.rest();
        Some((Ok::<_, BoxError>(piece), (bytes, pace, Some(room))))
    });
    answer.map(|_| Body::stream(pieces))
}

/// Lets the seat that goes with an answer go with its body.
pub fn seated(mut answer: Answer) -> Answer {
    match answer.extensions_mut().remove::<Kept>() {
        Some(seat) => answer.map(|body| body.keeping(seat)),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::bytes_of;
    use crate::flow::Turns;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn long_answers_are_sent_whole_though_in_pieces() {
        let bytes: Bytes = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let answer = send(bytes_of(200, "text/plain", bytes.clone()), || Turns::new(1).pace("a"));
        assert_eq!(answer.headers()["content-length"], "1200000");
        assert!(answer.body().whole().is_none());
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), bytes);
        let short = send(bytes_of(200, "text/plain", "x".into()), || Turns::new(1).pace("a"));
        assert!(short.body().whole().is_some());
    }
}
