//! An HTTPS server in the test's own process, on a port that the kernel chooses: a webhook, or an issuer of tokens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;

/// What was asked: the path, and the body if it is JSON.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path with its query.
    pub path: String,
    /// Null when there is none.
    pub body: Value,
}

/// Status and body for a question.
pub type Answers = dyn Fn(&Asked) -> (u16, Value) + Send + Sync;

/// A running server. It serves until the test's process ends.
pub struct HttpsServer {
    port: u16,
    pem: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HttpsServer {
    /// Starts one whose certificate, of its own making, is for `127.0.0.1` and for `names`.
    ///
    /// # Errors
    /// When no port or no certificate can be had.
    pub fn start(
        names: &[&str],
        answers: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> Result<Self> {
        let names = ["127.0.0.1"].iter().chain(names).map(ToString::to_string).collect::<Vec<_>>();
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let listener = TcpListener::bind("0.0.0.0:0")?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (config, heard, answers) = (Arc::new(config), asked.clone(), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, heard, answers) = (config.clone(), heard.clone(), answers.clone());
                std::thread::spawn(move || drop(serve(stream, config, &heard, &*answers)));
            }
        });
        Ok(Self { port, pem: made.cert.pem(), asked })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate to trust, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    heard: &Mutex<Vec<Asked>>,
    answers: &Answers,
) -> Result<()> {
    let connection = ServerConnection::new(config)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let (mut path, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if path.is_none() {
                path = line.split(' ').nth(1).map(str::to_owned);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().context("a bad length")?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let asked = Asked { path: path.unwrap_or_default(), body };
        if let Ok(mut heard) = heard.lock() {
            heard.push(asked.clone());
        }
        let (status, body) = answers(&asked);
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body.as_bytes())?;
        stream.get_mut().flush()?;
    }
}
