//! Keys, bytes, revisions, watch: the store behind the API server. It does not know what an object is.
//!
//! A [`Key`] is a [`Space`] (the prefix of one resource) and the rest. One in-memory index serves the reads of
//! all engines; they differ in who puts the commits in, and when. What holds for every engine:
//!
//! 1. Every commit that changes something has one [`Revision`], greater than all before it, also across
//!    restarts. All its writes become visible together, and no reader ever sees a part of them.
//! 2. Acknowledged means durable (but for `memory`) and visible to every later read of the same handle.
//! 3. A list names the revision it was read at, and is exactly the state at that revision. An older revision
//!    is answered exactly or with [`Error::Compacted`], a newer one with [`Error::FutureRevision`].
//! 4. A [`Watch`] from a revision gives every later event of its scope exactly once, in order, or
//!    [`Error::Compacted`]; never a gap. It is a place in a shared ring, not a queue.
//! 5. An [`Entry`] never changes and is shared: index, ring, lists and watches hold the same one, and what its
//!    owner attaches to it (`ext`) is shared with it.
//! 6. History is bounded by count, bytes and age ([`HistoryLimits`]); idle is idle: nothing polls.

// The tests of `tests/` share their engines with those in here.
#[cfg(test)]
extern crate self as store;

mod embedded;
mod engine;
mod entry;
mod error;
mod etcd;
mod expiry;
mod handle;
mod index;
mod key;
mod memory;
mod seal;
mod txn;
mod watch;

pub use entry::{Attachment, Entry, Event, EventKind};
pub use error::{Conflict, Error};
pub use handle::{Backend, Store, StoreConfig};
pub use index::{About, HistoryLimits, ListQuery, Page, SpaceStats, Topic};
pub use key::{Key, Revision, Scope, Space};
pub use seal::Seal;
pub use txn::{Committed, Txn, Write};
pub use watch::Watch;
