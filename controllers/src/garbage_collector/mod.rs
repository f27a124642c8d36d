//! generic-garbage-collector: deletes what has lost all its owners, in the background or before the owner goes
//! (`foregroundDeletion`), or cuts the ties (`orphan`).
//!
//! It watches every kind that discovery lists. The graph says what to look at; before it acts, the server is asked.

mod collect;
mod graph;
mod monitor;

use crate::discovery::{self, Discovered};
use crate::heads::Heads;
use crate::reconcile::{self, Outcome};
use crate::{Connect, Context, Recorder};
use client::{Client, Resource, WorkQueue};
use graph::{Graph, Task};
use monitor::Monitor;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

const WORKERS: usize = 8;
/// How many watches share a connection: well below the server's limit of streams.
const WATCHES_PER_CONNECTION: usize = 100;
/// Changes of kinds come in groups.
const SETTLE: Duration = Duration::from_millis(50);
/// How long collection waits for a watch that does not answer.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// The key of the work queue that stands for discovery.
const KINDS: &str = "kinds";

/// What monitors, discovery and collection have in common.
struct Shared {
    client: Client,
    recorder: Recorder,
    connect: Connect,
    heads: Heads,
    identity: String,
    graph: Mutex<Graph>,
    kinds: Mutex<Kinds>,
    tasks: WorkQueue,
    discover: WorkQueue,
}

/// The resources that are watched.
#[derive(Default)]
struct Kinds {
    /// By group and kind, for owner references of any version.
    by_kind: HashMap<(String, String), Arc<Resource>>,
    monitors: HashMap<Resource, (AbortHandle, watch::Receiver<bool>)>,
    /// The connection of the latest watches, and how many were opened in all.
    watcher: Option<Client>,
    opened: usize,
}

pub fn start(context: &Context<'_>) {
    let shared = Arc::new(Shared {
        client: context.client.clone(),
        recorder: context.recorder.clone(),
        connect: context.connect.clone(),
        heads: context.heads.clone(),
        identity: context.identity.clone(),
        graph: Mutex::default(),
        kinds: Mutex::default(),
        tasks: WorkQueue::new(),
        discover: WorkQueue::new(),
    });
    shared.discover.add(KINDS);
    let (ready, started) = watch::channel(false);
    let ready = Arc::new(ready);
    let discoverer = shared.clone();
    reconcile::run("garbage-collector-kinds", &shared.discover, 1, move |_| {
        let (shared, ready) = (discoverer.clone(), ready.clone());
        async move {
            shared.discover_kinds().await?;
            ready.send_replace(true);
            Ok(())
        }
    });
    client::spawn(async move {
        let mut started = started;
        if started.wait_for(|ready| *ready).await.is_err() {
            return;
        }
        shared.synced().await;
        let worker = shared.clone();
        reconcile::run("garbage-collector", &shared.tasks, WORKERS, move |key| {
            let shared = worker.clone();
            async move { shared.work(&key).await }
        });
    });
}

impl Shared {
    fn add(&self, tasks: impl IntoIterator<Item = Task>) {
        for task in tasks {
            match task {
                Task::Delete(uid) => self.tasks.add(format!("d/{uid}")),
                Task::Orphan(uid) => self.tasks.add(format!("o/{uid}")),
            }
        }
    }

    async fn work(self: &Arc<Self>, key: &str) -> Outcome {
        match key.split_once('/') {
            Some(("d", uid)) => self.attempt_to_delete(uid).await,
            Some(("o", uid)) => self.orphan_dependents(uid).await,
            _ => Ok(()),
        }
    }

    fn kinds_changed(&self) {
        self.discover.add_after(KINDS, SETTLE);
    }

    /// Starts to watch what is new and stops to watch what is gone.
    async fn discover_kinds(self: &Arc<Self>) -> Outcome {
        let found = discovery::resources(&self.client).await?;
        let wanted: Vec<Discovered> = found.into_iter().filter(is_collected).collect();
        let mut kinds = self.kinds.lock();
        kinds.by_kind.clear();
        for entry in &wanted {
            let key = (entry.resource.group.clone(), entry.kind.clone());
            kinds.by_kind.insert(key, Arc::new(entry.resource.clone()));
        }
        kinds.monitors.retain(|resource, (task, _)| {
            let stays = wanted.iter().any(|entry| entry.resource == *resource);
            if !stays {
                task.abort();
            }
            stays
        });
        for entry in wanted {
            if !kinds.monitors.contains_key(&entry.resource) {
                let client = kinds.watcher(|| (self.connect)(&self.identity));
                let (synced, seen) = watch::channel(false);
                let resource = Arc::new(entry.resource.clone());
                let monitor = Monitor { shared: self.clone(), client, resource, synced };
                let task = client::spawn(monitor.run()).abort_handle();
                kinds.monitors.insert(entry.resource, (task, seen));
            }
        }
        Ok(())
    }

    /// Waits until all watches have shown what is there.
    async fn synced(&self) {
        let waiting: Vec<_> = self.kinds.lock().monitors.values().map(|(_, seen)| seen.clone()).collect();
        let all = async {
            for mut seen in waiting {
                // An error means that the resource is gone already.
                let _ = seen.wait_for(|synced| *synced).await;
            }
        };
        let _ = tokio::time::timeout(SYNC_TIMEOUT, all).await;
    }

    /// The resource of a kind that an owner reference names.
    fn resource_of(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        self.kinds.lock().by_kind.get(&(group.to_owned(), kind.to_owned())).cloned()
    }
}

impl Kinds {
    fn watcher(&mut self, connect: impl FnOnce() -> Client) -> Client {
        let room = !self.opened.is_multiple_of(WATCHES_PER_CONNECTION);
        self.opened += 1;
        if let Some(client) = self.watcher.as_ref().filter(|_| room) {
            return client.clone();
        }
        self.watcher.insert(connect()).clone()
    }
}

/// Events own nothing and are owned by nothing that matters.
fn is_collected(entry: &Discovered) -> bool {
    ["delete", "list", "watch"].iter().all(|verb| entry.has(verb)) && entry.kind != "Event"
}
