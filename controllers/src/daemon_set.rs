//! daemonset-controller: one pod on every node that the template's pods may run on.
//!
//! A node is chosen by node selector, required node affinity and taints. A pod is bound to its node by affinity, for
//! the scheduler to carry out. Updates replace pods up to maxUnavailable at a time; maxSurge is not used yet.

use crate::history::History;
use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, node_fit, pod_batch, pods, resources, status};
use api::selector::LabelSelector;
use api::{Value, int_or_string, tree};
use client::{Client, Informer, WorkQueue, key_of};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("apps/v1", "DaemonSet");
const HASH: &str = "controller-revision-hash";
const WORKERS: usize = 2;

struct Controller {
    client: Client,
    sets: Informer,
    pods: Informer,
    nodes: Informer,
    revisions: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        sets: context.informer(&resources::daemon_sets()),
        pods: context.informer(&resources::pods()),
        nodes: context.informer(&resources::nodes()),
        revisions: context.informer(&resources::controller_revisions()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
    });
    controller.sets.on_change(reconcile::enqueue(&controller.queue));
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            if let Some(key) = owner::controller_key(pod, KIND) {
                follower.queue.add(key);
            }
        }
    }));
    let follower = controller.clone();
    controller.nodes.on_change(Arc::new(move |old, new| {
        if !old.zip(new).is_some_and(|(old, new)| node_fit::looks_the_same(old, new)) {
            follower.sets.cache().list("").iter().for_each(|set| follower.queue.add(key_of(set)));
        }
    }));
    let copies = [&controller.sets, &controller.pods, &controller.nodes, &controller.revisions];
    let worker = controller.clone();
    reconcile::run_on("daemon-set", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

/// The node that a pod is on, or is meant for.
fn node_of(pod: &Value) -> &str {
    match pod.str_at(&["spec", "nodeName"]) {
        "" => node_fit::pinned_node(pod),
        node => node,
    }
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// Nodes that lack a pod.
    create: Vec<String>,
    delete: Vec<String>,
}

/// `wanted` are the nodes that should have a pod; pods are the set's own.
fn plan(set: &Value, wanted: &[String], pods: &[Arc<Value>], hash: &str, now: Time) -> Plan {
    let name = |pod: &Value| pod.str_at(&["metadata", "name"]).to_owned();
    let mut plan = Plan::default();
    let mut by_node: BTreeMap<&str, Vec<&Arc<Value>>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !owner::is_leaving(pod)) {
        by_node.entry(node_of(pod)).or_default().push(pod);
    }
    for node in wanted {
        match by_node.get(node.as_str()) {
            None => plan.create.push(node.clone()),
            Some(here) => {
                plan.delete.extend(here.iter().filter(|p| pods::is_finished(p)).map(|p| name(p)));
                let mut live: Vec<&&Arc<Value>> = here.iter().filter(|p| !pods::is_finished(p)).collect();
                live.sort_by_key(|p| p.str_at(&["metadata", "creationTimestamp"]).to_owned());
                plan.delete.extend(live.into_iter().skip(1).map(|p| name(p)));
            }
        }
    }
    let surplus = by_node.iter().filter(|(node, _)| !wanted.iter().any(|w| w == *node));
    plan.delete.extend(surplus.flat_map(|(_, pods)| pods).map(|p| name(p)));
    if !plan.create.is_empty() || !plan.delete.is_empty() {
        return plan;
    }
    if set.str_at(&["spec", "updateStrategy", "type"]) != "OnDelete" {
        plan.delete = outdated(set, wanted.len(), by_node.values().flatten().copied(), hash, now);
    }
    plan
}

