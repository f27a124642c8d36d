//! Connections: TLS, HTTP/1.1 with upgrades and HTTP/2.

use super::{Server, routes};
use authn::Peer;
use certs::ServerTls;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stdx::limits::{HANDSHAKE_TIMEOUT, IDLE_CONNECTION_TIMEOUT};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections at once: the API server opens one for each stream.
const CONNECTIONS: usize = 4096;
/// Time to get better after accepting failed, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub async fn accept(listener: std::net::TcpListener, tls: ServerTls, server: Arc<Server>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(tls.config());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, remote)) => {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    welcome(acceptor, stream, remote, server).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn welcome(acceptor: TlsAcceptor, stream: TcpStream, remote: SocketAddr, server: Arc<Server>) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%remote, "TLS handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let peer = Arc::new(Peer::new(certificates, Some(remote)));
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, peer) = (server.clone(), peer.clone());
        async move {
            let is_head = request.method() == Method::HEAD;
            let reply = routes::serve(&server, &peer, request).await;
            Ok::<_, Infallible>(if is_head { client::bodiless(reply) } else { reply })
        }
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_CONNECTION_TIMEOUT);
    http.http2().timer(TokioTimer::new());
    if let Err(error) = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%remote, %error, "connection ended");
    }
}
