//! replicaset-controller and replication-controller: as many pods as asked for.
//!
//! Pods that match and have no controller are adopted, those that no longer match are let go, and the status counts
//! what is there. After each write the local copy of pods catches up, so that nothing is made twice.

use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, conditions, pod_batch, pods, resources, status};
use api::selector::LabelSelector;
use api::{Value, tree};
use client::{Client, Error, Informer, Resource, WorkQueue, key_of};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

/// How many pods are made or deleted in one go.
const BURST: usize = 500;
const WORKERS: usize = 5;

/// The two kinds that this controller serves.
#[derive(Clone)]
struct Flavour {
    resource: Resource,
    kind: (&'static str, &'static str),
    /// Whether the status counts pods that are on their way out.
    counts_terminating: bool,
}

/// Starts the controller of ReplicaSets.
pub fn start(context: &Context<'_>) {
    let kind = ("apps/v1", "ReplicaSet");
    run(context, Flavour { resource: resources::replica_sets(), kind, counts_terminating: true });
}

/// Starts the controller of ReplicationControllers.
pub fn start_replication_controller(context: &Context<'_>) {
    let kind = ("v1", "ReplicationController");
    run(context, Flavour { resource: resources::replication_controllers(), kind, counts_terminating: false });
}

struct Controller {
    flavour: Flavour,
    client: Client,
    sets: Informer,
    pods: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

fn run(context: &Context<'_>, flavour: Flavour) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        sets: context.informer(&flavour.resource),
        pods: context.informer(&resources::pods()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
        flavour,
    });
    controller.sets.on_change(reconcile::enqueue(&controller.queue));
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| follower.pod_changed(old, new)));
    let copies = [&controller.sets, &controller.pods];
    let worker = controller.clone();
    reconcile::run_on(controller.flavour.kind.1, &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

/// The selector of a ReplicaSet (structured), or of a ReplicationController (plain labels).
fn selector(set: &Value) -> LabelSelector {
    let selector = set.at(&["spec", "selector"]);
    let has = |field: &str| selector.and_then(|s| s.get(field)).is_some_and(|v| v.as_str().is_none());
    let structured = has("matchLabels") || has("matchExpressions");
    if structured {
        return LabelSelector::from_value(selector).unwrap_or_else(|_| LabelSelector::nothing());
    }
    match selector.and_then(Value::as_map) {
        Some(labels) if !labels.is_empty() => LabelSelector::from_labels(labels),
        _ => LabelSelector::nothing(),
    }
}

fn desired(set: &Value) -> usize {
    usize::try_from(set.i64_at(&["spec", "replicas"]).unwrap_or(1)).unwrap_or(0)
}

/// What is to be done about the number of pods.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Create(usize),
    Delete(Vec<String>),
}

fn plan(desired: usize, active: &[Arc<Value>]) -> Plan {
    match active.len() {
        have if have < desired => Plan::Create((desired - have).min(BURST)),
        have if have > desired => {
            let mut ranked = active.to_vec();
            pods::sort_for_deletion(&mut ranked);
            let names = ranked.iter().take((have - desired).min(BURST));
            Plan::Delete(names.map(|p| p.str_at(&["metadata", "name"]).to_owned()).collect())
        }
        _ => Plan::Nothing,
    }
}

