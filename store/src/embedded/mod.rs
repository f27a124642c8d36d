//! The durable engine: LMDB keeps the current values, the index serves reads, and one thread commits in groups.
//!
//! Acknowledged means synced. History does not survive a restart: a watch from the newest revision goes on,
//! one from before it begins again from a list.

mod committer;
mod disk;
mod lock;
mod record;
#[cfg(test)]
mod tests;
mod verify;

use crate::engine::{Engine, Pending};
use crate::error::Error;
use crate::expiry::Expiry;
use crate::index::{HistoryLimits, Index, SpaceIndex};
use crate::key::{Revision, Space};
use crate::seal::Sealing;
use crate::txn::{Committed, Txn};
use committer::{Committer, Queue};
use disk::{Disk, Loaded};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use stdx::Clock;

/// See the head of the file.
pub(crate) struct Embedded {
    index: Arc<Index>,
    queue: Arc<Queue>,
    expiry: Arc<Expiry>,
    thread: Mutex<Option<JoinHandle<()>>>,
    this: Weak<Embedded>,
}

impl Embedded {
    /// Opens or makes the store in `dir`. Blocks while it reads.
    pub fn open(
        dir: &Path,
        first: Revision,
        history: HistoryLimits,
        clock: Clock,
        sealing: &Sealing,
    ) -> Result<(Arc<Self>, Arc<Index>), Error> {
        let (disk, Loaded { revision, spaces }) = Disk::open(dir, first)?;
        let index = Arc::new(Index::new(revision, history));
        let mut lifetimes = Vec::new();
        for (space, mut entries) in spaces {
            entries.values_mut().filter_map(Arc::get_mut).for_each(|entry| entry.open(sealing));
            lifetimes.extend(entries.values().filter(|entry| entry.expires_ms > 0).cloned());
            index.load(&space, entries);
        }
        let engine = Embedded::start(disk, index.clone(), clock)?;
        if !lifetimes.is_empty() {
            lifetimes.iter().for_each(|entry| engine.expiry.add(entry));
            engine.expiry.start(&engine.this);
        }
        Ok((engine, index))
    }

    /// Starts the thread that commits.
    fn start(disk: Disk, index: Arc<Index>, clock: Clock) -> Result<Arc<Self>, Error> {
        let expiry = Arc::new(Expiry::new(clock.clone()));
        let queue = Arc::new(Queue::default());
        let committer =
            Committer { queue: queue.clone(), index: index.clone(), expiry: expiry.clone(), clock, disk };
        let thread = std::thread::Builder::new().name("store-commit".into()).spawn(move || committer.run());
        let thread = thread.map_err(|error| Error::DataDir(format!("cannot start a thread: {error}")))?;
        let thread = Mutex::new(Some(thread));
        Ok(Arc::new_cyclic(|this| Embedded { index, queue, expiry, thread, this: this.clone() }))
    }

    /// Lets the thread finish what is in line, and waits for it: then the directory is free.
    fn stop(&self) {
        self.expiry.stop();
        self.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread was reported when it happened.
            drop(thread.join());
        }
    }
}

impl Engine for Embedded {
    fn commit(&self, txn: Txn) -> Pending<'_, Committed> {
        Box::pin(async move {
            txn.check()?;
            if txn.has_lifetime() {
                self.expiry.start(&self.this);
            }
            let answer = self.queue.submit(txn)?;
            // Without an answer the thread is gone.
            answer.await.unwrap_or(Err(Error::Closed))
        })
    }

    fn open_space<'a>(&'a self, space: &'a Space) -> Pending<'a, Arc<SpaceIndex>> {
        Box::pin(std::future::ready(Ok(self.index.space(space))))
    }

    fn close(&self) -> Pending<'_, ()> {
        self.stop();
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
    }
}
