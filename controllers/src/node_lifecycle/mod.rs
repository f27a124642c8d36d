//! node-controller: watches over nodes. One that is silent for too long is `Unknown`, taints follow conditions, pods
//! of a node that is not ready are not ready either, and leave it after a while.
//!
//! It wakes when a node changes and when a node's time is over, not every few seconds. What becomes of a node that is
//! not ready depends on how many others are: when that changes, all that are not ready are looked at again.

mod eviction;
mod health;
mod zones;

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, Recorder, conditions, pods, resources};
use api::{Value, tree};
use client::{Client, Informer, WorkQueue, key_of};
use health::{Health, Leaving};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;
use tokio::time::Instant;
use zones::Zones;

const LEASES: &str = "kube-node-lease";
const WORKERS: usize = 4;
/// In the queue, no node but all that are not ready.
const ALL_DOWN: &str = "";
/// Labels of old, and those that say the same today.
const OLD_LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

struct Controller {
    client: Client,
    nodes: Informer,
    pods: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
    health: Mutex<HashMap<String, Health>>,
    /// Nodes that are down, and whose pods are marked so.
    marked: Mutex<HashSet<String>>,
    zones: Mutex<Zones>,
}

pub fn start(context: &Context<'_>) {
    let leases = context.informer(&resources::leases());
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        nodes: context.informer(&resources::nodes()),
        pods: context.informer(&resources::pods()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
        health: Mutex::default(),
        marked: Mutex::default(),
        zones: Mutex::default(),
    });
    let follower = controller.clone();
    controller.nodes.on_change(Arc::new(move |old, new| follower.node_changed(old, new)));
    let follower = controller.clone();
    leases.on_change(Arc::new(move |_, new| {
        if let Some(lease) = new.filter(|lease| lease.str_at(&["metadata", "namespace"]) == LEASES) {
            follower.lease_renewed(lease);
        }
    }));
    let worker = controller.clone();
    let copies = [&controller.nodes, &controller.pods, &leases];
    reconcile::run_on("node-lifecycle", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
    eviction::start(context);
}

impl Controller {
    fn node_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let standing = |node: Option<&Arc<Value>>| node.map(|node| zones::standing(node));
        if let Some(node) = new.or(old) {
            self.queue.add(key_of(node));
        }
        if standing(old) != standing(new) {
            self.queue.add(ALL_DOWN);
        }
    }

    fn lease_renewed(&self, lease: &Value) {
        let now = Instant::now();
        let mut health = self.health.lock();
        let name = lease.str_at(&["metadata", "name"]);
        health.entry(name.to_owned()).or_insert_with(|| Health::new(now)).renewed(lease, now);
    }

    async fn sync(&self, name: &str) -> Outcome {
        if name == ALL_DOWN {
            let nodes = self.nodes.cache().list("").into_iter();
            nodes.filter(|node| health::ready(node) != "True").for_each(|node| self.queue.add(key_of(&node)));
            return Ok(());
        }
        let Some(node) = self.nodes.cache().get(name) else {
            self.health.lock().remove(name);
            self.marked.lock().remove(name);
            return Ok(());
        };
        let is_down = health::is_down(&node);
        if !is_down {
            self.marked.lock().remove(name);
        }
        let patience = self.patience(name, &node);
        if !patience.is_zero() {
            self.queue.add_after(name, patience);
        } else if let Some(conditions) = health::silent(&node, self.clock.now()) {
            return self.is_silent(name, &node, conditions).await;
        }
        self.settle(name, &node).await?;
        let is_marked = self.marked.lock().contains(name);
        if is_down && !is_marked {
            self.pods_are_not_ready(name).await?;
            self.marked.lock().insert(name.to_owned());
        }
        Ok(())
    }

    fn patience(&self, name: &str, node: &Value) -> Duration {
        let now = Instant::now();
        let mut all = self.health.lock();
        let health = all.entry(name.to_owned()).or_insert_with(|| Health::new(now));
        health.hear(node, now);
        health.patience(node, now)
    }

    /// Writes what is to be said of a silent node, unless it spoke meanwhile.
    async fn is_silent(&self, name: &str, node: &Value, conditions: Vec<Value>) -> Outcome {
        let version = node.str_at(&["metadata", "resourceVersion"]);
        let patch = tree!({
            "metadata": {"resourceVersion": version}, "status": {"conditions": (Value::List(conditions))}
        });
        unless_gone(self.client.merge_patch(&resources::nodes(), "", name, "status", &patch).await)?;
        if health::ready(node) == "True" {
            let note = format!("Node {name} status is now: NodeNotReady");
            self.recorder.normal(("v1", "Node"), node, "NodeNotReady", &note);
        }
        Ok(())
    }

    /// Gives the node the taints and labels that it ought to have.
    async fn settle(&self, name: &str, node: &Value) -> Outcome {
        let now = self.clock.now();
        let is_up = health::ready(node) == "True" || node.list_at(&["status", "conditions"]).is_empty();
        let leaving = if is_up {
            Leaving::NotYet
        } else {
            let nodes = self.nodes.cache().list("");
            let told = health::is_told(node);
            let (leaving, again) = self.zones.lock().leaving(node, &nodes, told, Instant::now());
            if let Some(delay) = again {
                self.queue.add_after(name, delay);
            }
            leaving
        };
        let mut patch = Value::map();
        if let Some(taints) = health::taints(node, leaving, now) {
            patch.set(&["spec", "taints"], Value::List(taints));
        }
        for (from, to) in OLD_LABELS {
            let value = node.str_at(&["metadata", "labels", from]);
            if !value.is_empty() && node.str_at(&["metadata", "labels", to]) != value {
                patch.set(&["metadata", "labels", to], value);
            }
        }
        if patch.is_empty() {
            return Ok(());
        }
        patch.set(&["metadata", "resourceVersion"], node.str_at(&["metadata", "resourceVersion"]));
        let written = self.client.merge_patch(&resources::nodes(), "", name, "", &patch).await;
        if let Some(written) = unless_gone(written)? {
            self.nodes.caught_up(&written).await;
        }
        Ok(())
    }

    /// Pods of a node that is not ready serve nobody.
    ///
    /// # Errors
    /// The last one, after all pods were tried.
    async fn pods_are_not_ready(&self, node: &str) -> Outcome {
        let on_it = |pod: &Arc<Value>| pod.str_at(&["spec", "nodeName"]) == node && pods::is_ready(pod);
        let mut outcome = Ok(());
        for pod in self.pods.cache().list("").into_iter().filter(on_it) {
            if let Err(error) = self.is_not_ready(&pod).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn is_not_ready(&self, pod: &Value) -> Outcome {
        let mut list = pod.list_at(&["status", "conditions"]).to_vec();
        if let Some(ready) = list.iter_mut().find(|c| c.str_at(&["type"]) == "Ready") {
            ready.set(&["status"], "False");
            ready.set(&["lastTransitionTime"], self.clock.now().rfc3339());
        }
        debug_assert!(!conditions::is_true(&list, "Ready"));
        let meta = |field: &str| pod.str_at(&["metadata", field]);
        let patch = tree!({
            "metadata": {"uid": (meta("uid")), "resourceVersion": (meta("resourceVersion"))},
            "status": {"conditions": (Value::List(list))}
        });
        let (namespace, name) = (meta("namespace"), meta("name"));
        let written = self.client.merge_patch(&resources::pods(), namespace, name, "status", &patch).await;
        if unless_gone(written)?.is_some() {
            self.recorder.warning(("v1", "Pod"), pod, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}
