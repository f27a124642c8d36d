//! Reads that see everything committed before them, by anybody.

use super::{Etcd, call, unavailable, wire};
use crate::entry::Entry;
use crate::error::Error;
use crate::index::SpaceIndex;
use crate::key::{Key, Revision};
use etcd_client::GetOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a feed may lag behind.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a lagging feed is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Etcd {
    /// One key, from etcd; the index's entry when it has the same.
    pub(super) async fn read_remote(&self, key: &Key) -> Result<Option<Arc<Entry>>, Error> {
        let answer = call(self.remote.kv.clone().get(key.full(), None)).await?;
        let Some(kv) = answer.kvs().first() else { return Ok(None) };
        let known =
            self.index.get(key).filter(|known| known.mod_revision == wire::revision(kv.mod_revision()));
        Ok(Some(known.unwrap_or_else(|| wire::entry(key.clone(), kv, &self.sealing))))
    }

    /// Waits until the index of the space shows what etcd has now.
    pub(super) async fn sync_space(&self, space: &Arc<SpaceIndex>) -> Result<Revision, Error> {
        match self.has_progress {
            true => self.sync_by_progress(space).await,
            false => self.sync_by_content(space).await,
        }
    }

    /// Asks etcd for its newest revision, and the feed to tell when it is there.
    async fn sync_by_progress(&self, space: &Arc<SpaceIndex>) -> Result<Revision, Error> {
        use crate::engine::Engine;
        let options = GetOptions::new().with_count_only();
        let answer = call(self.remote.kv.clone().get(space.name.as_str(), Some(options))).await?;
        let newest = answer.header().map_or(0, |header| wire::revision(header.revision()));
        let end = Instant::now() + PATIENCE;
        while space.horizon.revision() < newest {
            self.hasten(space);
            match space.horizon.reach_within(newest, ASK_AGAIN).await {
                Err(Error::FutureRevision { .. }) if Instant::now() < end => {}
                Err(Error::FutureRevision { .. }) => return Err(lagging()),
                reached => reached?,
            }
        }
        Ok(space.horizon.revision())
    }

    /// For an etcd whose word on progress cannot be taken. The index is up to date when etcd has as many keys
    /// as it, and none that was written after its horizon: then nothing was put since, nor deleted.
    async fn sync_by_content(&self, space: &Arc<SpaceIndex>) -> Result<Revision, Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (keys, horizon) = space.extent();
            let options = GetOptions::new()
                .with_prefix()
                .with_keys_only()
                .with_limit(1)
                .with_min_mod_revision(wire::signed(horizon + 1));
            let answer = call(self.remote.kv.clone().get(space.name.as_str(), Some(options))).await?;
            if answer.kvs().is_empty() && answer.count() == wire::signed(keys as u64) {
                return Ok(horizon);
            }
            match space.horizon.reach_within(horizon + 1, ASK_AGAIN).await {
                Err(Error::FutureRevision { .. }) if Instant::now() < end => {}
                Err(Error::FutureRevision { .. }) => return Err(lagging()),
                reached => reached?,
            }
        }
    }
}

fn lagging() -> Error {
    unavailable(format_args!("the watch lags by more than {} s", PATIENCE.as_secs()))
}
