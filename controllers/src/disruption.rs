//! disruption-controller: how many pods of a PodDisruptionBudget may be evicted now.

use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, conditions, owner, pods, resources, status};
use api::selector::LabelSelector;
use api::{Map, Value, int_or_string, tree};
use client::{Client, Informer, WorkQueue, key_of};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("policy/v1", "PodDisruptionBudget");
/// How long a pod whose eviction was granted counts as gone although it is still there.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

struct Controller {
    client: Client,
    budgets: Informer,
    pods: Informer,
    /// Those that pods belong to, for their scale.
    owners: HashMap<&'static str, Informer>,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let owners = [
        ("ReplicaSet", resources::replica_sets()),
        ("Deployment", resources::deployments()),
        ("StatefulSet", resources::stateful_sets()),
        ("ReplicationController", resources::replication_controllers()),
    ];
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        budgets: context.informer(&resources::pod_disruption_budgets()),
        pods: context.informer(&resources::pods()),
        owners: owners.into_iter().map(|(kind, resource)| (kind, context.informer(&resource))).collect(),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
    });
    controller.budgets.on_change(reconcile::enqueue(&controller.queue));
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            follower.pod_changed(pod);
        }
    }));
    let mut copies = vec![controller.budgets.clone(), controller.pods.clone()];
    copies.extend(controller.owners.values().cloned());
    let copies: Vec<&Informer> = copies.iter().collect();
    let worker = controller.clone();
    reconcile::run_on("disruption", &controller.queue, 2, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

fn selector(budget: &Value) -> LabelSelector {
    match budget.at(&["spec", "selector"]) {
        None | Some(Value::Null) => LabelSelector::nothing(),
        selector => LabelSelector::from_value(selector).unwrap_or_else(|_| LabelSelector::nothing()),
    }
}

/// How many pods there should be, and how many of them healthy.
#[derive(Debug, PartialEq)]
struct Expected {
    pods: i64,
    healthy: i64,
}

/// `scale` is what the pods' controllers ask for together.
fn expected(
    budget: &Value,
    found: i64,
    scale: impl FnOnce() -> Result<i64, String>,
) -> Result<Expected, String> {
    if let Some(most) = budget.at(&["spec", "maxUnavailable"]).filter(|v| !v.is_null()) {
        let pods = scale()?;
        return Ok(Expected { pods, healthy: (pods - int_or_string::scaled(most, pods, true)?).max(0) });
    }
    match budget.at(&["spec", "minAvailable"]) {
        Some(Value::Int(least)) => Ok(Expected { pods: found, healthy: *least }),
        Some(share @ Value::Str(_)) => {
            let pods = scale()?;
            Ok(Expected { pods, healthy: int_or_string::scaled(share, pods, true)? })
        }
        _ => Ok(Expected { pods: 0, healthy: 0 }),
    }
}

/// The status that follows; `gone` are pods whose eviction was granted.
fn plan(budget: &Value, expected: &Expected, healthy: i64, gone: Map, now: Time) -> Value {
    let allowed = if expected.pods <= 0 { 0 } else { (healthy - expected.healthy).max(0) };
    let generation = budget.i64_at(&["metadata", "generation"]).unwrap_or(0);
    let mut status = tree!({
        "observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": expected.healthy, "expectedPods": expected.pods
    });
    if !gone.is_empty() {
        status.set(&["disruptedPods"], gone);
    }
    let (state, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let mut list = budget.list_at(&["status", "conditions"]).to_vec();
    note(&mut list, state, reason, "", generation, now);
    status.set(&["conditions"], Value::List(list));
    status
}

fn note(list: &mut Vec<Value>, state: &str, reason: &str, message: &str, generation: i64, now: Time) {
    let old = conditions::find(list, "DisruptionAllowed");
    let since =
        old.filter(|c| c.str_at(&["status"]) == state).map(|c| c.str_at(&["lastTransitionTime"]).to_owned());
    let condition = tree!({
        "type": "DisruptionAllowed", "status": state, "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or_else(|| now.rfc3339()), "reason": reason, "message": message
    });
    match list.iter_mut().find(|c| c.str_at(&["type"]) == "DisruptionAllowed") {
        Some(place) => *place = condition,
        None => list.push(condition),
    }
}

/// The granted evictions that still hide a pod, and when the first of them runs out.
fn still_gone(budget: &Value, pods: &[Arc<Value>], now: Time) -> (Map, Option<Duration>) {
    let noted = budget.map_at(&["status", "disruptedPods"]).cloned().unwrap_or_default();
    let (mut kept, mut next) = (Map::new(), None::<Duration>);
    for (name, time) in noted.iter() {
        let pod = pods.iter().find(|p| p.str_at(&["metadata", "name"]) == name.as_str());
        let Ok(since) = api::time::parse(time.as_str().unwrap_or_default()) else { continue };
        let left = DELETION_TIMEOUT.saturating_sub(now.since(since));
        if pod.is_some_and(|pod| !owner::is_leaving(pod)) && !left.is_zero() {
            kept.insert(name.clone(), time.clone());
            next = Some(next.map_or(left, |next| next.min(left)));
        }
    }
    (kept, next)
}

impl Controller {
    fn pod_changed(&self, pod: &Value) {
        let labels = pod.map_at(&["metadata", "labels"]);
        for budget in self.budgets.cache().list(pod.str_at(&["metadata", "namespace"])) {
            if selector(&budget).matches(labels) {
                self.queue.add(key_of(&budget));
            }
        }
    }

    async fn sync(&self, key: &str) -> Outcome {
        let Some(budget) = self.budgets.cache().get(key) else { return Ok(()) };
        let selector = selector(&budget);
        let mut pods = self.pods.cache().list(reconcile::split(key).0);
        pods.retain(|pod| selector.matches(pod.map_at(&["metadata", "labels"])));
        if pods.is_empty() {
            self.recorder.normal(KIND, &budget, "NoPods", "No matching pods found");
        }
        let now = self.clock.now();
        let (gone, next) = still_gone(&budget, &pods, now);
        let healthy = pods.iter().filter(|pod| {
            !owner::is_leaving(pod)
                && !gone.contains_key(pod.str_at(&["metadata", "name"]))
                && pods::is_ready(pod)
        });
        let healthy = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
        let found = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        let status = match expected(&budget, found, || self.scale(&pods)) {
            Ok(expected) => plan(&budget, &expected, healthy, gone, now),
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                self.recorder.warning(KIND, &budget, "CalculateExpectedPodCountFailed", &message);
                self.refuse_all(&budget, &why, now)
            }
        };
        let written =
            status::write(&self.client, &resources::pod_disruption_budgets(), &budget, status).await?;
        if let Some(written) = written {
            self.budgets.caught_up(&written).await;
        }
        if let Some(wait) = next {
            self.queue.add_after(key, wait);
        }
        Ok(())
    }

    /// When in doubt no pod may go.
    fn refuse_all(&self, budget: &Value, why: &str, now: Time) -> Value {
        let mut status = budget.get("status").cloned().unwrap_or_default();
        status.set(&["disruptionsAllowed"], 0);
        let mut list = status.list_at(&["conditions"]).to_vec();
        let generation = budget.i64_at(&["metadata", "generation"]).unwrap_or(0);
        note(&mut list, "False", "SyncFailed", why, generation, now);
        status.set(&["conditions"], Value::List(list));
        status
    }

    /// What the controllers of these pods ask for.
    fn scale(&self, pods: &[Arc<Value>]) -> Result<i64, String> {
        let mut scales: HashMap<String, i64> = HashMap::new();
        for pod in pods {
            let Some(reference) = owner::controller_of(pod) else { continue };
            let (namespace, uid) = (pod.str_at(&["metadata", "namespace"]), reference.str_at(&["uid"]));
            let (uid, scale) = self.scale_of(namespace, reference, uid).ok_or_else(|| {
                format!("found no controllers for pod {}", api::quote(pod.str_at(&["metadata", "name"])))
            })?;
            scales.insert(uid, scale);
        }
        Ok(scales.values().sum())
    }

    /// The scale of an owner, or of its own owner (a deployment counts, not its replica sets).
    fn scale_of(&self, namespace: &str, reference: &Value, uid: &str) -> Option<(String, i64)> {
        let informer = self.owners.get(reference.str_at(&["kind"]))?;
        let object = informer.cache().get(&format!("{namespace}/{}", reference.str_at(&["name"])))?;
        if owner::uid(&object) != uid {
            return None;
        }
        let above = owner::controller_of(&object);
        let found = above.and_then(|above| self.scale_of(namespace, above, above.str_at(&["uid"])));
        if found.is_some() {
            return found;
        }
        Some((uid.to_owned(), object.i64_at(&["spec", "replicas"]).unwrap_or(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_shares_say_how_many_must_be_healthy() {
        let budget = |spec: Value| tree!({"spec": spec});
        let expect = |spec, pods, healthy| {
            assert_eq!(expected(&budget(spec), 3, || Ok(10)), Ok(Expected { pods, healthy }));
        };
        expect(tree!({"minAvailable": 1}), 3, 1);
        expect(tree!({"minAvailable": "25%"}), 10, 3);
        expect(tree!({"maxUnavailable": 2}), 10, 8);
        expect(tree!({"maxUnavailable": "50%"}), 10, 5);
    }

    #[test]
    fn as_many_may_go_as_are_healthy_beyond_need() {
        let now = Time::from_secs(0);
        let status = plan(&Value::map(), &Expected { pods: 3, healthy: 1 }, 3, Map::new(), now);
        assert_eq!(status.i64_at(&["disruptionsAllowed"]), Some(2));
        assert!(conditions::is_true(status.list_at(&["conditions"]), "DisruptionAllowed"));
        let status = plan(&Value::map(), &Expected { pods: 0, healthy: 1 }, 0, Map::new(), now);
        assert_eq!(status.i64_at(&["disruptionsAllowed"]), Some(0));
    }

    #[test]
    fn a_granted_eviction_hides_its_pod_for_two_minutes() {
        let start = Time::from_secs(1_000_000);
        let budget = tree!({"status": {"disruptedPods": {"p": start.rfc3339(), "gone": start.rfc3339()}}});
        let pods = [Arc::new(tree!({"metadata": {"name": "p"}}))];
        let (kept, next) = still_gone(&budget, &pods, start.plus(Duration::from_secs(20)));
        assert_eq!((kept.len(), next), (1, Some(Duration::from_secs(100))));
        assert!(still_gone(&budget, &pods, start.plus(Duration::from_secs(120))).0.is_empty());
    }
}
