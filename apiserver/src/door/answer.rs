//! One request: handed on with its connection, its answer handed back. A panic on the way is a 500 and no more.

use super::{Body, Connection, RequestBody, Shared};
use futures::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Upstream's words for it.
const PANICKED: &str = "This request caused apiserver to panic. Look in the logs for details.\n";

pub(super) async fn answer<H, F>(
    shared: Arc<Shared<H>>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<Body>
where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let in_flight = connection.enter();
    let (version, is_head) = (request.version(), request.method() == Method::HEAD);
    let mut request = request.map(|body| RequestBody::new(body, shared.request_timeout));
    request.extensions_mut().insert(connection.clone());
    let handled = AssertUnwindSafe(async { (shared.handler)(request).await });
    let mut response = handled.catch_unwind().await.unwrap_or_else(|_| panicked());
    if version == Version::HTTP_2 && says_close(&response) {
        response.headers_mut().remove(CONNECTION);
        connection.close();
    }
    let response = if is_head { client::bodiless(response) } else { response };
    response.map(|body| body.holding(in_flight))
}

/// In HTTP/2 the header is not allowed; for the handler it means what it does in HTTP/1.1: this was the last
/// request of this connection.
fn says_close(response: &Response<Body>) -> bool {
    response.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn panicked() -> Response<Body> {
    let mut response = Response::new(Body::full(PANICKED));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
