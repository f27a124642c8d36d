//! Bodies of answers: whole, in pieces that are spliced from caches without copying, or a stream.

use super::connection::InFlight;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Any error, for those who only pass it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer. Its connection is busy until it is dropped.
#[derive(Default)]
pub struct Body {
    content: Content,
    in_flight: Option<InFlight>,
    /// Dropped with the body.
    kept: Option<Box<dyn std::any::Any + Send>>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Pieces(VecDeque<Bytes>),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Body::default()
    }

    /// All at once; the length is announced.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Body::empty() } else { Content::Whole(bytes).into() }
    }

    /// One after the other; the length is announced.
    pub fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Content::Pieces(pieces.into_iter().filter(|piece| !piece.is_empty()).collect()).into()
    }

    /// As they come, each sent at once; an error cuts the answer off so that the client notices.
    pub fn stream<E: Into<BoxError>>(stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self {
        let frames = stream.map(|item| item.map(Frame::data).map_err(Into::into));
        Content::Stream(Box::pin(StreamBody::new(frames))).into()
    }

    /// A body of another make, such as one that is passed through.
    pub fn passed_on<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Content::Stream(Box::pin(body.map_err(Into::into))).into()
    }

    /// The bytes, when they are all there already: for tests and for compressing.
    pub fn whole(&self) -> Option<Bytes> {
        match &self.content {
            Content::Empty => Some(Bytes::new()),
            Content::Whole(bytes) => Some(bytes.clone()),
            Content::Pieces(pieces) => Some(pieces.iter().flatten().copied().collect()),
            Content::Stream(_) => None,
        }
    }

    /// Keeps `companion` until the body has been sent, or given up.
    pub fn keeping(mut self, companion: impl std::any::Any + Send) -> Self {
        self.kept = Some(Box::new(companion));
        self
    }

    pub(super) fn holding(mut self, in_flight: InFlight) -> Self {
        self.in_flight = Some(in_flight);
        self
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Body { content, in_flight: None, kept: None }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::full(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::full(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::full(text)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = match &mut self.content {
            Content::Empty => None,
            Content::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Content::Pieces(pieces) => pieces.pop_front(),
            Content::Stream(stream) => return stream.as_mut().poll_frame(cx),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Pieces(pieces) => pieces.is_empty(),
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let len = match &self.content {
            Content::Empty => 0,
            Content::Whole(bytes) => bytes.len(),
            Content::Pieces(pieces) => pieces.iter().map(Bytes::len).sum(),
            Content::Stream(stream) => return stream.size_hint(),
        };
        SizeHint::with_exact(len as u64)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({:?})", self.size_hint())
    }
}
