//! node-controller: watches over nodes. One that is silent for too long is `Unknown`, taints follow conditions, pods
//! of a node that is not ready are not ready either, and leave it after a while.
//!
//! It wakes when a node changes and when a node's time is over, not every few seconds.

mod eviction;
mod health;
mod zones;

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, Recorder, conditions, pods, resources};
use api::{Value, tree};
use client::{Client, Informer, WorkQueue};
use health::{Health, Leaving};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use stdx::Clock;
use zones::Zones;

const LEASES: &str = "kube-node-lease";
const WORKERS: usize = 4;
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
        zones: Mutex::default(),
    });
    controller.nodes.on_change(reconcile::enqueue(&controller.queue));
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
    fn lease_renewed(&self, lease: &Value) {
        let now = self.clock.now();
        let mut health = self.health.lock();
        let name = lease.str_at(&["metadata", "name"]);
        health.entry(name.to_owned()).or_insert_with(|| Health::new(now)).renewed(lease, now);
    }

    async fn sync(&self, name: &str) -> Outcome {
        let Some(node) = self.nodes.cache().get(name) else {
            self.health.lock().remove(name);
            return Ok(());
        };
        let now = self.clock.now();
        let patience = {
            let mut all = self.health.lock();
            let health = all.entry(name.to_owned()).or_insert_with(|| Health::new(now));
            health.hear(&node, now);
            health.patience(&node, now)
        };
        if !patience.is_zero() {
            self.queue.add_after(name, patience);
        } else if let Some(conditions) = health::silent(&node, now) {
            let patch = tree!({"status": {"conditions": (Value::List(conditions))}});
            unless_gone(self.client.merge_patch(&resources::nodes(), "", name, "status", &patch).await)?;
            self.recorder.normal(
                ("v1", "Node"),
                &node,
                "NodeNotReady",
                &format!("Node {name} status is now: NodeNotReady"),
            );
            return Ok(());
        }
        self.settle(name, &node).await?;
        if health::ready(&node) != "True" {
            self.pods_are_not_ready(name).await?;
        }
        Ok(())
    }

    /// Gives the node the taints and labels that it ought to have.
    async fn settle(&self, name: &str, node: &Value) -> Outcome {
        let now = self.clock.now();
        let told = node.list_at(&["spec", "taints"]).iter().any(|t| t.str_at(&["effect"]) == "NoExecute");
        let is_up = health::ready(node) == "True" || node.list_at(&["status", "conditions"]).is_empty();
        let leaving = if is_up {
            Leaving::NotYet
        } else {
            let nodes = self.nodes.cache().list("");
            let (leaving, again) = self.zones.lock().leaving(node, &nodes, told, now);
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
    async fn pods_are_not_ready(&self, node: &str) -> Outcome {
        let on_it = |pod: &Arc<Value>| pod.str_at(&["spec", "nodeName"]) == node && pods::is_ready(pod);
        for pod in self.pods.cache().list("").into_iter().filter(on_it) {
            let now = self.clock.now().rfc3339();
            let mut list = pod.list_at(&["status", "conditions"]).to_vec();
            if let Some(ready) = list.iter_mut().find(|c| c.str_at(&["type"]) == "Ready") {
                ready.set(&["status"], "False");
                ready.set(&["lastTransitionTime"], now);
            }
            debug_assert!(!conditions::is_true(&list, "Ready"));
            let patch = tree!({"metadata": {"uid": (pod.str_at(&["metadata", "uid"]))}, "status": {"conditions": (Value::List(list))}});
            let (namespace, name) =
                (pod.str_at(&["metadata", "namespace"]), pod.str_at(&["metadata", "name"]));
            unless_gone(
                self.client.merge_patch(&resources::pods(), namespace, name, "status", &patch).await,
            )?;
            self.recorder.warning(("v1", "Pod"), &pod, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}
