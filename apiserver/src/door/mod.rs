//! The door: connections come in, requests go on, answers go out.
//!
//! TLS (`ServerTls`) over TCP, or a pipe inside the process; HTTP/1.1 and HTTP/2 by ALPN or by their first bytes.
//! Every request carries its `Arc<Connection>` as an extension, whose `Peer` is what `authn` judges. The door
//! knows nothing of callers and resources. What a stranger can cost is bounded here: connections, handshakes,
//! idleness, heads, windows, and time between two pieces of a body (`stdx::limits`).

mod accept;
mod answer;
mod body;
mod connection;
mod cork;
mod drain;
mod headers;
mod request_body;
mod serve;

pub use body::{Body, BoxError};
pub use certs::ServerTls;
pub use connection::Connection;
pub use drain::Drain;
pub use headers::HeaderView;
pub use request_body::{RequestBody, RequestBodyError};

use crate::deadline::Limits;
use authn::{Caller, Peer};
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stdx::limits;
use tokio::io::DuplexStream;
use tokio::sync::Semaphore;

/// Bytes of a pipe inside the process, each way.
const PIPE_BYTES: usize = 64 * 1024;

/// Serves connections with one handler for all requests. Clones share everything.
pub struct Door<H> {
    shared: Arc<Shared<H>>,
}

pub(crate) struct Shared<H> {
    handler: H,
    drain: Drain,
    http: auto::Builder<TokioExecutor>,
    /// For pipes inside the process, whose components are not held to what strangers are.
    inside: auto::Builder<TokioExecutor>,
    /// One permit for each connection from outside.
    room: Arc<Semaphore>,
    request_timeout: Duration,
}

impl<H, F> Door<H>
where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    /// A door to `handler`, which stops when `drain` says so.
    pub fn new(drain: Drain, handler: H) -> Self {
        Door::with_limits(drain, &Limits::default(), handler)
    }

    /// The same, with other limits than the usual ones.
    pub fn with_limits(drain: Drain, limits: &Limits, handler: H) -> Self {
        let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
        let http = http_settings(limits.streams_per_connection);
        let inside = http_settings(limits::STREAMS_PER_CONNECTION);
        let shared = Shared { handler, drain, http, inside, room, request_timeout: limits.request_timeout };
        Door { shared: Arc::new(shared) }
    }

    /// A connection inside the process, speaking plain HTTP/1.1 or HTTP/2 (with prior knowledge), whose
    /// requests are all `component`'s. Must be called within a tokio runtime.
    pub fn connect(&self, component: Caller) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let connection = Arc::new(Connection::new(Peer::in_process(component), None));
        tokio::spawn(serve::serve(self.shared.clone(), ours, connection, None));
        theirs
    }

    /// Waits until every connection from outside has ended, or cuts them off at `limits::DRAIN_TIMEOUT`.
    /// Returns whether all ended by themselves. `Drain::start` must have been called.
    pub async fn drained(&self) -> bool {
        let everyone = u32::try_from(limits::CONNECTIONS).unwrap_or(u32::MAX);
        let all_gone = self.shared.room.acquire_many(everyone);
        let in_time = tokio::time::timeout(limits::DRAIN_TIMEOUT, all_gone).await.is_ok();
        self.shared.drain.cut_off();
        in_time
    }
}

impl<H> Clone for Door<H> {
    fn clone(&self) -> Self {
        Door { shared: self.shared.clone() }
    }
}

/// How both protocols are spoken. HTTP/1.1 needs no timer for heads: an incomplete head is no request, so the
/// connection counts as idle.
fn http_settings(streams_per_connection: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits::REQUEST_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams_per_connection)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::STREAM_WINDOW_BYTES)
        .max_send_buf_size(limits::STREAM_SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(limits::REQUEST_HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}

#[cfg(test)]
mod tests;
