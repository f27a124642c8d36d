//! One watch for each resource that can be listed, watched and deleted, read for the heads of its objects only.

use super::Shared;
use super::graph::Task;
use api::Str;
use client::{Client, Error, EventKind, Resource};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids};
use tokio::sync::watch;

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Watches one resource until it is aborted.
pub struct Monitor {
    pub shared: Arc<Shared>,
    pub client: Client,
    pub resource: Arc<Resource>,
    /// Set once all that was there has been seen.
    pub synced: watch::Sender<bool>,
}

impl Monitor {
    pub async fn run(self) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY).with_jitter(0.2);
        let mut version = Str::default();
        loop {
            match self.follow(&mut version, &mut backoff).await {
                Ok(()) => {}
                Err(error) if error.is_expired() => version = Str::default(),
                Err(error) => {
                    tracing::debug!(resource = self.resource.plural, %error, "watch ended");
                    tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
                }
            }
        }
    }

    async fn follow(&self, version: &mut Str, backoff: &mut Backoff) -> Result<(), Error> {
        let fresh = version.as_str().is_empty();
        let start = if fresh { "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&" } else { "" };
        let query = format!("{start}allowWatchBookmarks=true&resourceVersion={version}");
        let mut stream = self.client.watch(&self.resource, "", &query).await?;
        let mut seen = fresh.then(HashSet::new);
        while let Some(event) = stream.next_meta().await? {
            backoff.reset();
            if let Some(seen) = &mut seen {
                seen.insert(event.meta.uid.clone());
            } else {
                version.clone_from(&event.meta.resource_version);
            }
            if event.kind == EventKind::Bookmark {
                if event.meta.ends_initial {
                    self.forget_all_but(&seen.take().unwrap_or_default());
                    version.clone_from(&event.meta.resource_version);
                    self.synced.send_replace(true);
                }
                continue;
            }
            self.shared.heads.tell(&self.resource, &event);
            let tasks = self.shared.graph.lock().observe(&self.resource, event.kind, event.meta);
            self.shared.add(tasks);
            if seen.is_none() && self.changes_kinds() {
                self.shared.kinds_changed();
            }
        }
        Ok(())
    }

    /// What was there before a gap in the events and is not there after it is gone.
    fn forget_all_but(&self, seen: &HashSet<Str>) {
        let mut graph = self.shared.graph.lock();
        let gone: Vec<Str> =
            graph.uids_of(&self.resource).into_iter().filter(|uid| !seen.contains(uid)).collect();
        let tasks: Vec<Task> = gone.iter().flat_map(|uid| graph.remove(uid)).collect();
        drop(graph);
        self.shared.add(tasks);
    }

    /// Objects of this resource make other resources come and go.
    fn changes_kinds(&self) -> bool {
        matches!(self.resource.plural.as_str(), "customresourcedefinitions" | "apiservices")
    }
}
