//! An informer: a local copy of a resource that follows the server, and the news of what changed in it.
//!
//! Objects are kept without `managedFields`, which no component reads (a PUT without them keeps the server's), and
//! pods without what only a kubelet needs. A component sees its own writes by waiting for them: `caught_up`.

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

/// Cuts from an object what nobody asks the local copy for.
pub type Trim = fn(&mut Value);

/// How long a component waits for its own writes to come back before it goes on without, unless it says otherwise.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Follows one resource in all namespaces. Cheap to clone.
#[derive(Clone)]
pub struct Informer {
    cache: Arc<Cache>,
    handlers: Arc<RwLock<Vec<Handler>>>,
    progress: watch::Receiver<Progress>,
}

/// How far a follower has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    synced: bool,
    /// The resource version of the last event.
    version: u64,
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
        let informer = Self::follow(client, resource, query, trim_managed_fields);
        informer.on_change(handler);
        informer
    }

    /// Starts to follow, with nobody to tell yet.
    pub fn follow(client: Client, resource: Resource, query: &str, trim: Trim) -> Self {
        let (sender, progress) = watch::channel(Progress::default());
        let cache = Arc::new(Cache::default());
        let handlers = Arc::new(RwLock::new(Vec::new()));
        let follower = Follower {
            client,
            resource,
            query: query.to_owned(),
            trim,
            handlers: handlers.clone(),
            cache: cache.clone(),
            progress: sender,
        };
        crate::spawn(follower.run());
        Informer { cache, handlers, progress }
    }

    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Has `handler` called for every object that is there, then for every change, in order. It must not call back
    /// into this informer's `on_change`.
    pub fn on_change(&self, handler: Handler) {
        let mut handlers = self.handlers.write();
        for object in self.cache.list("") {
            handler(None, Some(&object));
        }
        handlers.push(handler);
    }

    /// Returns once the whole present state has arrived.
    pub async fn synced(&self) {
        let mut progress = self.progress.clone();
        // An error means that the follower is gone, with the runtime.
        let _ = progress.wait_for(|p| p.synced).await;
    }

    /// Returns once the copy shows `written`, an answer of the server to a write (or after a few seconds without).
    pub async fn caught_up(&self, written: &Value) {
        self.caught_up_within(written, CATCH_UP).await;
    }

    /// The same, with so much patience; false when the copy does not show it by then.
    pub async fn caught_up_within(&self, written: &Value, patience: Duration) -> bool {
        let version = version_of(written);
        self.reaches(move |p| p.version >= version, patience).await
    }

    /// Returns once the copy is as `wanted` says (or after a few seconds without).
    pub async fn until(&self, wanted: impl Fn(&Cache) -> bool + Send) {
        self.until_within(wanted, CATCH_UP).await;
    }

    /// The same, with so much patience; false when the copy is not so by then.
    pub async fn until_within(&self, wanted: impl Fn(&Cache) -> bool + Send, patience: Duration) -> bool {
        self.reaches(move |_| wanted(&self.cache), patience).await
    }

    async fn reaches(&self, wanted: impl Fn(&Progress) -> bool + Send, patience: Duration) -> bool {
        let mut progress = self.progress.clone();
        let waited = tokio::time::timeout(patience, progress.wait_for(wanted)).await;
        waited.is_ok_and(|reached| reached.is_ok())
    }
}

/// The resource version as a number; 0 when there is none.
fn version_of(object: &Value) -> u64 {
    object.str_at(&["metadata", "resourceVersion"]).parse().unwrap_or(0)
}

/// Cuts the bookkeeping of who set which field.
pub fn trim_managed_fields(object: &mut Value) {
    object.unset(&["metadata", "managedFields"]);
}

struct Follower {
    client: Client,
    resource: Resource,
    query: String,
    trim: Trim,
    handlers: Arc<RwLock<Vec<Handler>>>,
    cache: Arc<Cache>,
    progress: watch::Sender<Progress>,
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
        while let Some(mut event) = stream.next().await? {
            backoff.reset();
            let now = event.object.str_at(&["metadata", "resourceVersion"]).to_owned();
            if event.kind != EventKind::Bookmark {
                (self.trim)(&mut event.object);
            }
            match (&mut initial, event.kind) {
                (Some(state), EventKind::Added | EventKind::Modified) => {
                    state.insert(key_of(&event.object), Arc::new(event.object));
                    continue;
                }
                (Some(_), EventKind::Bookmark) if ends_initial(&event.object) => {
                    self.replace(initial.take().unwrap_or_default());
                }
                (Some(_), _) => continue,
                (None, _) => self.apply(event),
            }
            let reached = now.parse().unwrap_or(0);
            self.progress.send_modify(|p| *p = Progress { synced: true, version: reached.max(p.version) });
            *version = now;
        }
        Ok(())
    }

    /// Makes the copy equal to `state`, telling of each difference.
    fn replace(&self, state: BTreeMap<String, Arc<Value>>) {
        let handlers = self.handlers.read();
        let old = std::mem::replace(&mut *self.cache.objects.write(), state.clone());
        for (key, was) in &old {
            if !state.contains_key(key) {
                tell(&handlers, Some(was), None);
            }
        }
        for (key, is) in &state {
            let was = old.get(key);
            if was.is_none_or(|was| was != is) {
                tell(&handlers, was, Some(is));
            }
        }
    }

    fn apply(&self, event: Event) {
        let handlers = self.handlers.read();
        let key = key_of(&event.object);
        match event.kind {
            EventKind::Bookmark => {}
            EventKind::Deleted => {
                let was = self.cache.objects.write().remove(&key);
                let last = Arc::new(event.object);
                tell(&handlers, Some(was.as_ref().unwrap_or(&last)), None);
            }
            EventKind::Added | EventKind::Modified => {
                let is = Arc::new(event.object);
                let was = self.cache.objects.write().insert(key, is.clone());
                tell(&handlers, was.as_ref(), Some(&is));
            }
        }
    }
}

fn tell(handlers: &[Handler], was: Option<&Arc<Value>>, is: Option<&Arc<Value>>) {
    for handler in handlers {
        handler(was, is);
    }
}

fn ends_initial(bookmark: &Value) -> bool {
    bookmark.str_at(&["metadata", "annotations", "k8s.io/initial-events-end"]) == "true"
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn written(version: &str) -> Value {
        tree!({"metadata": {"resourceVersion": version}})
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_write_is_told_whether_it_came() {
        let (sender, progress) = watch::channel(Progress { synced: true, version: 4 });
        let informer = Informer { cache: Arc::default(), handlers: Arc::default(), progress };
        assert!(informer.caught_up_within(&written("4"), CATCH_UP).await);
        assert!(!informer.caught_up_within(&written("5"), CATCH_UP).await);
        assert!(!informer.until_within(|cache| !cache.is_empty(), CATCH_UP).await);
        let next = written("5");
        let later = async {
            tokio::time::sleep(2 * CATCH_UP).await;
            sender.send_modify(|p| p.version = 5);
        };
        let (came, ()) = tokio::join!(informer.caught_up_within(&next, 3 * CATCH_UP), later);
        assert!(came);
        drop(sender);
        assert!(!informer.caught_up_within(&written("6"), CATCH_UP).await, "nobody follows any more");
    }
}
