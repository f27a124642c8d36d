//! What a node's heartbeats say of it, and what conditions and taints follow. Pure.

use crate::conditions;
use api::{Value, tree};
use std::time::Duration;
use stdx::Time;
use tokio::time::Instant;

/// How long a node may be silent, and how long one may take to speak at all.
const GRACE: Duration = Duration::from_secs(50);
const STARTUP_GRACE: Duration = Duration::from_secs(60);

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Conditions that a silent kubelet no longer vouches for.
const KUBELETS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Conditions, the status that keeps new pods away, and the taint that does.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Signs of life, by when they are seen: neither clocks of nodes nor a clock that somebody sets are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    heartbeat: String,
    lease: String,
    seen: Instant,
}

/// Whether a node is `True`ly ready, not (`False`), or `Unknown`.
pub fn ready(node: &Value) -> &str {
    let found = conditions::find(node.list_at(&["status", "conditions"]), "Ready");
    found.map_or("Unknown", |condition| condition.str_at(&["status"]))
}

/// Whether somebody says that the node is not ready; of a node that never spoke nobody does.
pub fn is_down(node: &Value) -> bool {
    let said = conditions::find(node.list_at(&["status", "conditions"]), "Ready").is_some();
    said && ready(node) != "True"
}

/// Whether the node's pods were told to leave because it is not ready. Taints of others do not count.
pub fn is_told(node: &Value) -> bool {
    node.list_at(&["spec", "taints"]).iter().any(is_told_by)
}

fn is_told_by(taint: &Value) -> bool {
    matches!(taint.str_at(&["key"]), NOT_READY | UNREACHABLE) && taint.str_at(&["effect"]) == "NoExecute"
}

impl Health {
    pub fn new(now: Instant) -> Self {
        Health { heartbeat: String::new(), lease: String::new(), seen: now }
    }

    /// Takes note of the node's own words.
    pub fn hear(&mut self, node: &Value, now: Instant) {
        let ready = conditions::find(node.list_at(&["status", "conditions"]), "Ready");
        // What this controller says of a silent node is no sign of life.
        let own = ready.filter(|c| c.str_at(&["status"]) != "Unknown");
        let heartbeat = own.map(|c| c.str_at(&["lastHeartbeatTime"])).unwrap_or_default();
        if !heartbeat.is_empty() && heartbeat != self.heartbeat {
            heartbeat.clone_into(&mut self.heartbeat);
            self.seen = now;
        }
    }

    /// Takes note of a renewed lease.
    pub fn renewed(&mut self, lease: &Value, now: Instant) {
        let renewed = lease.str_at(&["spec", "renewTime"]);
        if !renewed.is_empty() && renewed != self.lease {
            renewed.clone_into(&mut self.lease);
            self.seen = now;
        }
    }

    /// How long the node may still be silent; nothing when that time is over.
    pub fn patience(&self, node: &Value, now: Instant) -> Duration {
        let spoke = conditions::find(node.list_at(&["status", "conditions"]), "Ready").is_some();
        let grace = if spoke { GRACE } else { STARTUP_GRACE };
        grace.saturating_sub(now.saturating_duration_since(self.seen))
    }
}

/// The conditions of a node that has been silent for too long, if they are not so already.
pub fn silent(node: &Value, now: Time) -> Option<Vec<Value>> {
    let mut all = node.list_at(&["status", "conditions"]).to_vec();
    let mut changed = false;
    for ty in KUBELETS {
        match all.iter_mut().find(|c| c.str_at(&["type"]) == ty) {
            None => {
                let created = node.str_at(&["metadata", "creationTimestamp"]);
                all.push(tree!({
                    "type": ty, "status": "Unknown", "lastHeartbeatTime": created,
                    "lastTransitionTime": (now.rfc3339()), "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status."
                }));
                changed = true;
            }
            Some(condition) if condition.str_at(&["status"]) != "Unknown" => {
                condition.set(&["status"], "Unknown");
                condition.set(&["reason"], "NodeStatusUnknown");
                condition.set(&["message"], "Kubelet stopped posting node status.");
                condition.set(&["lastTransitionTime"], now.rfc3339());
                changed = true;
            }
            Some(_) => {}
        }
    }
    changed.then_some(all)
}

/// Whether pods are to leave a node that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    Now,
    /// Not yet, or those that were told so stay told.
    NotYet,
    /// Nobody is to leave: everything looks broken, so probably the eye is.
    Never,
}

