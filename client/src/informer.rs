//! An informer: a local copy of a resource that follows the server, and the news of what changed in it.

use crate::{Client, Error, Event, EventKind, Resource};
use api::Value;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids};
use tokio::sync::watch;

/// How long a follower waits after its first failure, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The local copy, by `NS/NAME` or `NAME`.
#[derive(Default)]
pub struct Cache {
    objects: RwLock<BTreeMap<String, Arc<Value>>>,
}

impl Cache {
    pub fn get(&self, key: &str) -> Option<Arc<Value>> {
        self.objects.read().get(key).cloned()
    }

    /// All objects, or those of a namespace.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Value>> {
        let objects = self.objects.read();
        if namespace.is_empty() {
            return objects.values().cloned().collect();
        }
        let prefix = format!("{namespace}/");
        objects
            .range(prefix.clone()..)
            .take_while(|(k, _)| k.starts_with(&prefix))
            .map(|(_, v)| v.clone())
            .collect()
    }

    pub fn len(&self) -> usize {
        self.objects.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What changed: the old object, the new one; one of them is missing at the beginning and the end.
pub type Handler = Arc<dyn Fn(Option<&Arc<Value>>, Option<&Arc<Value>>) + Send + Sync>;

/// Follows one resource in all namespaces. Cheap to clone.
#[derive(Clone)]
pub struct Informer {
    cache: Arc<Cache>,
    synced: watch::Receiver<bool>,
}

/// `NS/NAME`, or `NAME` of a cluster-scoped object.
pub fn key_of(object: &Value) -> String {
    let name = object.str_at(&["metadata", "name"]);
    match object.str_at(&["metadata", "namespace"]) {
        "" => name.to_owned(),
        namespace => format!("{namespace}/{name}"),
    }
}

impl Informer {
    /// Starts to follow. `query` may select (`labelSelector=…`); `handler` is called for every change, in order.
    /// Ends when the runtime does.
    pub fn start(client: Client, resource: Resource, query: &str, handler: Handler) -> Self {
        let (sender, synced) = watch::channel(false);
        let cache = Arc::new(Cache::default());
        let follower = Follower {
            client,
            resource,
            query: query.to_owned(),
            handler,
            cache: cache.clone(),
            synced: sender,
        };
        tokio::spawn(follower.run());
        Informer { cache, synced }
    }

    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Returns once the whole present state has arrived.
    pub async fn synced(&self) {
        let mut synced = self.synced.clone();
        // An error means that the follower is gone, with the runtime.
        let _ = synced.wait_for(|done| *done).await;
    }
}

struct Follower {
    client: Client,
    resource: Resource,
    query: String,
    handler: Handler,
    cache: Arc<Cache>,
    synced: watch::Sender<bool>,
}

impl Follower {
    async fn run(self) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY).with_jitter(0.2);
        let mut version = String::new();
        loop {
            match self.follow(&mut version, &mut backoff).await {
                Ok(()) => {}
                Err(error) if error.is_expired() => version.clear(),
                Err(error) => {
                    tracing::debug!(resource = self.resource.plural, %error, "watch ended");
                    tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
                }
            }
        }
    }

    /// One watch, from the version reached or from the beginning.
    async fn follow(&self, version: &mut String, backoff: &mut Backoff) -> Result<(), Error> {
        const FRESH: &str = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&";
        let start = if version.is_empty() { FRESH } else { "" };
        let query = format!("{start}allowWatchBookmarks=true&resourceVersion={version}&{}", self.query);
        let mut stream = self.client.watch(&self.resource, "", query.trim_end_matches('&')).await?;
        let mut initial = version.is_empty().then(BTreeMap::new);
        while let Some(event) = stream.next().await? {
            backoff.reset();
            let now = event.object.str_at(&["metadata", "resourceVersion"]).to_owned();
            match (&mut initial, event.kind) {
                (Some(state), EventKind::Added | EventKind::Modified) => {
                    state.insert(key_of(&event.object), Arc::new(event.object));
                    continue;
                }
                (Some(_), EventKind::Bookmark) if ends_initial(&event.object) => {
                    self.replace(initial.take().unwrap_or_default());
                    self.synced.send_replace(true);
                }
                (Some(_), _) => continue,
                (None, _) => self.apply(event),
            }
            *version = now;
        }
        Ok(())
    }

    /// Makes the copy equal to `state`, telling of each difference.
    fn replace(&self, state: BTreeMap<String, Arc<Value>>) {
        let old = std::mem::replace(&mut *self.cache.objects.write(), state.clone());
        for (key, was) in &old {
            if !state.contains_key(key) {
                (self.handler)(Some(was), None);
            }
        }
        for (key, is) in &state {
            let was = old.get(key);
            if was.is_none_or(|was| was != is) {
                (self.handler)(was, Some(is));
            }
        }
    }

    fn apply(&self, event: Event) {
        let key = key_of(&event.object);
        match event.kind {
            EventKind::Bookmark => {}
            EventKind::Deleted => {
                let was = self.cache.objects.write().remove(&key);
                let last = Arc::new(event.object);
                (self.handler)(Some(was.as_ref().unwrap_or(&last)), None);
            }
            EventKind::Added | EventKind::Modified => {
                let is = Arc::new(event.object);
                let was = self.cache.objects.write().insert(key, is.clone());
                (self.handler)(was.as_ref(), Some(&is));
            }
        }
    }
}

fn ends_initial(bookmark: &Value) -> bool {
    bookmark.str_at(&["metadata", "annotations", "k8s.io/initial-events-end"]) == "true"
}
