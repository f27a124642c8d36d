//! What the store holds and tells: a value with its revisions, and the event that put or deleted it.

use crate::key::{Key, Revision};
use crate::seal::Kept;
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// Something the store's owner keeps beside a value (a decoded or encoded view); the store never looks at it.
pub type Attachment = OnceLock<Arc<dyn Any + Send + Sync>>;

/// One stored value. Shared: the index, the ring of events, lists and watches hold the same `Arc<Entry>`, so
/// what is attached once is seen by all of them. Never changes; an update makes another.
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// The bytes as put in.
    pub value: Bytes,
    /// The commit that made the key (after its last deletion).
    pub create_revision: Revision,
    /// The commit that wrote this value.
    pub mod_revision: Revision,
    /// 1 for the first value since the key was made, then counted up by every put.
    pub version: u64,
    /// The owner's view of the value.
    pub ext: Attachment,
    /// Which write of the commit `create_revision` made the key; with it, the key's identity on disk.
    pub(crate) ordinal: u16,
    /// Wall clock in milliseconds after which the key is deleted; 0 when it stays.
    pub(crate) expires_ms: u64,
    /// The bytes as they rest in the engine, where these are others.
    pub(crate) kept: Option<Box<Kept>>,
}

impl Entry {
    /// Roughly what it occupies.
    pub(crate) fn weight(&self) -> u64 {
        let kept = if self.kept.is_some() { self.at_rest().len() } else { 0 };
        (self.value.len() + kept + self.key.rest.len() + std::mem::size_of::<Entry>() + 48) as u64
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { key, value, create_revision, mod_revision, version, .. } = self;
        write!(f, "{key:?}@{mod_revision} (made {create_revision}, v{version}, {} bytes)", value.len())
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A value was written.
    Put,
    /// The key was removed.
    Delete,
}

/// One change of one key. Shared by every watcher.
pub struct Event {
    /// The commit it belongs to. A commit on several keys makes several events of one revision.
    pub revision: Revision,
    /// The key that changed.
    pub key: Key,
    /// What happened.
    pub kind: EventKind,
    /// The new value; `None` for a deletion.
    pub entry: Option<Arc<Entry>>,
    /// The value before; `None` when the key did not exist.
    pub prev: Option<Arc<Entry>>,
    /// The owner's view of the event (an encoded watch frame).
    pub ext: Attachment,
    pub(crate) at: Instant,
}

impl Event {
    /// What the ring is charged for it: the value that it keeps alive.
    pub(crate) fn weight(&self) -> u64 {
        let held = self.entry.as_ref().or(self.prev.as_ref()).map_or(0, |entry| entry.weight());
        held + std::mem::size_of::<Event>() as u64
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}@{}", self.kind, self.key, self.revision)
    }
}
