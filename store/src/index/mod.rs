//! The store in memory: every space's current entries and recent events. All engines read from here; they
//! differ in who puts the changes in, and when.
//!
//! A commit is published under the locks of all its spaces, and the horizon moves before they are released:
//! whoever holds a space's lock sees exactly the state at the horizon's revision.

mod horizon;
mod past;
mod ring;
mod space;
mod state;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use horizon::Horizon;
pub use ring::HistoryLimits;
pub(crate) use space::SpaceIndex;
pub use space::SpaceStats;
pub(crate) use state::State;
pub use state::{ListQuery, Page};
pub use topics::{About, Topic};

use crate::entry::Entry;
use crate::key::{Key, Revision, Space};
use crate::txn::Change;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// See the head of the file.
pub(crate) struct Index {
    spaces: RwLock<HashMap<Space, Arc<SpaceIndex>>>,
    /// The common horizon of engines that assign revisions; etcd's spaces have their own.
    pub horizon: Arc<Horizon>,
    /// What a new space knows nothing before.
    floor: Revision,
    limits: HistoryLimits,
}

/// A published commit, to be announced: its spaces and the keys that changed in them, and the bells of topics.
#[derive(Default)]
pub(crate) struct Announcement(Vec<(Arc<SpaceIndex>, Vec<Arc<str>>)>, Vec<Arc<Notify>>);

impl Index {
    /// An index of a store that is at `revision`, and knows nothing of what was before.
    pub fn new(revision: Revision, limits: HistoryLimits) -> Self {
        let horizon = Arc::new(Horizon::new(revision));
        Index { spaces: RwLock::default(), horizon, floor: revision, limits }
    }

    /// The space, if anybody asked for it before.
    pub fn find(&self, space: &Space) -> Option<Arc<SpaceIndex>> {
        self.spaces.read().get(space).cloned()
    }

    /// The space; an empty one, the first time.
    pub fn space(&self, space: &Space) -> Arc<SpaceIndex> {
        self.find(space).unwrap_or_else(|| self.add(space, self.floor, self.horizon.clone()))
    }

    /// A space with a horizon of its own and what was read at the revision where that stands.
    pub fn add_loaded(
        &self,
        space: &Space,
        entries: BTreeMap<Arc<str>, Arc<Entry>>,
        horizon: Arc<Horizon>,
    ) -> Arc<SpaceIndex> {
        let floor = horizon.revision();
        self.horizon.advance(floor);
        let index = SpaceIndex::new(space.clone(), floor, horizon, self.limits);
        index.state.write().replace(entries, floor);
        self.spaces.write().entry(space.clone()).or_insert_with(|| Arc::new(index)).clone()
    }

    /// An empty space; if somebody was first, theirs.
    fn add(&self, space: &Space, floor: Revision, horizon: Arc<Horizon>) -> Arc<SpaceIndex> {
        let make = || Arc::new(SpaceIndex::new(space.clone(), floor, horizon, self.limits));
        self.spaces.write().entry(space.clone()).or_insert_with(make).clone()
    }

    /// Fills a space at start.
    pub fn load(&self, space: &Space, entries: BTreeMap<Arc<str>, Arc<Entry>>) {
        self.space(space).state.write().replace(entries, self.floor);
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.find(&key.space)?.get(&key.rest)
    }

    pub fn all(&self) -> Vec<Arc<SpaceIndex>> {
        self.spaces.read().values().cloned().collect()
    }

    /// Makes the changes of one commit visible. Commits are published in the order of their revisions by one
    /// caller at a time. Nobody is woken before `announce`.
    pub fn publish(&self, revision: Revision, changes: Vec<Change>, announcement: &mut Announcement) {
        let at = Instant::now();
        let mut spaces: Vec<Arc<SpaceIndex>> = Vec::with_capacity(1);
        for change in &changes {
            if !spaces.iter().any(|space| space.name == change.key.space) {
                spaces.push(self.space(&change.key.space));
            }
        }
        // One order for all who take more than one lock.
        spaces.sort_by(|a, b| a.name.cmp(&b.name));
        let mut states: Vec<_> = spaces.iter().map(|space| (space, space.state.write())).collect();
        for change in changes {
            announcement.add(&spaces, &change.key);
            if let Some((space, state)) = states.iter_mut().find(|(space, _)| space.name == change.key.space)
            {
                announcement.1.extend(state.apply(revision, change, at, &space.limits));
            }
        }
        self.horizon.advance(revision);
    }

    /// Wakes all who wait for what was published.
    pub fn announce(&self, announcement: Announcement) {
        self.horizon.announce();
        for (space, keys) in announcement.0 {
            space.ring_for(keys.iter().map(|rest| &**rest));
        }
        announcement.1.iter().for_each(|bell| bell.notify_waiters());
    }

    pub fn compact(&self, revision: Revision) {
        for space in self.all() {
            space.compact(revision);
        }
    }

    /// Ends every wait.
    pub fn close(&self) {
        self.horizon.close();
        for space in self.all() {
            space.horizon.close();
            space.close();
        }
    }
}

impl Announcement {
    fn add(&mut self, spaces: &[Arc<SpaceIndex>], key: &Key) {
        if let Some((_, keys)) = self.0.iter_mut().find(|(space, _)| space.name == key.space) {
            keys.push(key.rest.clone());
        } else if let Some(space) = spaces.iter().find(|space| space.name == key.space) {
            self.0.push((space.clone(), vec![key.rest.clone()]));
        }
    }
}
