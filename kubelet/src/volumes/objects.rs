//! The ConfigMaps and Secrets that pods of this node refer to, each followed by a watch of its own, as a node may read
//! no others. An object is followed from the first pod that asks for it until the last one that did is gone; those that
//! cannot change are read once.

use crate::resources;
use api::{Value, quote};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, Error, EventKind, Resource};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long one waits for an object that the server does not tell of.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses between watches that failed. The first are short: a server may know of a pod after its node does.
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn resource(self) -> Resource {
        match self {
            Kind::ConfigMap => resources::config_maps(),
            Kind::Secret => resources::secrets(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        }
    }
}

/// Why an object cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is none.
    #[error("{0}")]
    Absent(String),
    /// The server does not tell.
    #[error("{0}")]
    Unknown(String),
}

/// The keys of an object and what they hold, in the order of the keys.
pub fn data(kind: Kind, object: &Value) -> BTreeMap<String, Vec<u8>> {
    let of = |field| object.map_at(&[field]).into_iter().flat_map(api::Map::iter);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let encoded = if kind == Kind::ConfigMap { "binaryData" } else { "data" };
    let decoded = |value| STANDARD.decode(text(value)).unwrap_or_default();
    let plain = of("data").filter(|_| kind == Kind::ConfigMap);
    let plain = plain.map(|(key, value)| (key.to_string(), text(value).into_bytes()));
    plain.chain(of(encoded).map(|(key, value)| (key.to_string(), decoded(value)))).collect()
}

/// As `data`, without what only files can hold.
pub fn texts(kind: Kind, object: &Value) -> Vec<(String, String)> {
    let is_text = |key: &String| kind == Kind::Secret || object.at(&["binaryData", key]).is_none();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let all = data(kind, object).into_iter().filter(|(key, _)| is_text(key));
    all.map(|(key, bytes)| (key, text(bytes))).collect()
}

type Key = (Kind, String, String);

/// What is known of an object.
#[derive(Clone, Default)]
enum State {
    #[default]
    Unknown,
    Failed(String),
    Absent,
    Present(Arc<Value>),
}

struct Followed {
    state: watch::Receiver<State>,
    task: AbortHandle,
    /// The uids of the pods that asked.
    pods: HashSet<String>,
}

/// Called with the uid of a pod that referred to what changed.
pub type OnChange = Arc<dyn Fn(&str) + Send + Sync>;

/// The objects that pods of this node refer to. Cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    client: Client,
    followed: Mutex<HashMap<Key, Followed>>,
    on_change: OnChange,
}

impl Objects {
    pub fn new(client: Client, on_change: OnChange) -> Self {
        Objects(Arc::new(Inner { client, followed: Mutex::default(), on_change }))
    }

    /// The object as it is, for the pod `uid`, which is told of changes from now on until it is forgotten.
    ///
    /// # Errors
    /// When there is no such object, or the server does not tell in time.
    pub async fn get(
        &self,
        kind: Kind,
        uid: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<Value>, Missing> {
        let mut state = self.follow(kind, uid, namespace, name);
        let known = state.wait_for(|s| matches!(s, State::Absent | State::Present(_)));
        let known = tokio::time::timeout(PATIENCE, known).await.ok().and_then(Result::ok).map(|s| s.clone());
        let state = known.unwrap_or_else(|| state.borrow().clone());
        match state {
            State::Present(object) => Ok(object),
            State::Absent => Err(Missing::Absent(format!("{} {} not found", kind.word(), quote(name)))),
            State::Failed(why) => Err(Missing::Unknown(why)),
            State::Unknown => Err(Missing::Unknown(format!(
                "failed to sync {} cache: timed out waiting for the condition",
                kind.word()
            ))),
        }
    }

    fn follow(&self, kind: Kind, uid: &str, namespace: &str, name: &str) -> watch::Receiver<State> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut followed = self.0.followed.lock();
        let followed = followed.entry(key.clone()).or_insert_with(|| {
            let (sender, state) = watch::channel(State::default());
            let follower = Follower { objects: Arc::downgrade(&self.0), key, state: sender };
            let task = tokio::spawn(follower.run(self.0.client.clone())).abort_handle();
            Followed { state, task, pods: HashSet::new() }
        });
        followed.pods.insert(uid.to_owned());
        followed.state.clone()
    }

