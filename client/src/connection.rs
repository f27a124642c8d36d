//! The connection under a client: a pipe in the same process, or connections to a server elsewhere.

use crate::Error;
use crate::https::Pool;
use api::Remote;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
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
pub(crate) enum Connection {
    Pipe(Pipe),
    Elsewhere(Box<Elsewhere>),
}

impl Connection {
    pub fn in_process(dial: Dial) -> Self {
        Connection::Pipe(Pipe { dial, sender: Mutex::new(None) })
    }

    pub fn to(remote: &Remote) -> Result<Self, Error> {
        let broken = |why: &dyn ToString| Error::Broken(why.to_string());
        let authorization = match &remote.authorization {
            Some(text) => {
                let mut value = HeaderValue::from_str(text).map_err(|why| broken(&why))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let base = remote.url.trim_end_matches('/').to_owned();
        let pool = Pool::new(remote).map_err(|why| broken(&why))?;
        Ok(Connection::Elsewhere(Box::new(Elsewhere { pool, base, authorization })))
    }

    /// What stands before the paths of requests.
    pub fn base(&self) -> &str {
        match self {
            Connection::Pipe(_) => "http://in.process",
            Connection::Elsewhere(elsewhere) => &elsewhere.base,
        }
    }

    /// Sends a request; a connection that broke meanwhile is made anew once.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        match self {
            Connection::Pipe(pipe) => {
                let mut sender = pipe.sender().await?;
                sender.send_request(request).await.map_err(|e| Error::Broken(e.to_string()))
            }
            Connection::Elsewhere(elsewhere) => {
                if let Some(value) = &elsewhere.authorization {
                    request.headers_mut().insert(header::AUTHORIZATION, value.clone());
                }
                elsewhere.pool.send(request).await.map_err(|e| Error::Broken(e.to_string()))
            }
        }
    }
}

pub(crate) struct Elsewhere {
    pool: Pool,
    base: String,
    authorization: Option<HeaderValue>,
}

/// HTTP/2 in the same process, made again when it breaks.
pub(crate) struct Pipe {
    dial: Dial,
    sender: Mutex<Option<Sender>>,
}

impl Pipe {
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
