//! The handle that callers hold, and `open`, which chooses the engine.

use crate::embedded::Embedded;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::Error;
use crate::etcd::Etcd;
use crate::index::{HistoryLimits, Index, ListQuery, Page, SpaceIndex, SpaceStats, Topic};
use crate::key::{Key, Revision, Scope, Space};
use crate::memory::Memory;
use crate::seal::{Seal, Sealing};
use crate::txn::{Committed, Txn};
use crate::watch::Watch;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

/// Where a new store begins: those who ask for a revision as small as 1 mean one that is long gone, and are told so.
const FIRST_REVISION: Revision = 100;
/// How often a waiter for a revision nudges a remote store.
const NUDGE: Duration = Duration::from_millis(100);

/// Which engine, and where its data is.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Nothing outlives the process.
    Memory,
    /// Durable, in a directory of this machine, which one process has to itself.
    Embedded(PathBuf),
    /// etcd, by the URLs of its members; others may use it at the same time.
    Etcd(Vec<String>),
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The engine.
    pub backend: Backend,
    /// How much history each space keeps in memory.
    pub history: HistoryLimits,
    /// The wall clock, for lifetimes.
    pub clock: Clock,
    /// How values rest in engines that keep them outside of this process; as they are without.
    pub seal: Option<Arc<dyn Seal>>,
}

/// Keys, bytes, revisions. Cheap to clone; the last clone that is dropped stops the engine.
#[derive(Clone)]
pub struct Store {
    index: Arc<Index>,
    engine: Arc<dyn Engine>,
    sealing: Sealing,
}

impl StoreConfig {
    /// A store in memory.
    pub fn memory() -> Self {
        StoreConfig::new(Backend::Memory)
    }

    /// A durable store in a directory, made when it is not there.
    pub fn embedded(dir: impl Into<PathBuf>) -> Self {
        StoreConfig::new(Backend::Embedded(dir.into()))
    }

    /// A store in etcd.
    pub fn etcd(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        StoreConfig::new(Backend::Etcd(urls.into_iter().map(Into::into).collect()))
    }

    fn new(backend: Backend) -> Self {
        StoreConfig { backend, history: HistoryLimits::default(), clock: Clock::system(), seal: None }
    }
}

