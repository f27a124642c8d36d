//! statefulset-controller: pods with a name and a place in an order, each with claims of its own.
//!
//! One pod at a time is made (or all at once with podManagementPolicy Parallel), the next when the one before is
//! ready; scaling down goes from the end. Updates delete pods from the end, down to the partition.

mod claims;

use crate::history::History;
use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, Recorder, pods, resources, status};
use api::selector::LabelSelector;
use api::{Value, tree};
use claims::claim_name;
use client::{Client, Error, Informer, WorkQueue, key_of};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("apps/v1", "StatefulSet");
const HASH: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const INDEX: &str = "apps.kubernetes.io/pod-index";
const WORKERS: usize = 4;

struct Controller {
    client: Client,
    sets: Informer,
    pods: Informer,
    claims: Informer,
    revisions: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        sets: context.informer(&resources::stateful_sets()),
        pods: context.informer(&resources::pods()),
        claims: context.informer(&resources::persistent_volume_claims()),
        revisions: context.informer(&resources::controller_revisions()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
    });
    controller.sets.on_change(reconcile::enqueue(&controller.queue));
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| follower.pod_changed(old, new)));
    let follower = controller.clone();
    controller.claims.on_change(Arc::new(move |old, new| {
        if let (Some(claim), None) = (old, new) {
            follower.claim_gone(claim);
        }
    }));
    let copies = [&controller.sets, &controller.pods, &controller.claims, &controller.revisions];
    let worker = controller.clone();
    reconcile::run_on("stateful-set", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

fn selector(set: &Value) -> LabelSelector {
    LabelSelector::from_value(set.at(&["spec", "selector"])).unwrap_or_else(|_| LabelSelector::nothing())
}

fn replicas(set: &Value) -> i64 {
    set.i64_at(&["spec", "replicas"]).unwrap_or(1)
}

fn first_ordinal(set: &Value) -> i64 {
    set.i64_at(&["spec", "ordinals", "start"]).unwrap_or(0)
}

/// The number at the end of a pod's name.
fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    let rest = pod.str_at(&["metadata", "name"]).strip_prefix(set.str_at(&["metadata", "name"]))?;
    rest.strip_prefix('-')?.parse().ok()
}

fn revision_of(pod: &Value) -> &str {
    pod.str_at(&["metadata", "labels", HASH])
}

/// One step.
#[derive(Debug, PartialEq)]
enum Step {
    /// Make the pod of an ordinal; of the update revision, or of the current one.
    Create(i64, bool),
    Delete(String),
}

/// The next steps: one, or with `parallel` as many as there are.
fn plan(set: &Value, pods: &[Arc<Value>], update: &str, now: Time) -> Vec<Step> {
    let parallel = set.str_at(&["spec", "podManagementPolicy"]) == "Parallel";
    let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
    let (first, end) = (first_ordinal(set), first_ordinal(set) + replicas(set));
    let partition = set.i64_at(&["spec", "updateStrategy", "rollingUpdate", "partition"]).unwrap_or(0);
    let at = |n: i64| pods.iter().find(|pod| ordinal(set, pod) == Some(n));
    let is_up = |pod: &Value| !owner::is_leaving(pod) && pods::is_available(pod, min_ready, now);
    let name = |pod: &Value| pod.str_at(&["metadata", "name"]).to_owned();
    let mut steps = Vec::new();
    for n in first..end {
        match at(n) {
            None => steps.push(Step::Create(n, n >= first + partition)),
            Some(pod) if pods::is_finished(pod) && !owner::is_leaving(pod) => {
                steps.push(Step::Delete(name(pod)))
            }
            Some(pod) if is_up(pod) => continue,
            Some(_) if parallel => continue,
            // The next one waits for this one.
            Some(_) => return steps,
        }
        if !parallel {
            return steps;
        }
    }
    let mut surplus: Vec<(i64, &Arc<Value>)> =
        pods.iter().filter_map(|p| Some((ordinal(set, p)?, p))).collect();
    surplus.retain(|(n, _)| *n < first || *n >= end);
    surplus.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    // One after another, and while some of them are not well only the first of these.
    let unwell = surplus.iter().rev().find(|(_, pod)| !is_up(pod)).map(|(n, _)| *n);
    for (n, pod) in surplus {
        let waits = !parallel && !is_up(pod) && unwell != Some(n);
        if !owner::is_leaving(pod) && !waits {
            steps.push(Step::Delete(name(pod)));
        }
        if !parallel {
            return steps;
        }
    }
    if set.str_at(&["spec", "updateStrategy", "type"]) == "OnDelete" {
        return steps;
    }
    for pod in (first + partition..end).rev().filter_map(at) {
        if revision_of(pod) != update && !owner::is_leaving(pod) {
            steps.push(Step::Delete(name(pod)));
            return steps;
        }
        if !is_up(pod) {
            return steps;
        }
    }
    steps
}

