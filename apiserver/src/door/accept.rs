//! The way in from outside: TCP, then TLS.

use super::{Body, Connection, Door, RequestBody, ServerTls, Shared, serve};
use authn::Peer;
use http::{Request, Response};
use socket2::{SockRef, TcpKeepalive};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stdx::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What Go's server tells a client that forgot the TLS.
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Time to get better after accepting failed, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl<H, F> Door<H>
where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    /// Accepts connections until the drain starts, then closes the listener. Fails only when the listener
    /// cannot be used at all.
    pub async fn listen(&self, listener: std::net::TcpListener, tls: ServerTls) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let acceptor = TlsAcceptor::from(tls.config());
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = self.shared.drain.started() => return Ok(()),
            };
            match accepted {
                Some((stream, remote, permit)) => {
                    let (shared, acceptor) = (self.shared.clone(), acceptor.clone());
                    tokio::spawn(welcome(shared, acceptor, stream, remote, permit));
                }
                None => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// The next connection, once there is room for it.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = self.shared.room.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, remote)) => Some((stream, remote, permit)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                None
            }
        }
    }
}

/// One connection from its first byte to its last.
async fn welcome<H, F>(
    shared: Arc<Shared<H>>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    remote: SocketAddr,
    permit: OwnedSemaphorePermit,
) where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    prepare(&stream);
    let handshake = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, handshake(acceptor, stream));
    let stream = tokio::select! {
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
            Err(_) => return tracing::debug!(%remote, "TLS handshake took too long"),
        },
        () = shared.drain.started() => return,
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let connection = Arc::new(Connection::new(Peer::new(certificates, Some(remote)), Some(permit)));
    serve::serve(shared, stream, connection, Some(limits::IDLE_CONNECTION_TIMEOUT)).await;
}

/// Small answers leave at once; a vanished client is noticed by the kernel.
fn prepare(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_IDLE)
        .with_interval(limits::KEEPALIVE_INTERVAL)
        .with_retries(3);
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set socket options");
    }
}

async fn handshake(acceptor: TlsAcceptor, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first[0].is_ascii_uppercase() {
        // A method: this is plain HTTP. Bytes left unread would make the kernel take back the answer.
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
    }
    acceptor.accept(stream).await
}
