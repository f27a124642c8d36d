//! A webhook in the test's own process: HTTPS on a port that the kernel chooses, answers by a closure.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use base64::Engine as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};

/// What a webhook says to an AdmissionReview: the `response` without its `uid`.
pub type Answers = dyn Fn(&Value) -> Value + Send + Sync;

/// A running webhook. It serves until the test's process ends.
pub struct Webhook {
    port: u16,
    ca: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    /// Starts one whose certificate is for `127.0.0.1` and for a service (`NAME.NAMESPACE.svc`).
    ///
    /// # Errors
    /// When no port or no certificate can be had.
    pub fn start(service: &str, answers: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Result<Self> {
        let names = vec!["127.0.0.1".to_owned(), service.to_owned()];
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
        let ca = base64::engine::general_purpose::STANDARD.encode(made.cert.pem());
        Ok(Self { port, ca, asked })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `clientConfig` by URL.
    pub fn by_url(&self) -> Value {
        json!({"url": format!("https://127.0.0.1:{}/", self.port), "caBundle": self.ca})
    }

    /// `clientConfig` by a service and its port.
    pub fn by_service(&self, namespace: &str, name: &str, port: u16) -> Value {
        json!({"service": {"namespace": namespace, "name": name, "port": port}, "caBundle": self.ca})
    }

    /// The requests of all reviews so far.
    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

/// An address of this machine that is not a loopback one, which no endpoint may have.
///
/// # Errors
/// On a machine without any network.
pub fn own_address() -> Result<IpAddr> {
    // Connecting a datagram socket sends nothing: it only picks the address that packets would leave from.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    asked: &Mutex<Vec<Value>>,
    answers: &Answers,
) -> Result<()> {
    let connection = ServerConnection::new(config)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().context("a bad length")?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let review: Value = serde_json::from_slice(&body)?;
        if let Ok(mut asked) = asked.lock() {
            asked.push(review["request"].clone());
        }
        let mut response = answers(&review["request"]);
        response["uid"] = review["request"]["uid"].clone();
        let answer =
            json!({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response});
        let body = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body.as_bytes())?;
        stream.get_mut().flush()?;
    }
}