/// The taints that a node ought to have, if it has others.
pub fn taints(node: &Value, leaving: Leaving, now: Time) -> Option<Vec<Value>> {
    let has = node.list_at(&["spec", "taints"]);
    let mut all: Vec<Value> = has.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    let kept = |key: &str, effect: &str| {
        let same = |t: &&Value| t.str_at(&["key"]) == key && t.str_at(&["effect"]) == effect;
        has.iter().find(same).cloned()
    };
    let conditions = node.list_at(&["status", "conditions"]);
    for (ty, status, key) in TAINTS {
        if conditions::find(conditions, ty).is_some_and(|c| c.str_at(&["status"]) == status) {
            all.push(kept(key, "NoSchedule").unwrap_or_else(|| tree!({"key": key, "effect": "NoSchedule"})));
        }
    }
    if node.bool_at(&["spec", "unschedulable"]) {
        let fresh = || tree!({"key": UNSCHEDULABLE, "effect": "NoSchedule", "timeAdded": (now.rfc3339())});
        all.push(kept(UNSCHEDULABLE, "NoSchedule").unwrap_or_else(fresh));
    }
    let key = match ready(node) {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE).filter(|_| !conditions.is_empty()),
    };
    let may_leave = leaving == Leaving::Now || (leaving == Leaving::NotYet && is_told(node));
    if let Some(key) = key.filter(|_| may_leave) {
        let fresh = || tree!({"key": key, "effect": "NoExecute", "timeAdded": (now.rfc3339())});
        all.push(kept(key, "NoExecute").unwrap_or_else(fresh));
    }
    let same = all.len() == has.len() && all.iter().all(|taint| has.contains(taint));
    (!same).then_some(all)
}

/// Taints that come and go with conditions.
fn is_ours(taint: &Value) -> bool {
    let (key, effect) = (taint.str_at(&["key"]), taint.str_at(&["effect"]));
    let of_condition = TAINTS.iter().any(|(_, _, ours)| key == *ours) || key == UNSCHEDULABLE;
    (of_condition && effect == "NoSchedule") || is_told_by(taint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_000_000);

    fn node(ready: &str, taints: Value) -> Value {
        tree!({"metadata": {"name": "n"}, "spec": {"taints": (taints)}, "status": {"conditions": [
            {"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}})
    }

    fn keys(taints: &[Value]) -> Vec<String> {
        taints.iter().map(|t| format!("{}:{}", t.str_at(&["key"]), t.str_at(&["effect"]))).collect()
    }

    #[test]
    fn a_node_may_be_silent_for_a_while() {
        let node = node("True", tree!([]));
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut health = Health::new(start);
        health.hear(&node, start);
        let later = after(40);
        assert_eq!(health.patience(&node, later), Duration::from_secs(10));
        health.hear(&node, later);
        assert_eq!(health.patience(&node, after(60)), Duration::ZERO);
        health.renewed(&tree!({"spec": {"renewTime": "2026-01-01T00:00:10.000000Z"}}), later);
        assert_eq!(health.patience(&node, after(60)), Duration::from_secs(30));
        assert_eq!(Health::new(start).patience(&tree!({}), start), STARTUP_GRACE);
    }

    #[test]
    fn a_taint_of_a_user_tells_no_pods_to_leave() {
        let tainted =
            |key: &str, effect: &str| is_told(&node("False", tree!([{"key": key, "effect": effect}])));
        assert!(tainted(UNREACHABLE, "NoExecute") && tainted(NOT_READY, "NoExecute"));
        assert!(!tainted("maintenance", "NoExecute") && !tainted(NOT_READY, "NoSchedule"));
    }

    #[test]
    fn a_node_that_never_spoke_is_not_down() {
        assert!(!is_down(&tree!({})) && !is_down(&node("True", tree!([]))));
        assert!(is_down(&node("False", tree!([]))) && is_down(&node("Unknown", tree!([]))));
    }

    #[test]
    fn a_silent_node_is_unknown_once() {
        let mut node = node("True", tree!([]));
        let conditions = silent(&node, NOW).unwrap();
        assert_eq!(conditions.len(), 4);
        assert!(conditions.iter().all(|c| c.str_at(&["status"]) == "Unknown"));
        assert_eq!(conditions[0].str_at(&["reason"]), "NodeStatusUnknown");
        assert_eq!(conditions[1].str_at(&["reason"]), "NodeStatusNeverUpdated");
        node.set(&["status", "conditions"], Value::List(conditions));
        assert!(silent(&node, NOW).is_none());
    }

    #[test]
    fn taints_follow_conditions_and_leave_others_alone() {
        let other = tree!({"key": "k", "effect": "NoSchedule"});
        let down = node("False", tree!([(other.clone())]));
        let told = taints(&down, Leaving::NotYet, NOW).unwrap();
        assert_eq!(keys(&told), ["k:NoSchedule", "node.kubernetes.io/not-ready:NoSchedule"]);
        let told = taints(&down, Leaving::Now, NOW).unwrap();
        assert_eq!(keys(&told)[2], "node.kubernetes.io/not-ready:NoExecute");
        let tainted = node("False", Value::List(told.clone()));
        assert!(taints(&tainted, Leaving::NotYet, NOW).is_none());
        let lost = taints(&node("Unknown", Value::List(told.clone())), Leaving::NotYet, NOW).unwrap();
        assert_eq!(
            keys(&lost)[1..],
            ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
        );
        assert_eq!(
            keys(&taints(&node("True", Value::List(told)), Leaving::NotYet, NOW).unwrap()),
            ["k:NoSchedule"]
        );
    }

    #[test]
    fn a_cordoned_node_is_tainted() {
        let mut cordoned = node("True", tree!([]));
        cordoned.set(&["spec", "unschedulable"], true);
        assert_eq!(
            keys(&taints(&cordoned, Leaving::NotYet, NOW).unwrap()),
            ["node.kubernetes.io/unschedulable:NoSchedule"]
        );
    }
}
