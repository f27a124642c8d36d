//! Compression of big answers for those who accept it.

use super::Answer;
use crate::door::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Body as _;
use std::io::Write;

/// Smaller answers are not worth it; upstream's limit.
const MIN_BYTES: usize = 128 * 1024;
/// Answers from here on are compressed off the threads that serve others.
const BLOCKING_BYTES: usize = 512 * 1024;

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

/// Compresses a finished answer when that pays.
pub async fn compress(answer: Answer) -> Answer {
    let size = usize::try_from(answer.body().size_hint().exact().unwrap_or(0)).unwrap_or(0);
    if size <= MIN_BYTES || answer.extensions().get::<AsIs>().is_some() {
        return answer;
    }
    let Some(bytes) = answer.body().whole() else { return answer };
    let packed = if size >= BLOCKING_BYTES {
        tokio::task::spawn_blocking(move || pack(&bytes)).await.unwrap_or(None)
    } else {
        pack(&bytes)
    };
    let Some(packed) = packed else { return answer };
    let (mut parts, _) = answer.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(packed.len()));
    Answer::from_parts(parts, Body::full(packed))
}

fn pack(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 6), Compression::new(1));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
