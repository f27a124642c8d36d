//! The index of one space: its state behind a lock, and the bells that wake those who wait for its events.

use super::horizon::Horizon;
use super::past::Past;
use super::ring::HistoryLimits;
use super::state::{ListQuery, Page, State};
use super::topics::Topic;
use crate::entry::{Entry, Event};
use crate::error::Error;
use crate::key::{Revision, Scope, Space};
use crate::txn::Change;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::time::Instant;

/// See the head of the file.
pub(crate) struct SpaceIndex {
    pub name: Space,
    pub state: RwLock<State>,
    /// Everything up to this revision has been applied. Read and moved only under the lock of the state.
    pub horizon: Arc<Horizon>,
    pub limits: HistoryLimits,
    past: Mutex<Past>,
    bells: Bells,
}

/// What the memory of one space amounts to.
#[derive(Clone, Debug)]
pub struct SpaceStats {
    /// The space.
    pub space: Space,
    /// Keys it has now.
    pub keys: usize,
    /// Roughly the bytes of its current entries.
    pub bytes: u64,
    /// Events in its ring.
    pub events: usize,
    /// Roughly the bytes that the ring keeps alive (current entries among them).
    pub ring_bytes: u64,
    /// Watches open on it.
    pub watches: usize,
}

impl SpaceIndex {
    pub fn new(name: Space, floor: Revision, horizon: Arc<Horizon>, limits: HistoryLimits) -> Self {
        let state = RwLock::new(State::new(floor));
        SpaceIndex { name, state, horizon, limits, past: Mutex::default(), bells: Bells::default() }
    }

    pub fn get(&self, rest: &str) -> Option<Arc<Entry>> {
        self.state.read().entries.get(rest).cloned()
    }

