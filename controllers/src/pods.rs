//! What controllers ask about pods, which of them go first, and how one is made from a template.

use crate::conditions;
use crate::owner::is_leaving;
use api::{Value, tree};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

pub fn phase(pod: &Value) -> &str {
    pod.str_at(&["status", "phase"])
}

/// Neither finished nor on its way out.
pub fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !is_leaving(pod)
}

pub fn is_finished(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub fn is_ready(pod: &Value) -> bool {
    conditions::is_true(pod.list_at(&["status", "conditions"]), "Ready")
}

/// Since when a pod is ready.
fn ready_since(pod: &Value) -> Option<Time> {
    let ready = conditions::find(pod.list_at(&["status", "conditions"]), "Ready")?;
    api::time::parse(ready.str_at(&["lastTransitionTime"])).ok()
}

/// Zero when the pod is available: ready for so many seconds. Nothing when it is not ready, or else what is missing.
pub fn until_available(pod: &Value, min_ready_secs: i64, now: Time) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    let wanted = Duration::from_secs(u64::try_from(min_ready_secs).unwrap_or(0));
    if wanted.is_zero() {
        return Some(Duration::ZERO);
    }
    Some(wanted.saturating_sub(now.since(ready_since(pod)?)))
}

pub fn is_available(pod: &Value, min_ready_secs: i64, now: Time) -> bool {
    until_available(pod, min_ready_secs, now) == Some(Duration::ZERO)
}

/// Puts those first that cost least to delete: without a node, not running, not ready, cheap by annotation, with
/// many like it on the same node, ready for a shorter time, often restarted, young.
pub fn sort_for_deletion(pods: &mut [Arc<Value>]) {
    let mut on_node: HashMap<String, usize> = HashMap::new();
    for pod in pods.iter() {
        *on_node.entry(pod.str_at(&["spec", "nodeName"]).to_owned()).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        let node = pod.str_at(&["spec", "nodeName"]);
        let phase = match phase(pod) {
            "Pending" | "" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let cost: i64 = pod
            .str_at(&["metadata", "annotations", "controller.kubernetes.io/pod-deletion-cost"])
            .parse()
            .unwrap_or(0);
        let restarts = pod.list_at(&["status", "containerStatuses"]).iter();
        let restarts = restarts.filter_map(|c| c.i64_at(&["restartCount"])).max().unwrap_or(0);
        let since = if is_ready(pod) { ready_since(pod) } else { None };
        (
            !node.is_empty(),
            phase,
            is_ready(pod),
            cost,
            Reverse(on_node.get(node).copied().unwrap_or(0)),
            Reverse(since),
            Reverse(restarts),
            Reverse(pod.str_at(&["metadata", "creationTimestamp"]).to_owned()),
        )
    });
}

/// The names of the init containers that go on beside the others.
pub fn sidecars(pod: &Value) -> impl Iterator<Item = &str> {
    let goes_on = |container: &&Value| container.str_at(&["restartPolicy"]) == "Always";
    pod.list_at(&["spec", "initContainers"]).iter().filter(goes_on).map(|c| c.str_at(&["name"]))
}

/// The names of the claims that a pod mounts.
pub fn claims_of(pod: &Value) -> Vec<String> {
    let name = |volume: &Value| match volume.str_at(&["persistentVolumeClaim", "claimName"]) {
        "" => volume.get("ephemeral").map(|_| ephemeral_claim(pod, volume)),
        name => Some(name.to_owned()),
    };
    pod.list_at(&["spec", "volumes"]).iter().filter_map(name).collect()
}

/// The name of the claim that is made for a volume of a pod and goes with it.
pub fn ephemeral_claim(pod: &Value, volume: &Value) -> String {
    format!("{}-{}", pod.str_at(&["metadata", "name"]), volume.str_at(&["name"]))
}

/// A pod from a template, not named yet.
pub fn from_template(template: &Value, owner: Value) -> Value {
    let mut meta = Value::map();
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.at(&["metadata", field]) {
            meta.set(&[field], value.clone());
        }
    }
    meta.set(&["ownerReferences"], tree!([owner]));
    tree!({"metadata": meta, "spec": template.get("spec").cloned().unwrap_or_default()})
}

/// The prefix of the names of an owner's pods: `NAME-`.
pub fn generate_name(owner: &Value) -> String {
    format!("{}-", owner.str_at(&["metadata", "name"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, ready: Option<&str>) -> Arc<Value> {
        let conditions = match ready {
            Some(since) => tree!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]),
            None => tree!([]),
        };
        let phase = if node.is_empty() { "Pending" } else { "Running" };
        Arc::new(tree!({
            "metadata": {"name": name}, "spec": {"nodeName": node},
            "status": {"phase": phase, "conditions": conditions}
        }))
    }

    #[test]
    fn pods_without_a_node_go_before_unready_ones_and_those_before_ready_ones() {
        let mut pods = vec![
            pod("old", "n1", Some("2026-01-01T00:00:00Z")),
            pod("young", "n1", Some("2026-01-02T00:00:00Z")),
            pod("unready", "n2", None),
            pod("homeless", "", None),
        ];
        sort_for_deletion(&mut pods);
        let names: Vec<&str> = pods.iter().map(|p| p.str_at(&["metadata", "name"])).collect();
        assert_eq!(names, ["homeless", "unready", "young", "old"]);
    }

    #[test]
    fn a_pod_is_available_once_it_was_ready_for_long_enough() {
        let pod = pod("p", "n", Some("2026-01-01T00:00:00Z"));
        let since = api::time::parse("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(
            until_available(&pod, 10, since.plus(Duration::from_secs(4))),
            Some(Duration::from_secs(6))
        );
        assert!(is_available(&pod, 10, since.plus(Duration::from_secs(10))));
        assert!(is_available(&pod, 0, since));
    }
}