impl Controller {
    fn pod_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        for pod in [old, new].into_iter().flatten() {
            if let Some(key) = owner::controller_key(pod, KIND) {
                self.queue.add(key);
            }
        }
        let Some(orphan) = new.filter(|pod| owner::controller_of(pod).is_none()) else { return };
        for set in self.sets.cache().list(orphan.str_at(&["metadata", "namespace"])) {
            if selector(&set).matches(orphan.map_at(&["metadata", "labels"])) {
                self.queue.add(key_of(&set));
            }
        }
    }

    async fn sync(&self, key: &str) -> Outcome {
        let Some(set) = self.sets.cache().get(key) else { return Ok(()) };
        if owner::is_leaving(&set) {
            return Ok(());
        }
        let (selector, resource) = (selector(&set), resources::stateful_sets());
        let claimant = Claimant {
            client: &self.client,
            owner: &set,
            resource: &resource,
            kind: KIND,
            selector: &selector,
        };
        let candidates = self.pods.cache().list(reconcile::split(key).0).into_iter();
        let candidates = candidates.filter(|pod| ordinal(&set, pod).is_some()).collect();
        let pods = claimant.claim(&resources::pods(), candidates).await?;
        let history = History {
            client: &self.client,
            revisions: &self.revisions,
            owner: &set,
            kind: KIND,
            hash_label: HASH,
        };
        let update = history.current(set.i64_at(&["status", "collisionCount"])).await?;
        let update_name = update.str_at(&["metadata", "name"]).to_owned();
        let current_name = match set.str_at(&["status", "currentRevision"]) {
            "" => update_name.clone(),
            name => name.to_owned(),
        };
        self.keep_claims(&set, &pods).await?;
        let now = self.clock.now();
        let mut done = Ok(());
        for step in plan(&set, &pods, &update_name, now) {
            done = self.take(&set, step, &history, &current_name, &update_name).await;
            if done.is_err() {
                break;
            }
        }
        let pods: Vec<Arc<Value>> = self.pods_of(&set);
        let status = new_status(&set, &pods, &current_name, &update_name, now);
        if let Some(written) = status::write(&self.client, &resource, &set, status).await? {
            self.sets.caught_up(&written).await;
        }
        history.truncate(&[&current_name, &update_name]).await?;
        self.look_again(key, &set, &pods, now);
        done
    }

    fn pods_of(&self, set: &Value) -> Vec<Arc<Value>> {
        let all = self.pods.cache().list(set.str_at(&["metadata", "namespace"]));
        all.into_iter().filter(|p| owner::controller_uid(p) == owner::uid(set)).collect()
    }

    async fn take(
        &self,
        set: &Value,
        step: Step,
        history: &History<'_>,
        current: &str,
        update: &str,
    ) -> Outcome {
        let namespace = set.str_at(&["metadata", "namespace"]);
        match step {
            Step::Create(n, updated) => {
                let revision = if updated { update } else { current };
                let old = history.list().into_iter().find(|r| r.str_at(&["metadata", "name"]) == revision);
                let template = old.and_then(|r| r.at(&["data", "spec", "template"]).cloned());
                let pod = new_pod(set, template, n, revision);
                self.make_claims(set, &pod, n).await?;
                let name = pod.str_at(&["metadata", "name"]).to_owned();
                let made = self.client.create(&resources::pods(), namespace, &pod).await;
                let made = made.inspect_err(|error| self.report("create", &name, set, Some(error)))?;
                self.report("create", &name, set, None);
                self.pods.caught_up(&made).await;
            }
            Step::Delete(name) => {
                unless_gone(self.client.delete(&resources::pods(), namespace, &name, &Value::Null).await)?;
                self.report("delete", &name, set, None);
                let key = format!("{namespace}/{name}");
                self.pods.until(move |cache| cache.get(&key).is_none_or(|p| owner::is_leaving(&p))).await;
            }
        }
        Ok(())
    }

    fn report(&self, verb: &str, pod: &str, set: &Value, failure: Option<&Error>) {
        let title = if verb == "create" { "Create" } else { "Delete" };
        let name = set.str_at(&["metadata", "name"]);
        match failure {
            None => {
                let message = format!("{verb} Pod {pod} in StatefulSet {name} successful");
                self.recorder.normal(KIND, set, &format!("Successful{title}"), &message);
            }
            Some(error) => {
                let message = format!("{verb} Pod {pod} in StatefulSet {name} failed error: {error}");
                self.recorder.warning(KIND, set, &format!("Failed{title}"), &message);
            }
        }
    }

    fn look_again(&self, key: &str, set: &Value, pods: &[Arc<Value>], now: Time) {
        let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
        let waits = pods.iter().filter_map(|p| pods::until_available(p, min_ready, now));
        if let Some(wait) = waits.filter(|wait| !wait.is_zero()).min() {
            self.queue.add_after(key, wait + Duration::from_millis(50));
        }
    }
}