    /// Ends what was followed for this pod alone.
    pub fn forget(&self, uid: &str) {
        self.0.followed.lock().retain(|_, followed| {
            followed.pods.remove(uid);
            if followed.pods.is_empty() {
                followed.task.abort();
            }
            !followed.pods.is_empty()
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.followed.get_mut().values().for_each(|followed| followed.task.abort());
    }
}

struct Follower {
    objects: std::sync::Weak<Inner>,
    key: Key,
    state: watch::Sender<State>,
}

impl Follower {
    async fn run(self, client: Client) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY).with_jitter(0.2);
        let mut version = String::new();
        while !self.is_final() {
            match self.watch(&client, &mut version, &mut backoff).await {
                // One that told of nothing may be followed by many such.
                Ok(false) => tokio::time::sleep(backoff.next_delay(&Ids::system())).await,
                Ok(true) => {}
                Err(error) if error.is_expired() => version.clear(),
                Err(error) => {
                    self.fail(&error);
                    tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
                }
            }
        }
    }

    /// True for what cannot change any more.
    fn is_final(&self) -> bool {
        matches!(&*self.state.borrow(), State::Present(object) if object.bool_at(&["immutable"]))
    }

    /// What was known stays known when a watch breaks.
    fn fail(&self, error: &Error) {
        self.state.send_if_modified(|state| {
            let unknown = matches!(state, State::Unknown | State::Failed(_));
            if unknown {
                *state = State::Failed(error.to_string());
            }
            unknown
        });
    }

    /// True when the watch told of something.
    async fn watch(
        &self,
        client: &Client,
        version: &mut String,
        backoff: &mut Backoff,
    ) -> Result<bool, Error> {
        let (kind, namespace, name) = &self.key;
        let start =
            if version.is_empty() { "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&" } else { "" };
        let query = format!(
            "{start}allowWatchBookmarks=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
        );
        let mut stream = client.watch(&kind.resource(), namespace, &query).await?;
        // In a watch from the beginning, what did not come by its end is not there.
        let (mut awaited, mut told) = (version.is_empty(), false);
        while let Some(event) = stream.next().await? {
            backoff.reset();
            *version = event.object.str_at(&["metadata", "resourceVersion"]).to_owned();
            match event.kind {
                EventKind::Bookmark if awaited => self.tell(State::Absent),
                EventKind::Bookmark => {}
                EventKind::Deleted => self.tell(State::Absent),
                EventKind::Added | EventKind::Modified => self.tell(State::Present(Arc::new(event.object))),
            }
            (awaited, told) = (false, true);
            if self.is_final() {
                break;
            }
        }
        Ok(told)
    }

    /// Remembers, and tells the pods that waited for it or have it otherwise.
    fn tell(&self, now: State) {
        let before = self.state.send_replace(now.clone());
        let news = match (&before, &now) {
            (State::Unknown, _) | (State::Absent, State::Absent) => false,
            (State::Present(was), State::Present(is)) => was != is,
            _ => true,
        };
        let Some(objects) = self.objects.upgrade().filter(|_| news) else { return };
        let pods: Vec<String> =
            objects.followed.lock().get(&self.key).into_iter().flat_map(|f| f.pods.clone()).collect();
        pods.iter().for_each(|uid| (objects.on_change)(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn data_is_what_the_keys_hold() {
        let map = tree!({"data": {"b": "text"}, "binaryData": {"a": "AP8="}});
        let all = data(Kind::ConfigMap, &map);
        assert_eq!(
            all.into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), vec![0, 255]), ("b".to_owned(), b"text".to_vec())]
        );
        assert_eq!(texts(Kind::ConfigMap, &map), [("b".to_owned(), "text".to_owned())]);
        assert_eq!(data(Kind::Secret, &tree!({"data": {"k": "dg=="}}))["k"], b"v");
    }
}
