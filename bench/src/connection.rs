//! One connection that sends requests: HTTP/2 shared by many, or HTTP/1.1 for one at a time. As plain as it can be, so
//! that the load costs less than the server; `client` dials it.

use anyhow::{Result, bail};
use api::Remote;
use bytes::Bytes;
use client::https;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Flow control windows that never hold a list up.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Opens connections of one kind to one server.
pub struct Dialer {
    dialer: https::Dialer,
    remote: Remote,
    http1: bool,
}

/// One request, built anew for each use because bodies are consumed.
#[derive(Clone, Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// `Content-Type`; none without a body.
    pub content_type: &'static str,
    /// `Accept`.
    pub accept: &'static str,
    /// Whether to ask for gzip.
    pub gzip: bool,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A read of a path as JSON.
    pub fn get(path: String) -> Self {
        Self::with_body("GET", path, "", Bytes::new())
    }

    /// A write of a body, answered as JSON.
    pub fn with_body(
        method: &'static str,
        path: String,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self { method, path, content_type, accept: "application/json", gzip: false, body: body.into() }
    }
}

/// A connection, or one user's share of it.
pub enum Connection {
    /// HTTP/1.1: one request at a time.
    One(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2: a share of a connection.
    Shared(http2::SendRequest<Full<Bytes>>),
}

impl Dialer {
    /// Prepares connections.
    ///
    /// # Errors
    /// When a certificate or key cannot be read.
    pub fn new(remote: Remote, http1: bool) -> Result<Self> {
        let dialer = https::Dialer::new(&remote, &[if http1 { "http/1.1" } else { "h2" }])?;
        Ok(Self { dialer, remote, http1 })
    }

    /// The same server, as who has this token.
    ///
    /// # Errors
    /// As `new`.
    pub fn as_bearer(&self, token: &str) -> Result<Self> {
        let authorization = Some(format!("Bearer {token}"));
        Self::new(Remote { client: None, authorization, ..self.remote.clone() }, self.http1)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When the server cannot be reached or does not speak the protocol.
    pub async fn dial(&self) -> Result<Connection> {
        let stream = TokioIo::new(self.dialer.dial().await?);
        if self.http1 {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            return Ok(Connection::One(sender));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await?;
        tokio::spawn(connection);
        Ok(Connection::Shared(sender))
    }

    /// Opens as many connections as asked and hands out one share for each of `users`.
    ///
    /// # Errors
    /// As `dial`.
    pub async fn shares(&self, connections: usize, users: usize) -> Result<Vec<Connection>> {
        let mut shares = Vec::with_capacity(users);
        for user in 0..users {
            let share = match shares.get(user % connections.max(1)) {
                Some(Connection::Shared(sender)) => Connection::Shared(http2::SendRequest::clone(sender)),
                _ => self.dial().await?,
            };
            shares.push(share);
        }
        Ok(shares)
    }

    fn request(&self, call: &Call) -> Result<http::Request<Full<Bytes>>> {
        let base = self.remote.url.trim_end_matches('/');
        let mut builder = http::Request::builder().method(call.method).header("accept", call.accept);
        builder = if self.http1 {
            let authority = base.rsplit_once('/').map_or(base, |(_, authority)| authority);
            builder.uri(&call.path).header("host", authority)
        } else {
            builder.uri(format!("{base}{}", call.path))
        };
        builder = builder.header("user-agent", "bench");
        if !call.content_type.is_empty() {
            builder = builder.header("content-type", call.content_type);
        }
        if call.gzip {
            builder = builder.header("accept-encoding", "gzip");
        }
        if let Some(authorization) = &self.remote.authorization {
            builder = builder.header("authorization", authorization);
        }
        Ok(builder.body(Full::new(call.body.clone()))?)
    }
}

impl Connection {
    /// Sends a request and gives the answer as it comes; any status but success is an error with the body's text.
    ///
    /// # Errors
    /// When the connection breaks or the server refuses.
    pub async fn open(&mut self, dialer: &Dialer, call: &Call) -> Result<http::Response<Incoming>> {
        let request = dialer.request(call)?;
        let response = match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Shared(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        bail!("{} {}: {status}: {}", call.method, call.path, String::from_utf8_lossy(&body))
    }

    /// Sends a request and reads the answer whole.
    ///
    /// # Errors
    /// As `open`.
    pub async fn send(&mut self, dialer: &Dialer, call: &Call) -> Result<Bytes> {
        Ok(self.open(dialer, call).await?.into_body().collect().await?.to_bytes())
    }

    /// Sends a request, reads the answer to its end and counts its bytes without keeping them.
    ///
    /// # Errors
    /// As `open`.
    pub async fn drain(&mut self, dialer: &Dialer, call: &Call) -> Result<usize> {
        let mut body = self.open(dialer, call).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }
}
