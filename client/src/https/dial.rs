//! One connection to a server elsewhere: name, TCP, TLS.

use super::{Failure, trust, words};
use api::Remote;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use stdx::limits::HANDSHAKE_TIMEOUT;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Time to reach a server by TCP: that of Go's clients.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens connections to one server.
#[derive(Clone)]
pub struct Dialer {
    host: String,
    port: u16,
    /// `None` for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    /// For the server of `remote`, offering `protocols` (`h2`, `http/1.1`), the best first.
    ///
    /// # Errors
    /// When the URL, a certificate or the key cannot be read.
    pub fn new(remote: &Remote, protocols: &[&str]) -> Result<Self, Failure> {
        let quoted = api::quote(&remote.url);
        let uri: Uri = remote.url.parse().map_err(|why| Failure(format!("parse {quoted}: {why}")))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let usual_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(Failure(format!("unsupported protocol scheme {}", api::quote(scheme)))),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(Failure("http: no Host in request URL".to_owned()));
        }
        let tls = if scheme == "https" {
            let name = if remote.server_name.is_empty() { &host } else { &remote.server_name };
            let name = ServerName::try_from(name.clone()).map_err(|why| Failure(why.to_string()))?;
            let config = trust::config(remote, protocols).map_err(Failure)?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        let mut dialer = Dialer { host, port: uri.port_u16().unwrap_or(usual_port), tls };
        if let Some(address) = &remote.address {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, "443"));
            dialer.host = host.trim_matches(['[', ']']).to_owned();
            dialer.port = port.parse().map_err(|_| Failure(format!("address {address}: invalid port")))?;
        }
        Ok(dialer)
    }

    /// Opens a connection, and waits no longer for it than Go's clients do.
    ///
    /// # Errors
    /// When the server cannot be reached, or cannot be believed.
    pub async fn dial(&self) -> Result<Stream, Failure> {
        let tcp = match timeout(DIAL_TIMEOUT, self.tcp()).await {
            Ok(tcp) => tcp?,
            Err(_) => {
                return Err(Failure(format!("dial tcp {}: i/o timeout", join(&self.host, self.port))));
            }
        };
        // Small requests and answers must not wait for each other; a connection without it works too.
        let _ = tcp.set_nodelay(true);
        let Some((connector, name)) = &self.tls else {
            return Ok(Stream { io: Box::new(tcp), http2: false });
        };
        let tls = match timeout(HANDSHAKE_TIMEOUT, connector.connect(name.clone(), tcp)).await {
            Ok(tls) => tls.map_err(|why| Failure(words::io(&why)))?,
            Err(_) => return Err(Failure("net/http: TLS handshake timeout".to_owned())),
        };
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: Box::new(tls), http2 })
    }

    /// The first address that answers; else why the first one did not.
    async fn tcp(&self) -> Result<TcpStream, Failure> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let nobody = || Failure(format!("dial tcp: lookup {}: no such host", self.host));
        let addresses: Vec<SocketAddr> = found.map_err(|_| nobody())?.collect();
        let mut first = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(why) => first = first.or(Some((address, why))),
            }
        }
        let (address, why) = first.ok_or_else(nobody)?;
        Err(Failure(format!("dial tcp {address}: connect: {}", words::system(&why))))
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open connection, encrypted unless the URL said `http`.
pub struct Stream {
    io: Box<dyn Io>,
    http2: bool,
}

impl Stream {
    /// Whether the server chose HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.http2
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
