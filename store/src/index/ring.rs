//! The log of one space: its latest events, in order, bounded by count, bytes and age.
//!
//! Events have consecutive sequence numbers; a watcher is such a number. `floor` is the revision below which
//! something is missing: everything that happened after it is in the ring.

use crate::entry::Event;
use crate::key::Revision;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How much history a space keeps.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Events always kept, whatever their age (bytes permitting).
    pub least_events: usize,
    /// Events kept although they are older than `fresh`.
    pub events: usize,
    /// Events never exceeded.
    pub most_events: usize,
    /// Bytes never exceeded (the values that the events keep alive).
    pub bytes: u64,
    /// Younger events stay while `most_events` and `bytes` allow it, so that a list in pages and a watch that
    /// begins where a list ended survive a burst of writes.
    pub fresh: Duration,
    /// Older events go, down to `least_events`. The original compacts every five minutes.
    pub age: Duration,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        HistoryLimits {
            least_events: 100,
            events: 10_000,
            most_events: 100_000,
            bytes: 64 << 20,
            fresh: Duration::from_secs(75),
            age: Duration::from_secs(300),
        }
    }
}

/// See the head of the file.
pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The sequence number of the first event held.
    first: u64,
    floor: Revision,
    bytes: u64,
}

impl Ring {
    pub fn new(floor: Revision) -> Self {
        Ring { events: VecDeque::new(), first: 0, floor, bytes: 0 }
    }

    pub fn floor(&self) -> Revision {
        self.floor
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sequence number of the first event held.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The event of a number; `None` when it is gone or not there yet.
    pub fn at(&self, seq: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    /// The sequence number of the next event to come.
    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The sequence number of the first event after `revision`; `None` when such events are gone.
    pub fn position_after(&self, revision: Revision) -> Option<u64> {
        (revision >= self.floor)
            .then(|| self.first + self.events.partition_point(|event| event.revision <= revision) as u64)
    }

    /// The events from `seq` on, oldest first; `None` when some of them are gone.
    pub fn from(&self, seq: u64) -> Option<impl Iterator<Item = &Arc<Event>>> {
        let skip = seq.checked_sub(self.first)?;
        Some(self.events.range(self.events.len().min(skip as usize)..))
    }

    pub fn push(&mut self, event: Arc<Event>, limits: &HistoryLimits) {
        let now = event.at;
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.is_over(limits, now) {
            self.drop_first();
        }
    }

    /// Forgets what happened up to `revision`.
    pub fn compact(&mut self, revision: Revision) {
        while self.events.front().is_some_and(|event| event.revision <= revision) {
            self.drop_first();
        }
        self.floor = self.floor.max(revision);
    }

    /// Forgets everything: what happened before `floor` is not known. Every watcher has fallen behind.
    pub fn restart(&mut self, floor: Revision) {
        *self = Ring { first: self.end() + 1, ..Ring::new(floor) };
    }

    fn is_over(&self, limits: &HistoryLimits, now: Instant) -> bool {
        let len = self.events.len();
        if len > limits.most_events || (self.bytes > limits.bytes && len > 1) {
            return true;
        }
        let age = self.events.front().map_or(Duration::ZERO, |event| now.saturating_duration_since(event.at));
        (len > limits.events && age > limits.fresh) || (len > limits.least_events && age > limits.age)
    }

    fn drop_first(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.first += 1;
            self.floor = event.revision;
            self.bytes -= event.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Attachment, EventKind};
    use crate::key::{Key, Space};

    fn event(revision: Revision, at: Instant) -> Arc<Event> {
        let key = Key::new(&Space::new("/s/"), "a");
        let (entry, prev, ext) = (None, None, Attachment::new());
        Arc::new(Event { revision, key, kind: EventKind::Delete, entry, prev, ext, at })
    }

    #[test]
    fn a_ring_over_its_count_forgets_the_oldest_and_raises_its_floor() {
        let limits = HistoryLimits { least_events: 2, events: 3, most_events: 3, ..HistoryLimits::default() };
        let mut ring = Ring::new(1);
        let now = Instant::now();
        for revision in 2..=6 {
            ring.push(event(revision, now), &limits);
        }
        assert_eq!((ring.len(), ring.floor(), ring.end()), (3, 3, 5));
        assert_eq!(ring.position_after(2), None);
        assert_eq!(ring.position_after(3), Some(2));
        assert!(ring.from(1).is_none());
        assert_eq!(ring.from(3).unwrap().map(|e| e.revision).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn young_events_outlive_the_soft_bound_and_old_ones_do_not() {
        let limits =
            HistoryLimits { least_events: 1, events: 2, most_events: 100, ..HistoryLimits::default() };
        let mut ring = Ring::new(1);
        let start = Instant::now();
        for revision in 2..=9 {
            ring.push(event(revision, start), &limits);
        }
        assert_eq!(ring.len(), 8);
        ring.push(event(10, start + Duration::from_secs(80)), &limits);
        assert_eq!((ring.len(), ring.floor()), (2, 8));
        ring.push(event(11, start + Duration::from_secs(400)), &limits);
        assert_eq!((ring.len(), ring.floor()), (1, 10));
        assert_eq!(ring.bytes(), event(11, start).weight());
    }

    #[test]
    fn a_restarted_ring_has_left_every_watcher_behind() {
        let mut ring = Ring::new(1);
        ring.push(event(2, Instant::now()), &HistoryLimits::default());
        let (caught_up, floor) = (ring.end(), 40);
        ring.restart(floor);
        assert!(ring.from(caught_up).is_none());
        assert_eq!(ring.position_after(39), None);
        assert_eq!(ring.position_after(40), Some(ring.end()));
    }

    #[test]
    fn compacting_forgets_up_to_the_revision() {
        let mut ring = Ring::new(1);
        for revision in 2..=6 {
            ring.push(event(revision, Instant::now()), &HistoryLimits::default());
        }
        ring.compact(4);
        assert_eq!((ring.len(), ring.floor()), (2, 4));
        ring.compact(3);
        assert_eq!((ring.len(), ring.floor()), (2, 4));
    }
}
