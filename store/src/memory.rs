//! The engine that keeps nothing: the index is all there is. For tests, simulations and throwaway clusters.

use crate::engine::{Engine, Pending};
use crate::error::Error;
use crate::expiry::{Expiry, now_ms};
use crate::index::{Announcement, Index, SpaceIndex};
use crate::key::Space;
use crate::txn::{Committed, Txn, plan};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use stdx::Clock;

/// See the head of the file.
pub(crate) struct Memory {
    index: Arc<Index>,
    /// Held from the compares to the publication. Says whether the engine was closed.
    turn: Mutex<bool>,
    expiry: Arc<Expiry>,
    clock: Clock,
    this: Weak<Memory>,
}

impl Memory {
    pub fn new(index: Arc<Index>, clock: Clock) -> Arc<Self> {
        Arc::new_cyclic(|this| Memory {
            index,
            turn: Mutex::new(false),
            expiry: Arc::new(Expiry::new(clock.clone())),
            clock,
            this: this.clone(),
        })
    }

    fn commit_now(&self, txn: Txn) -> Result<Committed, Error> {
        txn.check()?;
        if txn.has_lifetime() {
            self.expiry.start(&self.this);
        }
        let closed = self.turn.lock();
        if *closed {
            return Err(Error::Closed);
        }
        let current = self.index.horizon.revision();
        let (changes, entries) = plan(txn, current + 1, now_ms(&self.clock), |key| self.index.get(key))
            .map_err(Error::Conflict)?;
        if changes.is_empty() {
            return Ok(Committed { revision: current, entries });
        }
        self.expiry.note(&changes);
        let mut announcement = Announcement::default();
        self.index.publish(current + 1, changes, &mut announcement);
        drop(closed);
        self.index.announce(announcement);
        Ok(Committed { revision: current + 1, entries })
    }
}

impl Engine for Memory {
    fn commit(&self, txn: Txn) -> Pending<'_, Committed> {
        Box::pin(std::future::ready(self.commit_now(txn)))
    }

    fn open_space<'a>(&'a self, space: &'a Space) -> Pending<'a, Arc<SpaceIndex>> {
        Box::pin(std::future::ready(Ok(self.index.space(space))))
    }

    fn close(&self) -> Pending<'_, ()> {
        *self.turn.lock() = true;
        self.expiry.stop();
        Box::pin(std::future::ready(Ok(())))
    }
}
