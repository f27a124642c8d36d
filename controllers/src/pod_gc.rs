//! pod-garbage-collector: ends pods on nodes that are gone, whom no kubelet will ever end.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, pods, resources};
use api::{Value, tree};
use client::{Client, Informer, WorkQueue, key_of};
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

/// How long a node must be missing before its pods are given up: it may come right after its pods.
const QUARANTINE: Duration = Duration::from_secs(40);
const WORKERS: usize = 2;

#[derive(Clone)]
struct Controller {
    client: Client,
    pods: Informer,
    nodes: Informer,
    clock: Clock,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller = Controller {
        client: context.client.clone(),
        pods: context.informer(&resources::pods()),
        nodes: context.informer(&resources::nodes()),
        clock: context.clock(),
    };
    let (nodes, changed) = (controller.nodes.cache().clone(), queue.clone());
    controller.pods.on_change(Arc::new(move |_, new| {
        if let Some(pod) = new.filter(|pod| is_orphan(pod, &nodes)) {
            changed.add_after(key_of(pod), QUARANTINE);
        }
    }));
    let (pods, changed) = (controller.pods.cache().clone(), queue.clone());
    controller.nodes.on_change(Arc::new(move |old, new| {
        if let (Some(node), None) = (old, new) {
            let name = node.str_at(&["metadata", "name"]);
            let lost = pods.list("").into_iter().filter(|pod| pod.str_at(&["spec", "nodeName"]) == name);
            lost.for_each(|pod| changed.add_after(key_of(&pod), QUARANTINE));
        }
    }));
    let copies = [controller.pods.clone(), controller.nodes.clone()];
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("pod-gc", &queue, WORKERS, &copies, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

fn is_orphan(pod: &Value, nodes: &client::Cache) -> bool {
    let node = pod.str_at(&["spec", "nodeName"]);
    !node.is_empty() && nodes.get(node).is_none()
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let found = self.pods.cache().get(key);
        let Some(pod) = found.filter(|pod| is_orphan(pod, self.nodes.cache())) else { return Ok(()) };
        let (namespace, name) = reconcile::split(key);
        let node = pod.str_at(&["spec", "nodeName"]);
        if self.client.find(&resources::nodes(), "", node).await?.is_some() {
            return Ok(());
        }
        if !pods::is_finished(&pod) {
            let condition = tree!({
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists", "lastTransitionTime": self.clock.now().rfc3339()
            });
            let mut list = pod.list_at(&["status", "conditions"]).to_vec();
            list.retain(|c| c.str_at(&["type"]) != "DisruptionTarget");
            list.push(condition);
            let patch = tree!({"status": {"phase": "Failed", "conditions": Value::List(list)}});
            unless_gone(
                self.client.merge_patch(&resources::pods(), namespace, name, "status", &patch).await,
            )?;
        }
        let uid = pod.str_at(&["metadata", "uid"]);
        let options = tree!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        unless_gone(self.client.delete(&resources::pods(), namespace, name, &options).await)?;
        Ok(())
    }
}
