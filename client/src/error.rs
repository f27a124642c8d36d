//! What a request can come to when it does not succeed.

use api::Value;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server refused; its Status.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// No answer: the connection broke, or could not be made.
    #[error("no answer from the API server: {0}")]
    Broken(String),
    /// An answer that cannot be read.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
}

/// A Status of the server.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: String,
    pub message: String,
    pub status: Value,
}

impl Error {
    /// From the body of an answer with an error code.
    pub(crate) fn refused(code: u16, body: &[u8]) -> Self {
        let status = api::json::parse(body).unwrap_or_default();
        let text = |field: &str| status.str_at(&[field]).to_owned();
        let message = match text("message") {
            empty if empty.is_empty() => format!("{code}: {}", String::from_utf8_lossy(body).trim()),
            message => message,
        };
        Error::Refused(Box::new(Refusal { code, reason: text("reason"), message, status }))
    }

    /// The HTTP code of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            Error::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Somebody else wrote first, or the name is taken.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    pub fn is_already_exists(&self) -> bool {
        matches!(self, Error::Refused(r) if r.reason == "AlreadyExists")
    }

    /// The revision is no longer kept: list again.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }
}
