//! One space as it is now, and, by undoing what the ring holds, as it was at any revision since its floor.

use super::ring::{HistoryLimits, Ring};
use super::topics::Topics;
use crate::entry::{Attachment, Entry, Event, EventKind};
use crate::error::Error;
use crate::key::{Revision, Scope};
use crate::txn::Change;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What to list of a space.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Which keys.
    pub scope: Scope,
    /// Where to begin: the rest of a key, or after it.
    pub start: Bound<String>,
    /// How many entries at most; 0: all.
    pub limit: usize,
    /// At which revision; `None`: as it is now.
    pub at: Option<Revision>,
}

impl Default for ListQuery {
    fn default() -> Self {
        ListQuery { scope: Scope::All, start: Bound::Unbounded, limit: 0, at: None }
    }
}

/// A list, or a page of one.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of their keys (by bytes).
    pub entries: Vec<Arc<Entry>>,
    /// The revision the entries were read at; a watch from here misses nothing.
    pub revision: Revision,
    /// Whether there is more after these.
    pub more: bool,
    /// How many there are after these.
    pub remaining: usize,
}

/// See the head of the file. Lives behind the lock of its space.
pub(crate) struct State {
    pub entries: BTreeMap<Arc<str>, Arc<Entry>>,
    pub bytes: u64,
    pub ring: Ring,
    pub closed: bool,
    pub topics: Topics,
}

/// Entries of the past that differ from now; `None`: the key did not exist then.
type Overlay<'a> = BTreeMap<&'a str, Option<&'a Arc<Entry>>>;

impl State {
    pub fn new(floor: Revision) -> Self {
        State {
            entries: BTreeMap::new(),
            bytes: 0,
            ring: Ring::new(floor),
            closed: false,
            topics: Topics::default(),
        }
    }

    /// Makes a change and logs it. Gives the bells of those who watch what it is about.
    pub fn apply(
        &mut self,
        revision: Revision,
        change: Change,
        at: Instant,
        limits: &HistoryLimits,
    ) -> Vec<Arc<Notify>> {
        let Change { key, entry, prev } = change;
        match &entry {
            Some(entry) => self.insert(entry.clone()),
            None => self.remove(&key.rest),
        }
        let kind = if entry.is_some() { EventKind::Put } else { EventKind::Delete };
        let event = Arc::new(Event { revision, key, kind, entry, prev, ext: Attachment::new(), at });
        let number = self.ring.end();
        self.ring.push(event.clone(), limits);
        self.topics.note(&event, number, self.ring.first())
    }

    /// Replaces everything by what was read at `revision`; how it came to that is not known.
    pub fn replace(&mut self, entries: BTreeMap<Arc<str>, Arc<Entry>>, revision: Revision) {
        self.bytes = entries.values().map(|entry| entry.weight()).sum();
        self.entries = entries;
        self.ring.restart(revision);
        self.topics.restart(self.ring.end());
    }

    /// Puts an entry in, in place of what the key had.
    pub fn insert(&mut self, entry: Arc<Entry>) {
        self.bytes += entry.weight();
        if let Some(old) = self.entries.insert(entry.key.rest.clone(), entry) {
            self.bytes -= old.weight();
        }
    }

    fn remove(&mut self, rest: &str) {
        if let Some(old) = self.entries.remove(rest) {
            self.bytes -= old.weight();
        }
    }

    /// The list asked for. `current` is the newest revision; everything up to it has been applied.
    pub fn list(&self, query: &ListQuery, current: Revision) -> Result<Page, Error> {
        let revision = query.at.unwrap_or(current);
        if revision > current {
            return Err(Error::FutureRevision { current });
        }
        let lower = lower_bound(query);
        let position = self.ring.position_after(revision);
        let position = position.ok_or(Error::Compacted { oldest: self.ring.floor() })?;
        if position == self.ring.end() {
            let len = matches!((&query.scope, &query.start), (Scope::All, Bound::Unbounded));
            let entries = self.present(lower, &query.scope).map(|(_, entry)| entry);
            return Ok(page(entries, query.limit, revision, len.then_some(self.entries.len())));
        }
        let overlay = self.overlay(position, lower, &query.scope);
        let entries = merge(self.present(lower, &query.scope), overlay);
        Ok(page(entries, query.limit, revision, None))
    }

    fn present<'a>(
        &'a self,
        lower: Bound<&'a str>,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Entry>)> {
        let range = self.entries.range::<str, _>((lower, Bound::Unbounded));
        range.map(|(rest, entry)| (&**rest, entry)).take_while(|(rest, _)| scope.contains(rest))
    }

    /// What the keys that changed from `position` on were before their first change.
    fn overlay<'a>(&'a self, position: u64, lower: Bound<&str>, scope: &Scope) -> Overlay<'a> {
        let mut overlay = Overlay::new();
        for event in self.ring.from(position).into_iter().flatten() {
            let rest: &str = &event.key.rest;
            let is_after_start = match lower {
                Bound::Included(start) => rest >= start,
                Bound::Excluded(start) => rest > start,
                Bound::Unbounded => true,
            };
            if is_after_start && scope.contains(rest) {
                overlay.entry(rest).or_insert(event.prev.as_ref());
            }
        }
        overlay
    }
}

fn lower_bound(query: &ListQuery) -> Bound<&str> {
    let least = query.scope.lower();
    match &query.start {
        Bound::Included(start) if start.as_str() >= least => Bound::Included(start),
        Bound::Excluded(start) if start.as_str() >= least => Bound::Excluded(start),
        _ => Bound::Included(least),
    }
}

/// The entries of now, with those of the overlay in place of theirs.
fn merge<'a>(
    present: impl Iterator<Item = (&'a str, &'a Arc<Entry>)>,
    overlay: Overlay<'a>,
) -> impl Iterator<Item = &'a Arc<Entry>> {
    let (mut present, mut overlay) = (present.peekable(), overlay.into_iter().peekable());
    std::iter::from_fn(move || {
        loop {
            match (present.peek(), overlay.peek()) {
                (None, None) => return None,
                (Some((now, _)), Some((then, _))) if now < then => {
                    return present.next().map(|(_, entry)| entry);
                }
                (Some(_), None) => return present.next().map(|(_, entry)| entry),
                (Some((now, _)), Some((then, _))) if now == then => {
                    present.next();
                }
                _ => {}
            }
            if let Some((_, Some(entry))) = overlay.next() {
                return Some(entry);
            }
        }
    })
}

/// Takes a page; `total` spares the counting of what remains when it is known.
fn page<'a>(
    mut entries: impl Iterator<Item = &'a Arc<Entry>>,
    limit: usize,
    revision: Revision,
    total: Option<usize>,
) -> Page {
    if limit == 0 {
        let mut all = Vec::with_capacity(total.unwrap_or(0));
        all.extend(entries.cloned());
        return Page { entries: all, revision, more: false, remaining: 0 };
    }
    let taken: Vec<_> = entries.by_ref().take(limit).cloned().collect();
    let remaining = match total {
        Some(total) => total - taken.len(),
        None => entries.count(),
    };
    Page { entries: taken, revision, more: remaining > 0, remaining }
}
