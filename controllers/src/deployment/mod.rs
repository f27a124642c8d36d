//! deployment-controller: replica sets, one for each revision of the pod template, and the way from one to the next.

mod progress;
mod revision;
mod rollout;
mod scale;

use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, pods, resources};
use api::selector::LabelSelector;
use api::{Value, tree};
use client::{Client, Informer, WorkQueue, key_of};
use rollout::Rollout;
use std::sync::Arc;
use stdx::Clock;

const WORKERS: usize = 5;
const KIND: (&str, &str) = ("apps/v1", "Deployment");

pub(super) struct Controller {
    client: Client,
    deployments: Informer,
    sets: Informer,
    pods: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        deployments: context.informer(&resources::deployments()),
        sets: context.informer(&resources::replica_sets()),
        pods: context.informer(&resources::pods()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
    });
    controller.deployments.on_change(reconcile::enqueue(&controller.queue));
    let follower = controller.clone();
    controller.sets.on_change(Arc::new(move |old, new| follower.set_changed(old, new)));
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| {
        if let (Some(pod), None) = (old, new) {
            follower.pod_gone(pod);
        }
    }));
    let copies = [&controller.deployments, &controller.sets, &controller.pods];
    let worker = controller.clone();
    reconcile::run_on("deployment", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

fn selector(deployment: &Value) -> LabelSelector {
    LabelSelector::from_value(deployment.at(&["spec", "selector"]))
        .unwrap_or_else(|_| LabelSelector::nothing())
}

impl Controller {
    fn set_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let owner = |set: Option<&Arc<Value>>| set.and_then(|s| owner::controller_key(s, KIND));
        for key in owner(old).into_iter().chain(owner(new)) {
            self.queue.add(key);
        }
        let Some(orphan) = new.filter(|set| owner::controller_of(set).is_none()) else { return };
        let labels = orphan.map_at(&["metadata", "labels"]);
        for deployment in self.deployments.cache().list(orphan.str_at(&["metadata", "namespace"])) {
            if labels.is_some() && selector(&deployment).matches(labels) {
                self.queue.add(key_of(&deployment));
            }
        }
    }

    /// A deployment that recreates its pods waits for the old ones to be gone.
    fn pod_gone(&self, pod: &Value) {
        let set =
            owner::controller_key(pod, ("apps/v1", "ReplicaSet")).and_then(|key| self.sets.cache().get(&key));
        let Some(key) = set.and_then(|set| owner::controller_key(&set, KIND)) else { return };
        if self.deployments.cache().get(&key).is_some_and(|d| !scale::is_rolling(&d)) {
            self.queue.add(key);
        }
    }

    async fn sync(&self, key: &str) -> Outcome {
        let Some(deployment) = self.deployments.cache().get(key) else { return Ok(()) };
        let selector = selector(&deployment);
        if selector.is_empty() && !selector.is_nothing() {
            return self.refuse_to_select_all(&deployment).await;
        }
        let claimant = Claimant {
            client: &self.client,
            owner: &deployment,
            resource: &resources::deployments(),
            kind: KIND,
            selector: &selector,
        };
        let sets = self.sets.cache().list(reconcile::split(key).0);
        let ours = claimant.claim(&resources::replica_sets(), sets).await?;
        let (new, old) = revision::split(&deployment, ours);
        Rollout { controller: self, deployment: (*deployment).clone(), new, old }.run().await
    }

    async fn refuse_to_select_all(&self, deployment: &Value) -> Outcome {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.recorder.warning(KIND, deployment, "SelectingAll", message);
        let mut status = deployment.get("status").cloned().unwrap_or_default();
        status.set(&["observedGeneration"], deployment.i64_at(&["metadata", "generation"]).unwrap_or(0));
        crate::status::write(&self.client, &resources::deployments(), deployment, status).await?;
        Ok(())
    }

    /// True when pods of these sets still run (or may).
    fn any_pod_of(&self, sets: &[Value]) -> bool {
        let Some(first) = sets.first() else { return false };
        let pods = self.pods.cache().list(first.str_at(&["metadata", "namespace"]));
        pods.iter()
            .filter(|p| !pods::is_finished(p))
            .any(|p| sets.iter().any(|set| owner::controller_uid(p) == owner::uid(set)))
    }

    /// A replica set for a revision, without its size.
    fn new_set(deployment: &Value, hash: &str) -> Value {
        let name = deployment.str_at(&["metadata", "name"]);
        let short: String = name.chars().take(252 - hash.len()).collect();
        let mut template = deployment.at(&["spec", "template"]).cloned().unwrap_or_default();
        template.set(&["metadata", "labels", revision::HASH], hash);
        let mut selector = deployment.at(&["spec", "selector"]).cloned().unwrap_or_default();
        selector.set(&["matchLabels", revision::HASH], hash);
        let labels = template.at(&["metadata", "labels"]).cloned().unwrap_or_default();
        tree!({
            "metadata": {
                "name": format!("{short}-{hash}"), "namespace": deployment.str_at(&["metadata", "namespace"]),
                "labels": labels, "ownerReferences": [owner::controller_ref(deployment, KIND)]
            },
            "spec": {
                "minReadySeconds": deployment.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0),
                "selector": selector, "template": template
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_set_carries_the_hash_in_name_labels_and_selector() {
        let deployment = tree!({
            "metadata": {"name": "web", "namespace": "n", "uid": "u"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}
        });
        let set = Controller::new_set(&deployment, "h1");
        assert_eq!(set.str_at(&["metadata", "name"]), "web-h1");
        let labels = tree!({"a": "b", "pod-template-hash": "h1"});
        assert_eq!(set.at(&["metadata", "labels"]), Some(&labels));
        assert_eq!(set.at(&["spec", "selector", "matchLabels"]), Some(&labels));
        assert_eq!(set.at(&["spec", "template", "metadata", "labels"]), Some(&labels));
        assert_eq!(owner::controller_uid(&set), "u");
    }
}
