//! Answers of the server: texts as Go's servers write them, JSON, and what leaves as it is made.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

/// Any error, for those who only pass it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer, whole or a stream.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

pub type Reply = Response<Body>;

/// All at once.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Piece by piece, each sent when it is there.
pub fn stream<E: Into<BoxError>>(pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data).map_err(Into::into))).boxed_unsync()
}

/// A body with a status and a content type; "" for none.
pub fn of(code: StatusCode, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    if !content_type.is_empty() {
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    reply
}

/// A refusal: the text and nothing else, without a content type but the one that Go guesses.
pub fn text(code: StatusCode, text: impl Into<String>) -> Reply {
    of(code, "text/plain; charset=utf-8", whole(text.into()))
}

/// A refusal as Go's `http.Error` writes it: with a line end.
pub fn error(code: StatusCode, why: &str) -> Reply {
    let mut reply = text(code, format!("{why}\n"));
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

pub fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "404: Page Not Found")
}

pub fn json(value: &api::Value) -> Reply {
    of(StatusCode::OK, "application/json", whole(api::json::to_vec(value)))
}
