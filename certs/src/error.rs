//! What can go wrong with keys and certificates: one clear line each.

use std::path::Path;

/// A failure to make, read or keep keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or directory could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: String, source: std::io::Error },
    /// A file is there but is not what it should be, and nothing else can stand in for it.
    #[error("damaged {path}: {why}")]
    Damaged { path: String, why: String },
    /// A certificate could not be made from what was asked for.
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
}

impl PkiError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PkiError {
        let path = path.display().to_string();
        move |source| PkiError::Io { action, path, source }
    }

    pub(crate) fn damaged(path: &Path, why: impl std::fmt::Display) -> Self {
        PkiError::Damaged { path: path.display().to_string(), why: why.to_string() }
    }
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        PkiError::Issue(error.to_string())
    }
}
