//! daemonset-controller: one pod on every node that the template's pods may run on.
//!
//! A node is chosen by node selector, required node affinity and taints. A pod is bound to its node by affinity, for
//! the scheduler to carry out. Updates replace pods up to maxUnavailable at a time; maxSurge is not used yet.

mod plan;

use crate::history::History;
use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, node_fit, pod_batch, pods, resources, status};
use api::selector::LabelSelector;
use api::{Value, tree};
use client::{Client, Informer, WorkQueue, key_of};
use parking_lot::Mutex;
use plan::{HASH, Place, Plan, View};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("apps/v1", "DaemonSet");
const WORKERS: usize = 2;
/// How many pods are made or deleted in one go.
const BURST: usize = 250;
/// How long a pod that fails again on its node waits to be replaced, and at most.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(900);

struct Controller {
    client: Client,
    sets: Informer,
    pods: Informer,
    nodes: Informer,
    revisions: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
    /// When pods failed last, and for how long the next is kept, by set and node.
    failures: Mutex<HashMap<String, (tokio::time::Instant, Duration)>>,
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
        failures: Mutex::default(),
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

/// The nodes, as far as a set is concerned.
fn places(set: &Value, nodes: &[Arc<Value>]) -> Vec<Place> {
    let place = |node: &Arc<Value>| Place {
        name: node.str_at(&["metadata", "name"]).to_owned(),
        should_run: node_fit::may_start(set, node),
        may_stay: node_fit::may_stay(set, node),
    };
    nodes.iter().map(place).collect()
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
        let places = places(&set, &self.nodes.cache().list(""));
        let now = self.clock.now();
        let mut by_node: BTreeMap<&str, Vec<&Arc<Value>>> = BTreeMap::new();
        pods.iter().for_each(|pod| by_node.entry(node_of(pod)).or_default().push(pod));
        let view = View { set: &set, places: &places, pods: by_node, hash: &hash, now };
        let done = self.carry_out(key, &set, view.plan(), &hash).await;
        let wanted = places.iter().filter(|place| place.should_run).map(|place| place.name.clone());
        let wanted: Vec<String> = wanted.collect();
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

    async fn carry_out(&self, key: &str, set: &Value, plan: Plan, hash: &str) -> Outcome {
        let batch = pod_batch::Batch {
            client: &self.client,
            pods: &self.pods,
            recorder: &self.recorder,
            owner: set,
            kind: KIND,
        };
        let new = plan.create.iter().take(BURST).map(|node| new_pod(set, node, hash));
        let created = batch.create(new.collect()).await;
        let mut delete = plan.delete;
        delete.extend(plan.ended.iter().filter_map(|(node, pod)| self.replace(key, set, node, pod)));
        delete.truncate(BURST);
        let deleted = batch.delete(&delete).await;
        created.and(deleted)
    }

    /// The name of a pod that ended, when it is time to replace it: one that fails again and again on its node waits
    /// longer each time.
    fn replace(&self, key: &str, set: &Value, node: &str, pod: &Value) -> Option<String> {
        let name = pod.str_at(&["metadata", "name"]);
        if pods::phase(pod) == "Succeeded" {
            let message =
                format!("Found succeeded daemon pod {} on node {node}, will try to delete it", key_of(pod));
            self.recorder.normal(KIND, set, "SucceededDaemonPod", &message);
            return Some(name.to_owned());
        }
        let now = tokio::time::Instant::now();
        let mut failures = self.failures.lock();
        failures.retain(|_, (since, delay)| since.elapsed() < 2 * LONGEST_DELAY.max(*delay));
        let (since, delay) =
            failures.entry(format!("{}/{node}", owner::uid(set))).or_insert((now, Duration::ZERO));
        if since.elapsed() < *delay {
            self.queue.add_after(key, delay.saturating_sub(since.elapsed()));
            return None;
        }
        *delay = (*delay * 2).clamp(FIRST_DELAY, LONGEST_DELAY);
        *since = now;
        let message = format!("Found failed daemon pod {} on node {node}, will try to kill it", key_of(pod));
        self.recorder.warning(KIND, set, "FailedDaemonPod", &message);
        Some(name.to_owned())
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
