//! Compression of big answers for those who accept it.

use super::Answer;
use super::long::{InPieces, PIECE_BYTES};
use crate::door::{Body, BoxError};
use crate::flow::Pace;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::io::Write;

/// Smaller answers are not worth it; upstream's limit.
const MIN_BYTES: u64 = 128 * 1024;
/// What is compressed in one go: some 100 µs of work.
const SLICE_BYTES: usize = 16 * 1024;

/// Marks an answer that goes out as it is, however big.
#[derive(Clone, Copy, Debug)]
pub struct AsIs;

/// True when the client takes gzip.
pub fn is_accepted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|part| {
        let mut words = part.split(';');
        let name = words.next().unwrap_or_default().trim();
        let refused = words.any(|w| matches!(w.trim(), "q=0" | "q=0.0"));
        (name == "gzip" || name == "*") && !refused
    })
}

/// Compresses an answer when that pays.
pub async fn compress(answer: Answer, mut pace: Pace) -> Answer {
    let in_pieces = answer.extensions().get::<InPieces>().is_some();
    let big = answer.body().size_hint().exact().is_some_and(|size| size > MIN_BYTES);
    if !(in_pieces || big) || answer.extensions().get::<AsIs>().is_some() {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = match body.whole() {
        Some(bytes) => {
            let mut packer = Packer::new();
            packer.feed(&bytes, &mut pace).await;
            let packed = packer.finish();
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(packed.len()));
            Body::full(packed)
        }
        None => Body::stream(stream(body, pace)),
    };
    Answer::from_parts(parts, body)
}

/// The compressed form of a body whose pieces are still to come.
fn stream(body: Body, pace: Pace) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    let state = (body.into_data_stream(), Some(Packer::new()), pace);
    futures::stream::unfold(state, |(mut pieces, mut packer, mut pace)| async move {
        while let Some(open) = &mut packer {
            match pieces.next().await {
                Some(Ok(piece)) => open.feed(&piece, &mut pace).await,
                Some(Err(error)) => return Some((Err(error), (pieces, None, pace))),
                None => {
                    let last = packer.take().map(Packer::finish).unwrap_or_default();
                    return Some((Ok(last), (pieces, None, pace)));
                }
            }
            pace.rest();
            if open.0.get_ref().len() >= PIECE_BYTES {
                let packed = std::mem::take(open.0.get_mut());
                return Some((Ok(packed.into()), (pieces, packer, pace)));
            }
        }
        None
    })
}

/// A compressor that writes to memory, which cannot fail.
struct Packer(GzEncoder<Vec<u8>>);

impl Packer {
    fn new() -> Self {
        Packer(GzEncoder::new(Vec::new(), Compression::new(1)))
    }

    async fn feed(&mut self, bytes: &[u8], pace: &mut Pace) {
        for slice in bytes.chunks(SLICE_BYTES) {
            pace.step().await;
            let _ = self.0.write_all(slice);
        }
    }

    fn finish(self) -> Bytes {
        self.0.finish().map(Bytes::from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{bytes_of, long};
    use crate::flow::Turns;
    use std::io::Read;

    async fn unpacked(answer: Answer) -> Vec<u8> {
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn answers_are_compressed_whole_and_in_pieces() {
        let pace = || Turns::new(1).pace("a");
        let bytes: Bytes = (0..100_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let whole = compress(bytes_of(200, "text/plain", bytes.clone()), pace()).await;
        assert_eq!(unpacked(whole).await, bytes);
        let pieces = bytes.chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
        let answer = long::of(bytes_of(200, "text/plain", Bytes::new()), futures::stream::iter(pieces));
        let packed = compress(answer, pace()).await;
        assert!(packed.headers().get("content-length").is_none());
        assert_eq!(unpacked(packed).await, bytes);
        let short = compress(bytes_of(200, "text/plain", "x".into()), pace()).await;
        assert!(short.headers().get("content-encoding").is_none());
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_does_so_compressed() {
        let pieces: [Result<Bytes, BoxError>; 2] = [Ok("a".into()), Err("no".into())];
        let answer = long::of(bytes_of(200, "text/plain", Bytes::new()), futures::stream::iter(pieces));
        let packed = compress(answer, Turns::new(1).pace("a")).await;
        assert!(packed.into_body().collect().await.is_err());
    }
}
