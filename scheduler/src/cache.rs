//! What the scheduler knows of the cluster: the snapshot, and which pods it holds to be where. A pod that was just
//! placed counts at once, before the server's word comes back.

use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::preemption::Budget;
use crate::snapshot::{Selection, Snapshot};
use crate::storage::{Bound, Sort};
use api::selector::LabelSelector;
use api::{Str, Value};
use client::key_of;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Default)]
pub struct Cache {
    pub snapshot: Snapshot,
    /// Pods that have a node, by UID.
    placed: HashMap<Str, Placed>,
    /// Pods on nodes that are not known (yet, or any more).
    stranded: HashMap<Str, Vec<Arc<Pod>>>,
    budgets: HashMap<String, Budget>,
    /// Changes with every change of budgets.
    budget_list: Vec<Budget>,
}

struct Placed {
    pod: Arc<Pod>,
    /// The server has not said so yet.
    is_assumed: bool,
}

impl Cache {
    pub fn node(&mut self, object: &Value) -> Change {
        let name = object.str_at(&["metadata", "name"]);
        let old = self.snapshot.node(name).cloned();
        let stranded = self.stranded.remove(name).unwrap_or_default();
        self.snapshot.change(name, |node| {
            node.read(object);
            stranded.into_iter().for_each(|pod| node.add(pod));
        });
        let new = self.snapshot.node(name).cloned().unwrap_or_default();
        Change::Node { old, new }
    }

    pub fn node_gone(&mut self, name: &str) {
        let pods = self.snapshot.node(name).map(|node| node.pods.clone()).unwrap_or_default();
        self.snapshot.drop_node(name);
        if !pods.is_empty() {
            self.stranded.insert(name.into(), pods);
        }
    }

    /// A pod of which the server says that it has a node.
    pub fn pod(&mut self, pod: Arc<Pod>) -> Option<Change> {
        let before = self.placed.remove(&pod.uid);
        if let Some(before) = &before {
            self.take_off(&before.pod);
        }
        if self.snapshot.storage.is_assumed(&pod.uid) {
            Arc::make_mut(&mut self.snapshot.storage).settle(&pod.uid);
        }
        self.put_on(&pod);
        self.placed.insert(pod.uid.clone(), Placed { pod: pod.clone(), is_assumed: false });
        match before {
            None => Some(Change::PodPlaced(pod)),
            Some(before) if before.is_assumed => None,
            Some(before) => Some(Change::PodChanged { old: before.pod, new: pod }),
        }
    }

    /// Counts a pod on the node that was chosen for it.
    pub fn assume(&mut self, pod: Arc<Pod>) {
        self.put_on(&pod);
        self.placed.insert(pod.uid.clone(), Placed { pod, is_assumed: true });
    }

    /// The pod is gone, or will never run again, or did not get its node.
    pub fn forget(&mut self, uid: &str) -> Option<Change> {
        let placed = self.placed.remove(uid)?;
        if self.snapshot.storage.is_assumed(uid) {
            Arc::make_mut(&mut self.snapshot.storage).revert(uid);
        }
        self.take_off(&placed.pod);
        Some(Change::PodGone(placed.pod))
    }

    pub fn has(&self, uid: &str) -> bool {
        self.placed.contains_key(uid)
    }

    pub fn is_assumed(&self, uid: &str) -> bool {
        self.placed.get(uid).is_some_and(|placed| placed.is_assumed)
    }

    fn put_on(&mut self, pod: &Arc<Pod>) {
        if self.snapshot.node(&pod.node).is_some() {
            self.snapshot.change_pods(&pod.node, |node: &mut Node| node.add(pod.clone()));
        } else {
            self.stranded.entry(pod.node.clone()).or_default().push(pod.clone());
        }
    }

    fn take_off(&mut self, pod: &Pod) {
        if self.snapshot.node(&pod.node).is_some() {
            self.snapshot.change_pods(&pod.node, |node| node.remove(&pod.uid));
        } else if let Some(pods) = self.stranded.get_mut(&pod.node) {
            pods.retain(|other| other.uid != pod.uid);
            if pods.is_empty() {
                self.stranded.remove(&pod.node);
            }
        }
    }

    /// Room is being made for a pod on a node, or not any more (an empty node). Gives the pod when there was room on
    /// another node, which is free now.
    pub fn nominate(&mut self, pod: &Arc<Pod>, node: &Str) -> Option<Arc<Pod>> {
        let before = self.denominate(&pod.uid);
        if !node.is_empty() {
            Arc::make_mut(&mut self.snapshot.nominated).entry(node.clone()).or_default().push(pod.clone());
        }
        before.filter(|(there, _)| there != node).map(|(_, pod)| pod)
    }

    /// The pod for which no room is being made any more, and the node where it was, if there was some.
    pub fn denominate(&mut self, uid: &str) -> Option<(Str, Arc<Pod>)> {
        if self.snapshot.nominated.is_empty() {
            return None;
        }
        let mut found = None;
        Arc::make_mut(&mut self.snapshot.nominated).retain(|node, pods| {
            pods.retain(|pod| {
                let keep = pod.uid != *uid;
                if !keep {
                    found = Some((node.clone(), pod.clone()));
                }
                keep
            });
            !pods.is_empty()
        });
        found
    }

