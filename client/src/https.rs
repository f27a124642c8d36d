//! HTTPS to any server: the one place where this house opens a connection to somebody else. The client of the API
//! server, webhooks, issuers of tokens and the load generator dial through it.
//!
//! `Dialer` opens one connection, `Pool` keeps connections and sends requests over them. Errors are in Go's words,
//! because they are shown to users in messages of the API.

mod dial;
mod pool;
mod trust;
mod words;

#[cfg(test)]
mod tests;

pub use dial::{Dialer, Stream};
pub use pool::Pool;
pub use words::failure;

/// Why there is no connection or no answer, in Go's words: `dial tcp 127.0.0.1:1: connect: connection refused`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// HTTP/2 if the server can, else HTTP/1.1.
pub const ANY_HTTP: &[&str] = &["h2", "http/1.1"];
