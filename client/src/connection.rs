//! The connection under a client: HTTP/2 over whatever is dialled, made again when it breaks.

use crate::Error;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::sync::Mutex;

/// Opens a pipe to the server whose requests are those of one component.
pub type Dial = Arc<dyn Fn() -> DuplexStream + Send + Sync>;

type Sender = SendRequest<Full<Bytes>>;

/// Many requests at once share one connection.
pub(crate) struct Connection {
    dial: Dial,
    sender: Mutex<Option<Sender>>,
}

impl Connection {
    pub fn new(dial: Dial) -> Self {
        Connection { dial, sender: Mutex::new(None) }
    }

    /// Sends a request; a connection that broke meanwhile is made anew once.
    pub async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<http::Response<Incoming>, Error> {
        let mut sender = self.sender().await?;
        sender.send_request(request).await.map_err(|e| Error::Broken(e.to_string()))
    }

    async fn sender(&self) -> Result<Sender, Error> {
        let mut slot = self.sender.lock().await;
        if let Some(sender) = slot.as_ref().filter(|s| !s.is_closed()) {
            return Ok(sender.clone());
        }
        let pipe = TokioIo::new((self.dial)());
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .handshake(pipe)
            .await
            .map_err(|e| Error::Broken(e.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the API server ended");
            }
        });
        *slot = Some(sender.clone());
        Ok(sender)
    }
}
