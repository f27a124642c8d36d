//! Why an image cannot be had now.

/// As in `state.waiting` of a container's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub reason: String,
    pub message: String,
}

impl Wait {
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Wait { reason: reason.to_owned(), message: message.into() }
    }
}
