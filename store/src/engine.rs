//! What an engine is: who commits, and when the index may be believed. Reads never come here, except where
//! the index may be behind (etcd).

use crate::entry::Entry;
use crate::error::Error;
use crate::index::SpaceIndex;
use crate::key::{Key, Revision, Space};
use crate::txn::{Committed, Txn};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future; an engine is chosen at run time.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// See the head of the file.
pub(crate) trait Engine: Send + Sync {
    /// Does it, durably, and returns once the index shows it.
    fn commit(&self, txn: Txn) -> Pending<'_, Committed>;

    /// Makes the index of a space ready that nobody asked for before.
    fn open_space<'a>(&'a self, space: &'a Space) -> Pending<'a, Arc<SpaceIndex>>;

    /// Returns once the index of the space shows everything committed before the call, by anybody.
    /// `None`: it always does.
    fn barrier<'a>(&'a self, _space: &'a Arc<SpaceIndex>) -> Option<Pending<'a, Revision>> {
        None
    }

    /// Reads past the index. `None`: the index always shows the latest.
    fn read<'a>(&'a self, _key: &'a Key) -> Option<Pending<'a, Option<Arc<Entry>>>> {
        None
    }

    /// Nudges the source of events to say how far it has come, for somebody who waits for a revision.
    fn hasten(&self, _space: &Arc<SpaceIndex>) {}

    /// Forgets the history up to a revision where it is kept outside of the index.
    fn compact(&self, _revision: Revision) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Stops. What was acknowledged stays.
    fn close(&self) -> Pending<'_, ()>;
}