/// A process that was just ended, or one just forked from the owner, may hold a directory for a moment.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Opens a store; must be called inside a tokio runtime.
    pub async fn open(config: StoreConfig) -> Result<Store, Error> {
        match config.backend {
            Backend::Memory => Ok(Store::memory(config.history, config.clock)),
            Backend::Embedded(dir) => {
                let open = || {
                    Embedded::open(&dir, FIRST_REVISION, config.history, config.clock.clone(), &config.seal)
                };
                let mut tries = 0;
                let (engine, index) = loop {
                    match open() {
                        Err(error) if error.is_in_use() && tries < LOCK_TRIES => tries += 1,
                        opened => break opened?,
                    }
                    tokio::time::sleep(LOCK_PAUSE).await;
                };
                Ok(Store { index, engine, sealing: config.seal })
            }
            Backend::Etcd(urls) => {
                let (engine, index) = Etcd::open(&urls, config.history, config.seal.clone()).await?;
                Ok(Store { index, engine, sealing: config.seal })
            }
        }
    }

    /// A store in memory.
    pub fn memory(history: HistoryLimits, clock: Clock) -> Store {
        let index = Arc::new(Index::new(FIRST_REVISION, history));
        Store { engine: Memory::new(index.clone(), clock), index, sealing: None }
    }

    #[cfg(test)]
    pub(crate) fn with_engine(index: Arc<Index>, engine: Arc<dyn Engine>) -> Store {
        Store { index, engine, sealing: None }
    }

    /// The latest value of a key: everything committed before the call, by anybody, is seen.
    pub async fn get(&self, key: &Key) -> Result<Option<Arc<Entry>>, Error> {
        let found = match self.engine.read(key) {
            None => self.index.get(key),
            Some(read) => read.await?,
        };
        Ok(found.map(|entry| self.opened(entry)))
    }

    /// The value of a key as the index has it; over etcd it may be some moments old.
    pub async fn get_stale(&self, key: &Key) -> Result<Option<Arc<Entry>>, Error> {
        Ok(self.space(&key.space).await?.get(&key.rest).map(|entry| self.opened(entry)))
    }

    /// A list from the index. For one that shows everything committed before the call, `sync` first.
    ///
    /// At an older revision it is exact, or `Compacted`; at one not reached yet it is `FutureRevision`
    /// (`wait_for` first).
    pub async fn list(&self, space: &Space, query: &ListQuery) -> Result<Page, Error> {
        let mut page = self.space(space).await?.list(query)?;
        if self.sealing.is_some() {
            let broken = page.entries.iter_mut().filter(|entry| entry.fault().is_some());
            broken.for_each(|entry| *entry = self.opened(entry.clone()));
        }
        Ok(page)
    }

    /// Does all of it at one revision, or, when a compare does not hold, nothing (`Conflict`). Returns once it
    /// is durable and visible to every read. Dropping the future does not take it back.
    pub async fn commit(&self, mut txn: Txn) -> Result<Committed, Error> {
        txn.seal(&self.sealing)?;
        self.engine.commit(txn).await
    }

    /// Whether a value would rest otherwise if it were written now.
    pub fn is_stale(&self, entry: &Entry) -> bool {
        self.sealing.as_ref().is_some_and(|seal| seal.is_stale(&entry.key, entry.at_rest()))
    }

    /// The events of a scope after the revision `from`; `Compacted` when they are gone. A revision not reached
    /// yet is allowed: events up to it are left out.
    pub async fn watch(&self, space: &Space, scope: Scope, from: Revision) -> Result<Watch, Error> {
        Watch::open(self.space(space).await?, scope, from)
    }

    /// As `watch`, of the events of one topic only.
    pub async fn watch_topic(
        &self,
        space: &Space,
        scope: Scope,
        topic: Topic,
        from: Revision,
    ) -> Result<Watch, Error> {
        Watch::open_topic(self.space(space).await?, scope, topic, from)
    }

    /// Returns once the index of the space shows everything committed before the call, by anybody; gives the
    /// revision it then shows.
    pub async fn sync(&self, space: &Space) -> Result<Revision, Error> {
        let space = self.space(space).await?;
        match self.engine.barrier(&space) {
            None => Ok(space.horizon.revision()),
            Some(barrier) => barrier.await,
        }
    }

    /// Returns once the index of the space has reached `revision`; `FutureRevision` when it did not in time.
    /// Over an etcd before 3.4.25 or 3.5.8 a space in which nothing happens does not hear of newer revisions.
    pub async fn wait_for(&self, space: &Space, revision: Revision, timeout: Duration) -> Result<(), Error> {
        let space = self.space(space).await?;
        if space.horizon.revision() >= revision {
            return Ok(());
        }
        let nudge = async {
            loop {
                self.engine.hasten(&space);
                tokio::time::sleep(NUDGE).await;
            }
        };
        tokio::select! {
            reached = space.horizon.reach_within(revision, timeout) => reached,
            () = nudge => Ok(()),
        }
    }

    /// The newest revision the index of the space shows; watches and lists go up to here.
    pub async fn revision(&self, space: &Space) -> Result<Revision, Error> {
        Ok(self.space(space).await?.horizon.revision())
    }

    /// The newest revision known. Over etcd: of any space.
    pub fn current_revision(&self) -> Revision {
        self.index.horizon.revision()
    }

    /// Forgets the history up to `revision` (never the current values).
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.index.compact(revision);
        self.engine.compact(revision).await
    }

    /// Stops: later commits, and watches that have caught up, get `Closed`.
    pub async fn close(&self) -> Result<(), Error> {
        let closed = self.engine.close().await;
        self.index.close();
        closed
    }

    /// What the memory of each space amounts to, in the order of their names.
    pub fn stats(&self) -> Vec<SpaceStats> {
        let mut stats: Vec<_> = self.index.all().iter().map(|space| space.stats()).collect();
        stats.sort_by(|a, b| a.space.cmp(&b.space));
        stats
    }

    /// The same for one space; nothing as long as nobody has asked for anything in it.
    pub fn stats_of(&self, space: &Space) -> Option<SpaceStats> {
        self.index.find(space).map(|space| space.stats())
    }

    /// The entry, and where it could not be opened so far, opened if that is possible now; the index keeps it.
    fn opened(&self, entry: Arc<Entry>) -> Arc<Entry> {
        let Some(opened) = entry.reopened(&self.sealing) else { return entry };
        match self.index.find(&entry.key.space) {
            Some(space) => space.heal(opened),
            None => opened,
        }
    }

    async fn space(&self, space: &Space) -> Result<Arc<SpaceIndex>, Error> {
        match self.index.find(space) {
            Some(found) => Ok(found),
            None => self.engine.open_space(space).await,
        }
    }
}
