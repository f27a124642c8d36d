//! What can go wrong, by what the caller must do about it.

use crate::entry::Entry;
use crate::key::{Key, Revision};
use std::sync::Arc;

/// A transaction whose compares did not hold; nothing was written.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The values found, one for each compare, in its order; `None` where there is no such key.
    pub current: Vec<Option<Arc<Entry>>>,
}

/// Why the store did not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The history asked for is gone: begin again from a list.
    #[error("the requested revision has been compacted; the oldest one kept is {oldest}")]
    Compacted {
        /// The oldest revision that can still be listed, or watched from.
        oldest: Revision,
    },
    /// The revision asked for has not happened yet.
    #[error("the requested revision is newer than the current one, {current}")]
    FutureRevision {
        /// The newest revision there is.
        current: Revision,
    },
    /// Somebody else was first: read again, decide again.
    #[error("the transaction's compares do not hold")]
    Conflict(Conflict),
    /// The transaction makes no sense: the same key written twice, too many writes.
    #[error("bad transaction: {reason}: {key:?}")]
    BadTxn {
        /// What is wrong with it.
        reason: &'static str,
        /// The write at fault.
        key: Key,
    },
    /// The data directory cannot be used: one line that says why.
    #[error("{0}")]
    DataDir(String),
    /// The disk refused a commit. The engine has stopped: whether that commit is on disk is unknown, and
    /// nothing is accepted any more until the process starts again.
    #[error("the store has stopped after a failed write: {0}")]
    Stopped(String),
    /// The remote store did not answer; a commit may or may not have happened.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// A value could not be sealed.
    #[error("{0}")]
    Seal(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// How the error of a data directory ends that somebody else has open.
pub(crate) const IN_USE: &str = "in use by another process";

impl Error {
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Error::DataDir(text) if text.ends_with(IN_USE))
    }
}
