//! The engine over etcd: keys are the original's full keys, values the raw bytes, so that an original server
//! could read and go on.
//!
//! etcd decides and keeps; the index follows it, one watch for each space that somebody asked for (`feed`).
//! Several servers on one etcd are correct: compares are etcd's, a `get` reads etcd itself, and `sync` waits
//! until the feed has caught up with etcd's newest revision.

mod commit;
mod compactor;
mod feed;
mod lease;
mod sync;
#[cfg(test)]
mod tests;
mod wire;

use crate::engine::{Engine, Pending};
use crate::entry::Entry;
use crate::error::Error;
use crate::index::{HistoryLimits, Horizon, Index, SpaceIndex};
use crate::key::{Key, Revision, Space};
use crate::seal::Sealing;
use crate::txn::{Committed, Txn};
use etcd_client::{Client, ConnectOptions, KvClient, LeaseClient, WatchClient};
use feed::Feed;
use lease::Leases;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OnceCell};
use tokio::task::AbortHandle;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pings that notice a dead connection under a silent watch.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The feed of one space, once it is open.
type Opening = Arc<OnceCell<(Arc<SpaceIndex>, Arc<Notify>)>>;

/// See the head of the file.
pub(crate) struct Etcd {
    index: Arc<Index>,
    remote: Remote,
    leases: Leases,
    /// Whether a progress answer of this etcd may be believed.
    has_progress: bool,
    feeds: Mutex<HashMap<Space, Opening>>,
    tasks: Mutex<Vec<AbortHandle>>,
    closed: AtomicBool,
    sealing: Sealing,
}

/// The parts of the client; cloning one is cheap, and each call needs its own.
#[derive(Clone)]
pub(super) struct Remote {
    kv: KvClient,
    watch: WatchClient,
    lease: LeaseClient,
}

/// etcd's errors as ours.
pub(super) fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("etcd: {error}"))
}

/// One call, with a bound on its time.
pub(super) async fn call<T>(call: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(unavailable),
        Err(_) => Err(unavailable(format_args!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
    }
}

impl Etcd {
    /// Connects, and asks for the version and the newest revision.
    pub async fn open(
        urls: &[String],
        history: HistoryLimits,
        sealing: Sealing,
    ) -> Result<(Arc<Self>, Arc<Index>), Error> {
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        let client = call(Client::connect(urls, Some(options))).await?;
        let mut maintenance = client.maintenance_client();
        let status = call(maintenance.status()).await?;
        let has_progress = wire::has_progress(status.version());
        let revision = status.header().map_or(0, |header| wire::revision(header.revision()));
        let index = Arc::new(Index::new(revision, history));
        let remote = Remote {
            kv: client.kv_client().max_decoding_message_size(usize::MAX),
            watch: client.watch_client().max_decoding_message_size(usize::MAX),
            lease: client.lease_client(),
        };
        let compactor = tokio::spawn(compactor::run(remote.kv.clone())).abort_handle();
        let engine = Etcd {
            index: index.clone(),
            leases: Leases::new(remote.lease.clone()),
            remote,
            has_progress,
            feeds: Mutex::default(),
            tasks: Mutex::new(vec![compactor]),
            closed: AtomicBool::new(false),
            sealing,
        };
        Ok((Arc::new(engine), index))
    }

    /// The index of a space and the bell that asks its feed how far it is; reads the space the first time.
    async fn feed(&self, space: &Space) -> Result<(Arc<SpaceIndex>, Arc<Notify>), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let opening = self.feeds.lock().entry(space.clone()).or_default().clone();
        let opened = opening.get_or_try_init(|| self.open_feed(space)).await?;
        Ok(opened.clone())
    }

    async fn open_feed(&self, space: &Space) -> Result<(Arc<SpaceIndex>, Arc<Notify>), Error> {
        let (entries, revision) = feed::read_all(&self.remote.kv, space, None, &self.sealing).await?;
        let index = self.index.add_loaded(space, entries, Arc::new(Horizon::new(revision)));
        let asked = Arc::new(Notify::new());
        let feed = Feed {
            remote: self.remote.clone(),
            space: index.clone(),
            newest: self.index.horizon.clone(),
            asked: asked.clone(),
            sealing: self.sealing.clone(),
        };
        self.tasks.lock().push(tokio::spawn(feed.run()).abort_handle());
        Ok((index, asked))
    }

    fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

impl Engine for Etcd {
    fn commit(&self, txn: Txn) -> Pending<'_, Committed> {
        Box::pin(self.commit_remote(txn))
    }

    fn open_space<'a>(&'a self, space: &'a Space) -> Pending<'a, Arc<SpaceIndex>> {
        Box::pin(async move { Ok(self.feed(space).await?.0) })
    }

    fn barrier<'a>(&'a self, space: &'a Arc<SpaceIndex>) -> Option<Pending<'a, Revision>> {
        Some(Box::pin(self.sync_space(space)))
    }

    fn read<'a>(&'a self, key: &'a Key) -> Option<Pending<'a, Option<Arc<Entry>>>> {
        Some(Box::pin(self.read_remote(key)))
    }

    fn hasten(&self, space: &Arc<SpaceIndex>) {
        let opening = self.feeds.lock().get(&space.name).cloned();
        if let Some((_, asked)) = opening.as_ref().and_then(|opening| opening.get())
            && self.has_progress
        {
            asked.notify_one();
        }
    }

    fn compact(&self, revision: Revision) -> Pending<'_, ()> {
        Box::pin(compactor::compact(self.remote.kv.clone(), revision))
    }

    fn close(&self) -> Pending<'_, ()> {
        self.stop();
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}
