//! A watch: a place in the ring of a space. It holds no events; one that falls behind is told so, and never
//! has a gap.

use crate::entry::Event;
use crate::error::Error;
use crate::index::SpaceIndex;
use crate::key::{Revision, Scope};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Events looked at under one lock.
const MAX_SCANNED: usize = 1024;

/// The events of a scope of a space, after a revision, in order, each exactly once.
pub struct Watch {
    space: Arc<SpaceIndex>,
    scope: Scope,
    /// Events up to here are not wanted (it may lie in the future).
    from: Revision,
    /// The sequence number of the next event to look at.
    seq: u64,
    /// What `progress` last could say.
    told: Revision,
    bell: Arc<Notify>,
    /// Listens to the bell since before the ring was last looked at; waiting twice costs no second registration.
    rung: Pin<Box<OwnedNotified>>,
}

impl Watch {
    pub(crate) fn open(space: Arc<SpaceIndex>, scope: Scope, from: Revision) -> Result<Self, Error> {
        let state = space.state.read();
        let oldest = state.ring.floor();
        let seq = state.ring.position_after(from).ok_or(Error::Compacted { oldest })?;
        drop(state);
        let bell = space.hang_bell(&scope);
        let rung = Box::pin(bell.clone().notified_owned());
        Ok(Watch { space, scope, from, seq, told: from, bell, rung })
    }

    /// The next events, at least one; waits for them. Dropping the future loses nothing.
    /// `Compacted`: it fell behind, begin again from a list. `Closed`: the store was closed.
    pub async fn next_batch(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        std::future::poll_fn(|cx| self.poll_batch(cx)).await
    }

    /// As `next_batch`.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Arc<Event>>, Error>> {
        loop {
            let batch = self.try_batch()?;
            if !batch.is_empty() {
                return Poll::Ready(Ok(batch));
            }
            ready!(self.rung.as_mut().poll(cx));
            self.rung.set(self.bell.clone().notified_owned());
        }
    }

    /// The events that are there already, at most some hundreds; empty when it has caught up.
    pub fn try_batch(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        let state = self.space.state.read();
        loop {
            let end = state.ring.end();
            let oldest = state.ring.floor();
            let events = state.ring.from(self.seq).ok_or(Error::Compacted { oldest })?;
            let is_wanted =
                |event: &&Arc<Event>| event.revision > self.from && self.scope.contains(&event.key.rest);
            let batch: Vec<_> = events.take(MAX_SCANNED).filter(is_wanted).cloned().collect();
            self.seq = end.min(self.seq + MAX_SCANNED as u64);
            if let Some(last) = batch.last() {
                self.told = last.revision - 1;
                return Ok(batch);
            }
            if self.seq == end {
                return if state.closed { Err(Error::Closed) } else { Ok(batch) };
            }
        }
    }

    /// The revision up to which all events have been handed out: what a bookmark may say.
    pub fn progress(&self) -> Revision {
        let state = self.space.state.read();
        match state.ring.from(self.seq) {
            // It fell behind; the next batch says so.
            None => self.told,
            Some(mut events) => {
                let next =
                    events.find(|event| event.revision > self.from && self.scope.contains(&event.key.rest));
                let progress = next.map_or_else(|| self.space.horizon.revision(), |event| event.revision - 1);
                progress.max(self.told)
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.space.unhang_bell(&self.scope);
    }
}
