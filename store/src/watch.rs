//! A watch: a place in the ring of a space. It holds no events; one that falls behind is told so, and never
//! has a gap.

use crate::entry::Event;
use crate::error::Error;
use crate::index::{SpaceIndex, State, Topic};
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
    /// What it is about, and from which event on the topic's are known.
    topic: Option<(Topic, u64)>,
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
        Ok(Watch { space, scope, from, seq, topic: None, told: from, bell, rung })
    }

    pub(crate) fn open_topic(
        space: Arc<SpaceIndex>,
        scope: Scope,
        topic: Topic,
        from: Revision,
    ) -> Result<Self, Error> {
        let (bell, seq, known_from) = space.join(&topic, from)?;
        let rung = Box::pin(bell.clone().notified_owned());
        Ok(Watch { space, scope, from, seq, topic: Some((topic, known_from)), told: from, bell, rung })
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
            if let Some((topic, known_from)) = &self.topic
                && self.seq >= *known_from
            {
                let (batch, seq) = self.of_topic(&state, topic).ok_or(Error::Compacted { oldest })?;
                self.seq = seq;
                if let Some(last) = batch.last() {
                    self.told = last.revision - 1;
                }
                return if batch.is_empty() && state.closed { Err(Error::Closed) } else { Ok(batch) };
            }
            let events = state.ring.from(self.seq).ok_or(Error::Compacted { oldest })?;
            let batch: Vec<_> = events.take(MAX_SCANNED).filter(|event| self.wants(event)).cloned().collect();
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

    /// The next events of a topic, and the number of the event to go on from; `None` when it fell behind.
    fn of_topic(&self, state: &State, topic: &Topic) -> Option<(Vec<Arc<Event>>, u64)> {
        let mut batch = Vec::new();
        for number in state.topics.from(topic, self.seq)? {
            let event = state.ring.at(number)?;
            if self.wants(event) {
                batch.push(event.clone());
            }
            if batch.len() >= MAX_SCANNED {
                return Some((batch, number + 1));
            }
        }
        Some((batch, state.ring.end()))
    }

    fn wants(&self, event: &Event) -> bool {
        event.revision > self.from
            && self.scope.contains(&event.key.rest)
            && self.topic.as_ref().is_none_or(|(topic, _)| topic.concerns(event))
    }

    /// The revision up to which all events have been handed out: what a bookmark may say.
    pub fn progress(&self) -> Revision {
        let state = self.space.state.read();
        let horizon = || self.space.horizon.revision();
        if let Some((topic, known_from)) = &self.topic
            && self.seq >= *known_from
        {
            let next = self
                .of_topic(&state, topic)
                .map(|(events, _)| events.first().map(|event| event.revision - 1));
            return next.map_or(self.told, |next| next.unwrap_or_else(horizon).max(self.told));
        }
        match state.ring.from(self.seq) {
            // It fell behind; the next batch says so.
            None => self.told,
            Some(mut events) => {
                let next = events.find(|event| self.wants(event));
                let progress = next.map_or_else(horizon, |event| event.revision - 1);
                progress.max(self.told)
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        match &self.topic {
            Some((topic, _)) => self.space.leave(topic),
            None => self.space.unhang_bell(&self.scope),
        }
    }
}
