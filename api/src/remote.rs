//! Servers elsewhere that this one asks (webhooks, issuers of tokens), for rooms that must not know HTTP.

mod answer;
mod kubeconfig;

pub use answer::NoAnswer;

use crate::reader::Later;
use std::fmt;
use std::time::Duration;

/// A server elsewhere and how to reach it: upstream's `rest.Config`, as far as webhooks need it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// `https://HOST[:PORT][/PATH][?QUERY]`, also `http://`.
    pub url: String,
    /// Where to connect instead of the host of the URL: `IP:PORT`.
    pub address: Option<String>,
    /// PEM certificates to trust; the machine's own when `None`.
    pub ca: Option<Vec<u8>>,
    /// The name that the server's certificate must have; the host of the URL when empty.
    pub server_name: String,
    /// Believe any certificate.
    pub insecure: bool,
    /// PEM certificate chain and key that this server shows.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// The whole `Authorization` header, when there is one.
    pub authorization: Option<String>,
}

/// Without what is secret.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.url)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What is asked: a GET without a body, else a POST.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub body: Option<Vec<u8>>,
    /// Besides `content-type: application/json` of a body, and `accept`.
    pub headers: Vec<(String, String)>,
    /// The longest answer that is read, in bytes; 0 for that of the largest request body.
    pub max_bytes: usize,
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// Nothing within the time given, in Go's words: `Post "URL": context deadline exceeded`.
    Timeout(String),
    /// Nobody there, nobody to believe, or not HTTP; in Go's words where it has some, from the method on:
    /// `Post "URL": dial tcp 127.0.0.1:1: connect: connection refused`.
    Failed(String),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::Timeout(text) | RemoteError::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for RemoteError {}

/// The way out.
pub trait Network: Send + Sync {
    /// Asks once and waits no longer than `timeout`.
    fn ask<'a>(
        &'a self,
        remote: &'a Remote,
        question: Question,
        timeout: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>>;
}

/// No way out, for tests and for servers that ask nobody.
impl Network for () {
    fn ask<'a>(
        &'a self,
        remote: &'a Remote,
        _: Question,
        _: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>> {
        let text = format!("Post {}: no network", crate::quote(&remote.url));
        Box::pin(std::future::ready(Err(RemoteError::Failed(text))))
    }
}