impl Controller {
    fn pod_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let owner = |pod: Option<&Arc<Value>>| pod.and_then(|p| owner::controller_key(p, self.flavour.kind));
        let (before, now) = (owner(old), owner(new));
        if before != now {
            self.queue_all(before);
        }
        match new {
            Some(pod) if owner::controller_of(pod).is_none() && !owner::is_leaving(pod) => {
                self.orphan_changed(pod)
            }
            _ => self.queue_all(now),
        }
    }

    fn queue_all(&self, keys: impl IntoIterator<Item = String>) {
        keys.into_iter().for_each(|key| self.queue.add(key));
    }

    /// An orphan is news to every set that might adopt it.
    fn orphan_changed(&self, pod: &Value) {
        let labels = pod.map_at(&["metadata", "labels"]);
        if labels.is_none() {
            return;
        }
        let sets = self.sets.cache().list(pod.str_at(&["metadata", "namespace"]));
        let matching = sets.iter().filter(|set| selector(set).matches(labels));
        self.queue_all(matching.map(|set| key_of(set)));
    }

    async fn sync(&self, key: &str) -> Outcome {
        let Some(set) = self.sets.cache().get(key) else { return Ok(()) };
        let all = self.pods.cache().list(reconcile::split(key).0);
        let (terminating, present): (Vec<_>, Vec<_>) = all
            .into_iter()
            .filter(|p| matches!(owner::controller_uid(p), uid if uid.is_empty() || uid == owner::uid(&set)))
            .filter(|p| !pods::is_finished(p))
            .partition(|p| owner::is_leaving(p));
        let selector = selector(&set);
        let claimant = Claimant {
            client: &self.client,
            owner: &set,
            resource: &self.flavour.resource,
            kind: self.flavour.kind,
            selector: &selector,
        };
        let active = claimant.claim(&resources::pods(), present).await?;
        let managed = if owner::is_leaving(&set) { Ok(()) } else { self.manage(&set, &active).await };
        let ours = terminating.iter().filter(|p| owner::controller_uid(p) == owner::uid(&set)).count();
        let now = self.clock.now();
        let status = self.status(&set, &active, ours, managed.as_ref().err(), now);
        if let Some(written) = status::write(&self.client, &self.flavour.resource, &set, status).await? {
            self.sets.caught_up(&written).await;
        }
        self.look_again(key, &set, &active, now);
        managed
    }

    async fn manage(&self, set: &Value, active: &[Arc<Value>]) -> Outcome {
        let batch = pod_batch::Batch {
            client: &self.client,
            pods: &self.pods,
            recorder: &self.recorder,
            owner: set,
            kind: self.flavour.kind,
        };
        match plan(desired(set), active) {
            Plan::Nothing => Ok(()),
            Plan::Create(count) => {
                let template = set.at(&["spec", "template"]).cloned().unwrap_or_default();
                let mut pod = pods::from_template(&template, owner::controller_ref(set, self.flavour.kind));
                pod.set(&["metadata", "generateName"], pods::generate_name(set));
                batch.create(vec![pod; count]).await
            }
            Plan::Delete(names) => batch.delete(&names).await,
        }
    }

    fn status(
        &self,
        set: &Value,
        active: &[Arc<Value>],
        terminating: usize,
        failure: Option<&Error>,
        now: Time,
    ) -> Value {
        let labels = set.map_at(&["spec", "template", "metadata", "labels"]).cloned().unwrap_or_default();
        let full = LabelSelector::from_labels(&labels);
        let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
        let count = |test: &dyn Fn(&Value) -> bool| {
            i64::try_from(active.iter().filter(|p| test(p)).count()).unwrap_or(i64::MAX)
        };
        let mut status = tree!({
            "replicas": count(&|_| true),
            "fullyLabeledReplicas": count(&|p| full.matches(p.map_at(&["metadata", "labels"]))),
            "readyReplicas": count(&pods::is_ready),
            "availableReplicas": count(&|p| pods::is_available(p, min_ready, now))
        });
        if self.flavour.counts_terminating {
            status.set(&["terminatingReplicas"], i64::try_from(terminating).unwrap_or(i64::MAX));
        }
        status.set(&["observedGeneration"], set.i64_at(&["metadata", "generation"]).unwrap_or(0));
        let mut list = set.list_at(&["status", "conditions"]).to_vec();
        match failure {
            Some(error) if conditions::find(&list, "ReplicaFailure").is_none() => {
                let reason = if active.len() < desired(set) { "FailedCreate" } else { "FailedDelete" };
                let text = error.to_string();
                conditions::set(
                    &mut list,
                    conditions::new("ReplicaFailure", "True", &now.rfc3339(), reason, &text),
                );
            }
            Some(_) => {}
            None => conditions::remove(&mut list, "ReplicaFailure"),
        }
        status.set(&["conditions"], Value::List(list));
        status
    }

    /// Comes back when the next ready pod will have been ready for long enough.
    fn look_again(&self, key: &str, set: &Value, active: &[Arc<Value>], now: Time) {
        let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
        let waits = active.iter().filter_map(|p| pods::until_available(p, min_ready, now));
        if let Some(wait) = waits.filter(|wait| !wait.is_zero()).min() {
            self.queue.add_after(key, wait + Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str) -> Arc<Value> {
        Arc::new(
            tree!({"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {"phase": "Pending"}}),
        )
    }

    #[test]
    fn missing_pods_are_made_and_surplus_ones_deleted_unscheduled_first() {
        let two = [pod("a", "n"), pod("b", "")];
        assert_eq!(plan(2, &two), Plan::Nothing);
        assert_eq!(plan(5, &two), Plan::Create(3));
        assert_eq!(plan(1, &two), Plan::Delete(vec!["b".into()]));
        assert_eq!(plan(10_000, &[]), Plan::Create(BURST));
    }

    #[test]
    fn both_sorts_of_selectors_are_understood() {
        let labels = tree!({"a": "b"});
        let plain = tree!({"spec": {"selector": {"a": "b"}}});
        let structured = tree!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
        assert!(selector(&plain).matches(labels.as_map()));
        assert!(selector(&structured).matches(labels.as_map()));
        assert!(!selector(&tree!({"spec": {}})).matches(labels.as_map()));
    }
}