    pub fn namespace(&mut self, name: &str, object: Option<&Value>) {
        let namespaces = Arc::make_mut(&mut self.snapshot.namespaces);
        match object {
            Some(object) => {
                let labels = object.map_at(&["metadata", "labels"]).cloned().unwrap_or_default();
                namespaces.insert(name.into(), labels);
            }
            None => drop(namespaces.remove(name)),
        }
    }

    /// A Service or a controller of pods came, changed or went.
    pub fn selection(&mut self, kind: (&str, &str), old: Option<&Value>, new: Option<&Value>) {
        let Some(object) = new.or(old) else { return };
        let name = object.str_at(&["metadata", "name"]);
        let all = Arc::make_mut(&mut self.snapshot.selections)
            .entry(object.str_at(&["metadata", "namespace"]).into())
            .or_default();
        all.retain(|s| s.name != *name || s.kind.1 != *kind.1 || s.kind.0 != *kind.0);
        if let Some(object) = new {
            let selector = selector(object.at(&["spec", "selector"]));
            all.push(Selection { kind: (kind.0.into(), kind.1.into()), name: name.into(), selector });
        }
    }

    pub fn budget(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let Some(object) = new.or(old) else { return };
        let key = key_of(object);
        match new {
            Some(object) => drop(self.budgets.insert(key, budget(object))),
            None => drop(self.budgets.remove(&key)),
        }
        self.budget_list = self.budgets.values().cloned().collect();
    }

    /// What tells of storage came, changed or went.
    pub fn storage(&mut self, sort: Sort, old: Option<&Value>, new: Option<&Value>) -> Option<Change> {
        Arc::make_mut(&mut self.snapshot.storage).take(sort, old, new).map(Change::Storage)
    }

    /// Counts a pod on the node that was chosen for it, and its claims as bound.
    pub fn assume_with(&mut self, pod: Arc<Pod>, bound: &[Bound]) {
        if !bound.is_empty() {
            Arc::make_mut(&mut self.snapshot.storage).assume(&pod.uid, &pod.node, bound);
        }
        self.assume(pod);
    }

    pub fn budgets(&self) -> &[Budget] {
        &self.budget_list
    }
}

/// A structured selector, or plain labels.
fn selector(given: Option<&Value>) -> LabelSelector {
    let has = |field: &str| given.and_then(|s| s.get(field)).is_some_and(|v| v.as_str().is_none());
    if has("matchLabels") || has("matchExpressions") {
        return LabelSelector::from_value(given).unwrap_or_else(|_| LabelSelector::nothing());
    }
    given.and_then(Value::as_map).map_or_else(LabelSelector::nothing, LabelSelector::from_labels)
}

fn budget(object: &Value) -> Budget {
    let given = object.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
    let disrupted = object.map_at(&["status", "disruptedPods"]).into_iter().flat_map(|map| map.keys());
    Budget {
        namespace: object.str_at(&["metadata", "namespace"]).into(),
        selector: given
            .and_then(|selector| LabelSelector::from_value(Some(selector)).ok())
            .unwrap_or_else(LabelSelector::nothing),
        allowed: object.i64_at(&["status", "disruptionsAllowed"]).unwrap_or(0),
        disrupted: disrupted.cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(uid: &str, node: &str) -> Arc<Pod> {
        Arc::new(Pod::of(&tree!({"metadata": {"name": uid, "namespace": "a", "uid": uid},
            "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "1"}}}]}})))
    }

    fn used(cache: &Cache) -> i64 {
        cache.snapshot.node("n").unwrap().requested.milli_cpu
    }

    #[test]
    fn a_pod_counts_once_from_its_placing_to_its_end() {
        let mut cache = Cache::default();
        cache.node(&tree!({"metadata": {"name": "n"}}));
        cache.assume(pod("1", "n"));
        assert!(cache.is_assumed("1") && used(&cache) == 1000);
        assert!(cache.pod(pod("1", "n")).is_none());
        assert!(!cache.is_assumed("1") && used(&cache) == 1000);
        assert!(matches!(cache.forget("1"), Some(Change::PodGone(_))));
        assert_eq!(used(&cache), 0);
        assert!(cache.forget("1").is_none());
    }

    #[test]
    fn pods_wait_for_their_node_and_outlive_it() {
        let mut cache = Cache::default();
        cache.pod(pod("1", "n"));
        assert!(cache.snapshot.is_empty());
        cache.node(&tree!({"metadata": {"name": "n"}}));
        assert_eq!(used(&cache), 1000);
        cache.node_gone("n");
        assert!(cache.snapshot.is_empty());
        cache.node(&tree!({"metadata": {"name": "n"}}));
        assert_eq!(used(&cache), 1000);
        cache.forget("1");
        assert_eq!(used(&cache), 0);
    }
}
