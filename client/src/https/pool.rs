//! Connections to one server, kept for the next request: one that many share with HTTP/2, else one for each request in
//! flight.

use super::{ANY_HTTP, Dialer, Failure, Stream, words};
use api::Remote;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use stdx::limits::{CONNECTION_WINDOW_BYTES, IDLE_CONNECTION_TIMEOUT, STREAM_WINDOW_BYTES};
use tower_service::Service;

/// Idle HTTP/1.1 connections that are kept: client-go's number.
const IDLE_CONNECTIONS: usize = 25;
/// Silence on a busy HTTP/2 connection after which the server is asked whether it is there, and the time it has to
/// answer: client-go's numbers.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Requests to one server. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Pool(legacy::Client<Connector, Full<Bytes>>);

impl Pool {
    /// For the server of `remote`; connects with the first request.
    ///
    /// # Errors
    /// When the URL, a certificate or the key cannot be read.
    pub fn new(remote: &Remote) -> Result<Self, Failure> {
        let connector = Connector(Dialer::new(remote, ANY_HTTP)?);
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        Ok(Pool(client))
    }

    /// Sends a request, whose URI must be absolute and that of the pool's server; the answer comes with its head.
    ///
    /// # Errors
    /// When the server cannot be reached or does not answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.0.request(request).await.map_err(|why| words::failure(&why))
    }
}

#[derive(Clone)]
struct Connector(Dialer);

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}