/// The pod of an ordinal, from the template of a revision (or the present one).
fn new_pod(set: &Value, template: Option<Value>, n: i64, revision: &str) -> Value {
    let mut template = template.or_else(|| set.at(&["spec", "template"]).cloned()).unwrap_or_default();
    template.unset(&["$patch"]);
    let mut pod = pods::from_template(&template, owner::controller_ref(set, KIND));
    let name = format!("{}-{n}", set.str_at(&["metadata", "name"]));
    pod.set(&["metadata", "name"], name.as_str());
    pod.set(&["metadata", "labels", POD_NAME], name.as_str());
    pod.set(&["metadata", "labels", INDEX], n.to_string());
    pod.set(&["metadata", "labels", HASH], revision);
    pod.set(&["spec", "hostname"], name.as_str());
    pod.set(&["spec", "subdomain"], set.str_at(&["spec", "serviceName"]));
    let templates = set.list_at(&["spec", "volumeClaimTemplates"]);
    let mut volumes: Vec<Value> = Vec::new();
    for template in templates {
        let claim = tree!({"claimName": claim_name(set, template, n)});
        volumes.push(tree!({"name": template.str_at(&["metadata", "name"]), "persistentVolumeClaim": claim}));
    }
    let given = pod.list_at(&["spec", "volumes"]).iter();
    let other = |v: &&Value| templates.iter().all(|t| t.str_at(&["metadata", "name"]) != v.str_at(&["name"]));
    volumes.extend(given.filter(other).cloned());
    if !volumes.is_empty() {
        pod.set(&["spec", "volumes"], Value::List(volumes));
    }
    pod
}

fn new_status(set: &Value, pods: &[Arc<Value>], current: &str, update: &str, now: Time) -> Value {
    let min_ready = set.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
    let count = |test: &dyn Fn(&Value) -> bool| {
        i64::try_from(pods.iter().filter(|p| pods::is_active(p) && test(p)).count()).unwrap_or(i64::MAX)
    };
    let total = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let (updated, ready) = (count(&|p| revision_of(p) == update), count(&pods::is_ready));
    // An update is over when every pod has it.
    let over =
        current != update && updated == replicas(set) && ready == replicas(set) && total == replicas(set);
    let current = if over { update } else { current };
    tree!({
        "observedGeneration": set.i64_at(&["metadata", "generation"]).unwrap_or(0),
        "replicas": total, "readyReplicas": ready,
        "currentReplicas": count(&|p| revision_of(p) == current), "updatedReplicas": updated,
        "currentRevision": current, "updateRevision": update,
        "collisionCount": set.i64_at(&["status", "collisionCount"]).unwrap_or(0),
        "availableReplicas": count(&|p| pods::is_available(p, min_ready, now))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: i64, policy: &str) -> Value {
        tree!({"metadata": {"name": "s", "uid": "u"}, "spec": {"replicas": replicas, "podManagementPolicy": policy,
            "serviceName": "svc", "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}})
    }

    fn pod(n: i64, revision: &str, ready: &str) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"name": format!("s-{n}"), "labels": {HASH: revision}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}))
    }

    #[test]
    fn pods_are_made_in_order_each_when_the_one_before_is_ready() {
        let now = Time::from_secs(0);
        assert_eq!(plan(&set(3, ""), &[], "r", now), [Step::Create(0, true)]);
        assert_eq!(plan(&set(3, ""), &[pod(0, "r", "False")], "r", now), []);
        assert_eq!(plan(&set(3, ""), &[pod(0, "r", "True")], "r", now), [Step::Create(1, true)]);
        assert_eq!(plan(&set(3, "Parallel"), &[], "r", now).len(), 3);
    }

    #[test]
    fn scaling_down_and_updating_go_from_the_end() {
        let now = Time::from_secs(0);
        let pods = [pod(0, "old", "True"), pod(1, "old", "True"), pod(2, "old", "True")];
        assert_eq!(plan(&set(1, ""), &pods, "old", now), [Step::Delete("s-2".into())]);
        assert_eq!(plan(&set(3, ""), &pods, "new", now), [Step::Delete("s-2".into())]);
        let mut partitioned = set(3, "");
        partitioned.set(&["spec", "updateStrategy", "rollingUpdate", "partition"], 3);
        assert_eq!(plan(&partitioned, &pods, "new", now), []);
    }

    #[test]
    fn scaling_down_waits_for_pods_that_are_not_well_but_for_the_first_of_them() {
        let now = Time::from_secs(0);
        let all = |states: [&str; 3]| [0, 1, 2].map(|n: usize| pod(n as i64, "r", states[n]));
        let steps = |states| plan(&set(0, ""), &all(states), "r", now);
        assert_eq!(steps(["False", "False", "False"]), []);
        assert_eq!(steps(["True", "False", "False"]), []);
        assert_eq!(steps(["True", "True", "False"]), [Step::Delete("s-2".into())]);
        assert_eq!(steps(["False", "True", "True"]), [Step::Delete("s-2".into())]);
        assert_eq!(plan(&set(0, "Parallel"), &all(["False"; 3]), "r", now).len(), 3);
    }

    #[test]
    fn a_pod_has_its_name_and_claims() {
        let pod = new_pod(&set(1, ""), None, 4, "r");
        assert_eq!(pod.str_at(&["metadata", "name"]), "s-4");
        assert_eq!(pod.str_at(&["spec", "subdomain"]), "svc");
        let claim =
            pod.list_at(&["spec", "volumes"])[0].str_at(&["persistentVolumeClaim", "claimName"]).to_owned();
        assert_eq!(claim, "data-s-4");
    }
}
