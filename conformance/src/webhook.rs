//! A webhook in the test's own process, answers by a closure.

use std::net::{IpAddr, UdpSocket};

use anyhow::Result;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::HttpsServer;

/// A running webhook. It serves until the test's process ends.
pub struct Webhook {
    server: HttpsServer,
}

impl Webhook {
    /// Starts one whose certificate is for `127.0.0.1` and for a service (`NAME.NAMESPACE.svc`). `answers` says to a
    /// request of an AdmissionReview the `response` without its `uid`.
    ///
    /// # Errors
    /// When no port or no certificate can be had.
    pub fn start(service: &str, answers: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Result<Self> {
        let server = HttpsServer::start(&[service], move |asked| {
            let review = &asked.body;
            let mut response = answers(&review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            let version = &review["apiVersion"];
            (200, json!({"kind": "AdmissionReview", "apiVersion": version, "response": response}))
        })?;
        Ok(Self { server })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// `clientConfig` by URL.
    pub fn by_url(&self) -> Value {
        json!({"url": format!("{}/", self.server.url()), "caBundle": self.ca()})
    }

    /// `clientConfig` by a service and its port.
    pub fn by_service(&self, namespace: &str, name: &str, port: u16) -> Value {
        json!({"service": {"namespace": namespace, "name": name, "port": port}, "caBundle": self.ca()})
    }

    fn ca(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(self.server.pem())
    }

    /// The requests of all reviews so far.
    pub fn asked(&self) -> Vec<Value> {
        self.server.asked().into_iter().map(|asked| asked.body["request"].clone()).collect()
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
