//! HTTP/1.1 over TLS, byte by byte: for requests that no client library would send.
//!
//! Deliberately small and blocking. What it sends is what the test wrote; what it reads is checked strictly enough that
//! a broken answer is an error here and not a puzzle in the test.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::Server;
use crate::kubeconfig::Access;

/// No answer takes longer than this, in seconds.
const READ_SECS: u64 = 30;

/// One connection to a server, as the administrator unless it is said otherwise.
pub struct Wire {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    /// Connects to a server with the administrator's certificate.
    ///
    /// # Errors
    /// When the connection or the handshake fails.
    pub fn open(server: &Server) -> Result<Self> {
        Self::with(&server.access())
    }

    /// Connects with the certificate of a kubeconfig.
    ///
    /// # Errors
    /// When the connection or the handshake fails.
    pub fn with(access: &Access) -> Result<Self> {
        let certificates =
            CertificateDer::pem_slice_iter(&access.certificate).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&access.key)?;
        let config = trusting(access)?.with_client_auth_cert(certificates, key)?;
        Self::connect(access, config)
    }

    /// Connects without a certificate.
    ///
    /// # Errors
    /// When the connection or the handshake fails.
    pub fn anonymous(server: &Server) -> Result<Self> {
        let access = server.access();
        let config = trusting(&access)?.with_no_client_auth();
        Self::connect(&access, config)
    }

    fn connect(access: &Access, config: ClientConfig) -> Result<Self> {
        let tcp = TcpStream::connect(&access.address)
            .with_context(|| format!("cannot connect to {}", access.address))?;
        tcp.set_read_timeout(Some(Duration::from_secs(READ_SECS)))?;
        tcp.set_nodelay(true)?;
        let host = access.address.rsplit_once(':').map_or(access.address.as_str(), |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let connection = ClientConnection::new(Arc::new(config), name)?;
        Ok(Self { stream: BufReader::new(StreamOwned::new(connection, tcp)) })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        Ok(self.stream.get_mut().flush()?)
    }

    /// Sends a request with a body and reads the answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP.
    pub fn request(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let length = body.len();
        let head =
            head(method, path, &[("content-type", content_type), ("content-length", &length.to_string())]);
        let sent = self.send(head.as_bytes()).and_then(|()| self.send(body));
        // A server may answer and close before it has read a body that it refuses.
        self.answer().or_else(|error| sent.and(Err(error)))
    }

    /// Sends a request without a body and reads the answer.
    ///
    /// # Errors
    /// As `request`.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(head("GET", path, &[]).as_bytes())?;
        self.answer()
    }

    /// Reads one answer; nothing when it does not begin in time.
    ///
    /// # Errors
    /// As `answer`.
    pub fn answer_within(&mut self, patience: Duration) -> Result<Option<Answer>> {
        self.stream.get_ref().sock.set_read_timeout(Some(patience))?;
        let begun = self.stream.fill_buf().map(<[u8]>::len);
        self.stream.get_ref().sock.set_read_timeout(Some(Duration::from_secs(READ_SECS)))?;
        match begun {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(_) => self.answer().map(Some),
        }
    }

    /// Reads one answer whole.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP.
    pub fn answer(&mut self) -> Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no status line: {first:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').with_context(|| format!("no header: {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.body(&answer)?;
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line()?;
                let size =
                    usize::from_str_radix(&size, 16).with_context(|| format!("no chunk size: {size:?}"))?;
                let begin = body.len();
                body.resize(begin + size, 0);
                self.stream.read_exact(&mut body[begin..])?;
                ensure!(self.line()?.is_empty(), "a chunk does not end where it says");
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        let length = answer.header("content-length").unwrap_or("0");
        body.resize(length.parse().with_context(|| format!("no length: {length}"))?, 0);
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// The head of a request with `Host` and these headers.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: pintle\r\naccept: application/json\r\n{headers}\r\n")
}

fn trusting(access: &Access) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&access.authority) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}