/// The pods to replace now: unavailable ones, and as many others as may be missing.
fn outdated<'a>(
    set: &Value,
    wanted: usize,
    pods: impl Iterator<Item = &'a Arc<Value>>,
    hash: &str,
    now: Time,
) -> Vec<String> {
    let total = i64::try_from(wanted).unwrap_or(i64::MAX);
    let most = set.at(&["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"]);
    let most = most.and_then(|v| int_or_string::scaled(v, total, true).ok()).unwrap_or(1);
    let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
    let pods: Vec<&Arc<Value>> = pods.collect();
    let up = pods.iter().filter(|p| pods::is_available(p, min_ready, now)).count();
    let mut room = most - (total - i64::try_from(up).unwrap_or(0));
    let mut gone = Vec::new();
    for pod in pods.iter().filter(|p| p.str_at(&["metadata", "labels", HASH]) != hash) {
        let is_up = pods::is_available(pod, min_ready, now);
        if is_up && room <= 0 {
            continue;
        }
        room -= i64::from(is_up);
        gone.push(pod.str_at(&["metadata", "name"]).to_owned());
    }
    gone
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(set) = self.sets.cache().get(key) else { return Ok(()) };
        if owner::is_leaving(&set) {
            return Ok(());
        }
        let selector = LabelSelector::from_value(set.at(&["spec", "selector"]));
        let selector = selector.unwrap_or_else(|_| LabelSelector::nothing());
        let resource = resources::daemon_sets();
        let claimant = Claimant {
            client: &self.client,
            owner: &set,
            resource: &resource,
            kind: KIND,
            selector: &selector,
        };
        let pods =
            claimant.claim(&resources::pods(), self.pods.cache().list(reconcile::split(key).0)).await?;
        let history = History {
            client: &self.client,
            revisions: &self.revisions,
            owner: &set,
            kind: KIND,
            hash_label: HASH,
        };
        let current = history.current(set.i64_at(&["status", "collisionCount"])).await?;
        let hash = current.str_at(&["metadata", "labels", HASH]).to_owned();
        let nodes = self.nodes.cache().list("");
        let may_run = |node: &&Arc<Value>| node_fit::may_start(&set, node);
        let wanted: Vec<String> =
            nodes.iter().filter(may_run).map(|node| node.str_at(&["metadata", "name"]).to_owned()).collect();
        let now = self.clock.now();
        let done = self.carry_out(&set, plan(&set, &wanted, &pods, &hash, now), &hash).await;
        history.truncate(&[current.str_at(&["metadata", "name"])]).await?;
        let all = self.pods.cache().list(reconcile::split(key).0);
        let pods: Vec<_> = all.into_iter().filter(|p| owner::controller_uid(p) == owner::uid(&set)).collect();
        let status = new_status(&set, &wanted, &pods, &hash, now);
        if let Some(written) = status::write(&self.client, &resource, &set, status).await? {
            self.sets.caught_up(&written).await;
        }
        let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
        let waits = pods.iter().filter_map(|p| pods::until_available(p, min_ready, now));
        if let Some(wait) = waits.filter(|wait| !wait.is_zero()).min() {
            self.queue.add_after(key, wait + Duration::from_millis(50));
        }
        done
    }

    async fn carry_out(&self, set: &Value, plan: Plan, hash: &str) -> Outcome {
        let batch = pod_batch::Batch {
            client: &self.client,
            pods: &self.pods,
            recorder: &self.recorder,
            owner: set,
            kind: KIND,
        };
        let new = plan.create.iter().map(|node| new_pod(set, node, hash));
        batch.create(new.collect()).await?;
        batch.delete(&plan.delete).await
    }
}

fn new_pod(set: &Value, node: &str, hash: &str) -> Value {
    let template = set.at(&["spec", "template"]).cloned().unwrap_or_default();
    let mut pod = pods::from_template(&template, owner::controller_ref(set, KIND));
    pod.set(&["metadata", "generateName"], pods::generate_name(set));
    pod.set(&["metadata", "labels", HASH], hash);
    if let Some(generation) = set.at(&["metadata", "annotations", "deprecated.daemonset.template.generation"])
    {
        pod.set(&["metadata", "labels", "pod-template-generation"], generation.clone());
    }
    node_fit::pin(&mut pod, node);
    node_fit::tolerate_trouble(&mut pod);
    pod
}

fn new_status(set: &Value, wanted: &[String], pods: &[Arc<Value>], hash: &str, now: Time) -> Value {
    let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
    let is_wanted = |pod: &Value| wanted.iter().any(|node| node == node_of(pod));
    let nodes = |test: &dyn Fn(&Value) -> bool| {
        let has = |node: &&String| pods.iter().any(|p| node_of(p) == node.as_str() && test(p));
        i64::try_from(wanted.iter().filter(has).count()).unwrap_or(i64::MAX)
    };
    let desired = i64::try_from(wanted.len()).unwrap_or(i64::MAX);
    let up = nodes(&|p| pods::is_available(p, min_ready, now));
    let misplaced = pods.iter().filter(|p| !is_wanted(p)).count();
    tree!({
        "currentNumberScheduled": nodes(&|_| true),
        "numberMisscheduled": i64::try_from(misplaced).unwrap_or(i64::MAX),
        "desiredNumberScheduled": desired, "numberReady": nodes(&pods::is_ready),
        "observedGeneration": set.i64_at(&["metadata", "generation"]).unwrap_or(0),
        "updatedNumberScheduled": nodes(&|p| p.str_at(&["metadata", "labels", HASH]) == hash),
        "numberAvailable": up, "numberUnavailable": desired - up
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, hash: &str, ready: &str) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"name": name, "labels": {HASH: hash}}, "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}))
    }

    #[test]
    fn each_wanted_node_has_one_pod_and_no_other_has_any() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let pods = [pod("p1", "a", "h", "True"), pod("p2", "c", "h", "True")];
        let plan = plan(&Value::map(), &wanted, &pods, "h", Time::from_secs(0));
        assert_eq!(plan, Plan { create: vec!["b".into()], delete: vec!["p2".into()] });
    }

    #[test]
    fn an_update_replaces_one_at_a_time() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let now = Time::from_secs(0);
        let pods = [pod("p1", "a", "old", "True"), pod("p2", "b", "old", "True")];
        assert_eq!(plan(&Value::map(), &wanted, &pods, "new", now).delete, ["p1"]);
        let pods = [pod("p1", "a", "new", "False"), pod("p2", "b", "old", "True")];
        assert!(plan(&Value::map(), &wanted, &pods, "new", now).delete.is_empty());
    }
}
