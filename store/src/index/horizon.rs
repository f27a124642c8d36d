//! How far an index has come: everything up to this revision has been applied to it.

use crate::error::Error;
use crate::key::Revision;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A revision that only grows, and can be waited for. One for all spaces of an engine that assigns the
/// revisions itself; one a space where the events come from elsewhere.
pub(crate) struct Horizon {
    revision: AtomicU64,
    moved: Notify,
    closed: AtomicBool,
}

impl Horizon {
    pub fn new(revision: Revision) -> Self {
        Horizon { revision: AtomicU64::new(revision), moved: Notify::new(), closed: AtomicBool::new(false) }
    }

    pub fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    /// Moves forward; never back. Whoever waits is told by `announce`, once the locks are released.
    pub fn advance(&self, revision: Revision) {
        self.revision.fetch_max(revision, Ordering::AcqRel);
    }

    /// Tells those who wait.
    pub fn announce(&self) {
        self.moved.notify_waiters();
    }

    /// Nothing will come any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.announce();
    }

    /// Returns once `revision` has been reached.
    pub async fn reach(&self, revision: Revision) -> Result<(), Error> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.revision() >= revision {
                return Ok(());
            }
            if self.closed.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            moved.await;
        }
    }

    /// The same within `timeout`; else `FutureRevision`.
    pub async fn reach_within(&self, revision: Revision, timeout: Duration) -> Result<(), Error> {
        if self.revision() >= revision {
            return Ok(());
        }
        match tokio::time::timeout(timeout, self.reach(revision)).await {
            Ok(result) => result,
            Err(_) => Err(Error::FutureRevision { current: self.revision() }),
        }
    }
}
