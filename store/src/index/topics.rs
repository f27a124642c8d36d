//! Events by topic: which events of a space are about one thing that many watches ask for, each for another (the pods
//! of a node). A watch of a topic neither wakes for other events nor looks at them, and does not fall behind because of
//! them.
//!
//! What an entry is about is up to the store's owner, who tells it of the bytes of a value.

use crate::entry::{Entry, Event};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

/// Tells what a value is about; nothing in particular is empty, and what cannot be told (`None`) may be anything. The
/// same for all watches of a space.
pub type About = fn(&[u8]) -> Option<&str>;

/// What a watch is about, beside its scope.
#[derive(Clone)]
pub struct Topic {
    /// As `about` gives it, not empty.
    pub name: Arc<str>,
    /// See the type.
    pub about: About,
}

impl Topic {
    /// Whether an event is about it, before or after. What cannot be told may be.
    pub(crate) fn concerns(&self, event: &Event) -> bool {
        let is_it =
            |entry: &Arc<Entry>| subject(self.about, entry).is_none_or(|subject| *subject == *self.name);
        event.entry.as_ref().is_some_and(is_it) || event.prev.as_ref().is_some_and(is_it)
    }
}

/// What an entry is about; `None` of one that does not tell, or cannot be read now.
fn subject(about: About, entry: &Entry) -> Option<&str> {
    if entry.fault().is_some() { None } else { about(&entry.value) }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.name)
    }
}

/// The topics of a space that are watched. Lives behind the lock of the space.
#[derive(Default)]
pub(crate) struct Topics {
    about: Option<About>,
    watched: HashMap<Arc<str>, Watched>,
}

struct Watched {
    bell: Arc<Notify>,
    listeners: usize,
    /// The sequence numbers of the topic's events, all of them from `since` on.
    events: VecDeque<u64>,
    since: u64,
}

impl Topics {
    /// One more watch of a topic; `end` is the number of the space's next event. Gives the bell, and from which event
    /// on the topic's are known.
    pub fn join(&mut self, topic: &Topic, end: u64) -> (Arc<Notify>, u64) {
        self.about = Some(topic.about);
        let fresh = || Watched { bell: Arc::default(), listeners: 0, events: VecDeque::new(), since: end };
        let watched = self.watched.entry(topic.name.clone()).or_insert_with(fresh);
        watched.listeners += 1;
        (watched.bell.clone(), watched.since)
    }

    pub fn leave(&mut self, topic: &Topic) {
        if let Some(watched) = self.watched.get_mut(&topic.name) {
            watched.listeners -= 1;
            if watched.listeners == 0 {
                self.watched.remove(&topic.name);
            }
        }
    }

    /// Notes an event with its number; `first` is that of the first event which the ring still has. Gives the bells
    /// of those who wait for it.
    pub fn note(&mut self, event: &Event, number: u64, first: u64) -> Vec<Arc<Notify>> {
        let Some(about) = self.about.filter(|_| !self.watched.is_empty()) else { return Vec::new() };
        let entries = || event.entry.iter().chain(&event.prev);
        let mut bells = Vec::new();
        let mut note = |watched: &mut Watched| {
            if watched.events.back() != Some(&number) {
                watched.add(number, first);
                bells.push(watched.bell.clone());
            }
        };
        for entry in entries() {
            match subject(about, entry) {
                Some(name) => self.watched.get_mut(name).into_iter().for_each(&mut note),
                None => self.watched.values_mut().for_each(&mut note),
            }
        }
        bells
    }

    /// The numbers of the topic's events from `number` on; `None` when they are not all known.
    pub fn from<'t>(&'t self, topic: &Topic, number: u64) -> Option<impl Iterator<Item = u64> + use<'t>> {
        let watched = self.watched.get(&topic.name).filter(|watched| number >= watched.since)?;
        let at = watched.events.partition_point(|event| *event < number);
        Some(watched.events.range(at..).copied())
    }

    /// Nothing is known any more of what was before the event `end`.
    pub fn restart(&mut self, end: u64) {
        for watched in self.watched.values_mut() {
            watched.events.clear();
            watched.since = end;
        }
    }

    /// Wakes everybody.
    pub fn ring_all(&self) {
        self.watched.values().for_each(|watched| watched.bell.notify_waiters());
    }
}

impl Watched {
    fn add(&mut self, number: u64, first: u64) {
        while self.events.front().is_some_and(|event| *event < first) {
            self.since = self.events.pop_front().map_or(self.since, |event| event + 1);
        }
        self.events.push_back(number);
    }
}