    pub fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        let state = self.state.read();
        let current = self.horizon.revision();
        if query.at.is_some() || query.limit > 0 {
            let oldest = self.past.lock().oldest(Instant::now(), current, self.limits.age);
            if query.at.is_some_and(|at| at < oldest) {
                return Err(Error::Compacted { oldest });
            }
        }
        state.list(query, current)
    }

    /// How many keys there are, and at which revision.
    pub fn extent(&self) -> (usize, Revision) {
        let state = self.state.read();
        (state.entries.len(), self.horizon.revision())
    }

    /// What happened to a key at a revision, if the ring still has it.
    pub fn event_at(&self, revision: Revision, rest: &str) -> Option<Arc<Event>> {
        let state = self.state.read();
        let position = state.ring.position_after(revision.checked_sub(1)?)?;
        let mut events = state.ring.from(position)?.take_while(|event| event.revision == revision);
        events.find(|event| &*event.key.rest == rest).cloned()
    }

    /// Puts in what happened elsewhere: revisions in order, keys, and the changes, which are told the entry
    /// before. What was put in before is left out, so are deletions of what is not there.
    pub fn follow<'a, C>(&self, events: impl Iterator<Item = (Revision, &'a str, C)>)
    where
        C: FnOnce(Option<Arc<Entry>>) -> Change,
    {
        let at = Instant::now();
        let (mut changed, mut bells) = (Vec::new(), Vec::new());
        let mut state = self.state.write();
        let before = self.horizon.revision();
        let mut last = before;
        for (revision, rest, change) in events.filter(|(revision, ..)| *revision > before) {
            let change = change(state.entries.get(rest).cloned());
            last = revision;
            if change.entry.is_some() || change.prev.is_some() {
                changed.push(change.key.rest.clone());
                bells.extend(state.apply(revision, change, at, &self.limits));
            }
        }
        self.horizon.advance(last);
        drop(state);
        self.horizon.announce();
        self.ring_for(changed.iter().map(|rest| &**rest));
        bells.iter().for_each(|bell| bell.notify_waiters());
    }

    /// Puts in place of an entry with a fault the same one as it was opened later; gives what is to be read then.
    pub fn heal(&self, opened: Arc<Entry>) -> Arc<Entry> {
        let mut state = self.state.write();
        match state.entries.get(&opened.key.rest) {
            Some(known) if known.mod_revision != opened.mod_revision => {}
            Some(known) if known.fault().is_none() => return known.clone(),
            Some(_) => state.insert(opened.clone()),
            None => {}
        }
        opened
    }

    /// Nothing happened up to `revision` but what was put in.
    pub fn advance(&self, revision: Revision) {
        let state = self.state.write();
        self.horizon.advance(revision);
        drop(state);
        self.horizon.announce();
    }

    /// Begins again from what was read at `revision`; all watchers fall behind.
    pub fn replace(&self, entries: BTreeMap<Arc<str>, Arc<Entry>>, revision: Revision) {
        let mut state = self.state.write();
        state.replace(entries, revision);
        self.horizon.advance(revision);
        drop(state);
        self.horizon.announce();
        self.ring_all();
    }

    pub fn compact(&self, revision: Revision) {
        let mut state = self.state.write();
        let revision = revision.min(self.horizon.revision());
        state.ring.compact(revision);
    }

    pub fn close(&self) {
        self.state.write().closed = true;
        self.ring_all();
    }

    pub fn stats(&self) -> SpaceStats {
        let state = self.state.read();
        SpaceStats {
            space: self.name.clone(),
            keys: state.entries.len(),
            bytes: state.bytes,
            events: state.ring.len(),
            ring_bytes: state.ring.bytes(),
            watches: self.bells.listeners.load(Ordering::Relaxed),
        }
    }

    /// One more watch of a topic: its bell, the number of its next event after `from`, and from which number on the
    /// topic's events are known.
    pub fn join(&self, topic: &Topic, from: Revision) -> Result<(Arc<Notify>, u64, u64), Error> {
        let mut state = self.state.write();
        let oldest = state.ring.floor();
        let seq = state.ring.position_after(from).ok_or(Error::Compacted { oldest })?;
        let end = state.ring.end();
        let (bell, known_from) = state.topics.join(topic, end);
        self.bells.listeners.fetch_add(1, Ordering::Relaxed);
        Ok((bell, seq, known_from))
    }

    pub fn leave(&self, topic: &Topic) {
        self.bells.listeners.fetch_sub(1, Ordering::Relaxed);
        self.state.write().topics.leave(topic);
    }

    /// A bell that rings for the events of `scope`, until it is handed back.
    pub fn hang_bell(&self, scope: &Scope) -> Arc<Notify> {
        self.bells.listeners.fetch_add(1, Ordering::Relaxed);
        match narrow(scope) {
            None => self.bells.all.clone(),
            Some(name) => {
                let mut narrow = self.bells.narrow.lock();
                let (bell, listeners) = narrow.entry(name).or_default();
                *listeners += 1;
                bell.clone()
            }
        }
    }

    /// Gives a bell back.
    pub fn unhang_bell(&self, scope: &Scope) {
        self.bells.listeners.fetch_sub(1, Ordering::Relaxed);
        let Some(name) = narrow(scope) else { return };
        let mut narrow = self.bells.narrow.lock();
        if let Some((_, listeners)) = narrow.get_mut(&name) {
            *listeners -= 1;
            if *listeners == 0 {
                narrow.remove(&name);
            }
        }
    }

    /// Wakes whoever waits for events of these keys.
    pub fn ring_for<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        self.bells.all.notify_waiters();
        let narrow = self.bells.narrow.lock();
        if narrow.is_empty() {
            return;
        }
        for rest in keys {
            let namespace = rest.find('/').and_then(|slash| narrow.get(&rest[..=slash]));
            for (bell, _) in namespace.into_iter().chain(narrow.get(rest)) {
                bell.notify_waiters();
            }
        }
    }

    /// Wakes everybody.
    pub fn ring_all(&self) {
        self.bells.all.notify_waiters();
        for (bell, _) in self.bells.narrow.lock().values() {
            bell.notify_waiters();
        }
        self.state.read().topics.ring_all();
    }
}

/// A watch of one namespace or one key has a bell of its own (thousands of nodes watch a secret each, and
/// none should wake for the others'); all others share one.
#[derive(Default)]
struct Bells {
    all: Arc<Notify>,
    narrow: Mutex<HashMap<Arc<str>, Bell>>,
    listeners: AtomicUsize,
}

/// A bell, and how many listen to it.
type Bell = (Arc<Notify>, usize);

/// The name of the bell of a scope: `NS/` or the rest of a key.
fn narrow(scope: &Scope) -> Option<Arc<str>> {
    match scope {
        Scope::Prefix(prefix) if prefix.find('/') == Some(prefix.len().saturating_sub(1)) => {
            Some(prefix.clone())
        }
        Scope::Key(rest) => Some(rest.clone()),
        _ => None,
    }
}
