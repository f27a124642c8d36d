//! Pods leave nodes whose `NoExecute` taints they do not tolerate, or no longer.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, Recorder, conditions, pods, resources};
use api::node_selection::{Taint, Toleration};
use api::{Value, tree};
use client::{Client, Informer, WorkQueue, key_of};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const WORKERS: usize = 8;

struct Controller {
    client: Client,
    pods: Informer,
    nodes: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
    since: Since,
}

/// Since when pods have borne what they bear for a while, with their uid: another pod may come by the same name.
#[derive(Default)]
struct Since(Mutex<HashMap<String, (String, Time)>>);

impl Since {
    /// From `now` on for a pod that is new here.
    fn of(&self, key: &str, uid: &str, now: Time) -> Time {
        let mut all = self.0.lock();
        match all.get(key) {
            Some((known, since)) if known == uid => *since,
            _ => {
                all.insert(key.to_owned(), (uid.to_owned(), now));
                now
            }
        }
    }

    fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

/// What becomes of a pod on a tainted node.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Stay,
    Leave,
    LeaveAfter(Duration),
}

fn plan(tolerations: &[Toleration], taints: &[Taint]) -> Plan {
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|toleration| toleration.tolerates(taint)) else {
            return Plan::Leave;
        };
        if let Some(secs) = toleration.secs() {
            shortest = Some(shortest.map_or(secs, |other| other.min(secs)));
        }
    }
    match shortest {
        None => Plan::Stay,
        Some(secs) => u64::try_from(secs)
            .ok()
            .filter(|secs| *secs > 0)
            .map_or(Plan::Leave, |secs| Plan::LeaveAfter(Duration::from_secs(secs))),
    }
}

fn taints(node: &Value) -> Vec<Taint> {
    let all = node.list_at(&["spec", "taints"]).iter().map(Taint::of);
    all.filter(|taint| taint.effect == *"NoExecute").collect()
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        pods: context.informer(&resources::pods()),
        nodes: context.informer(&resources::nodes()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
        since: Since::default(),
    });
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| follower.pod_changed(old, new)));
    let follower = controller.clone();
    controller.nodes.on_change(Arc::new(move |old, new| follower.node_changed(old, new)));
    let worker = controller.clone();
    let copies = [&controller.pods, &controller.nodes];
    reconcile::run_on("taint-eviction", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

impl Controller {
    fn pod_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let Some(pod) = new else {
            if let Some(pod) = old {
                self.since.forget(&key_of(pod));
            }
            return;
        };
        let node = self.nodes.cache().get(pod.str_at(&["spec", "nodeName"]));
        if node.is_some_and(|node| !taints(&node).is_empty()) {
            self.queue.add(key_of(pod));
        }
    }

    fn node_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let of = |node: Option<&Arc<Value>>| node.map(|node| taints(node)).unwrap_or_default();
        let Some(node) = new.filter(|_| of(old) != of(new)) else { return };
        let name = node.str_at(&["metadata", "name"]);
        let here = self.pods.cache().list("").into_iter().filter(|p| p.str_at(&["spec", "nodeName"]) == name);
        here.for_each(|pod| self.queue.add(key_of(&pod)));
    }

    async fn sync(&self, key: &str) -> Outcome {
        let pod = self.pods.cache().get(key).filter(|pod| !pods::is_finished(pod));
        let node = pod.as_ref().and_then(|pod| self.nodes.cache().get(pod.str_at(&["spec", "nodeName"])));
        let (Some(pod), Some(node)) = (pod, node) else {
            self.since.forget(key);
            return Ok(());
        };
        if !pod.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
            return Ok(());
        }
        let none = Value::map();
        match plan(&Toleration::all(pod.get("spec").unwrap_or(&none)), &taints(&node)) {
            Plan::Stay => self.since.forget(key),
            Plan::Leave => self.evict(key, &pod).await?,
            Plan::LeaveAfter(patience) => {
                let now = self.clock.now();
                let since = self.since.of(key, pod.str_at(&["metadata", "uid"]), now);
                let left = since.plus(patience).since(now);
                if left.is_zero() {
                    self.evict(key, &pod).await?;
                } else {
                    self.queue.add_after(key, left);
                }
            }
        }
        Ok(())
    }

    async fn evict(&self, key: &str, pod: &Value) -> Outcome {
        let (namespace, name) = reconcile::split(key);
        let meta = |field: &str| pod.str_at(&["metadata", field]);
        let now = self.clock.now().rfc3339();
        let mut list = pod.list_at(&["status", "conditions"]).to_vec();
        let message = "Taint manager: deleting due to NoExecute taint";
        if conditions::set(
            &mut list,
            conditions::new("DisruptionTarget", "True", &now, "DeletionByTaintManager", message),
        ) {
            let patch = tree!({
                "metadata": {"uid": (meta("uid")), "resourceVersion": (meta("resourceVersion"))},
                "status": {"conditions": (Value::List(list))}
            });
            let told = self.client.merge_patch(&resources::pods(), namespace, name, "status", &patch).await;
            unless_gone(told)?;
        }
        let note = format!("Marking for deletion Pod {key}");
        self.recorder.normal(("v1", "Pod"), pod, "TaintManagerEviction", &note);
        let options = tree!({"preconditions": {"uid": (meta("uid"))}});
        match self.client.delete(&resources::pods(), namespace, name, &options).await {
            // Another pod has its name: this one is gone.
            Err(error) if error.is_conflict() => {}
            deleted => drop(unless_gone(deleted)?),
        }
        self.since.forget(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_the_same_name_is_borne_with_from_its_own_beginning() {
        let (since, first, second) = (Since::default(), Time::from_secs(100), Time::from_secs(200));
        assert_eq!(since.of("a/p", "u1", first), first);
        assert_eq!(since.of("a/p", "u1", second), first);
        assert_eq!(since.of("a/p", "u2", second), second);
        since.forget("a/p");
        assert_eq!(since.of("a/p", "u2", first), first);
    }

    #[test]
    fn the_shortest_patience_counts() {
        let taint = |key: &str| Taint::of(&tree!({"key": key, "effect": "NoExecute"}));
        let bears = |key: &str, secs: Value| {
            Toleration::of(&tree!({"key": key, "operator": "Exists", "tolerationSeconds": (secs)}))
        };
        let both = [taint("a"), taint("b")];
        assert_eq!(plan(&[], &[]), Plan::Stay);
        assert_eq!(plan(&[bears("a", Value::Null)], &both), Plan::Leave);
        assert_eq!(plan(&[bears("a", Value::Null), bears("b", Value::Null)], &both), Plan::Stay);
        let some = [bears("a", 300.into()), bears("b", 30.into())];
        assert_eq!(plan(&some, &both), Plan::LeaveAfter(Duration::from_secs(30)));
        assert_eq!(plan(&[bears("a", 0.into())], &both[..1]), Plan::Leave);
    }
}
