//! What a hollow node makes of a pod: it runs as soon as it is there, and ends as soon as it is to.

use super::node::HollowNode;
use api::{Value, tree};
use stdx::Time;

/// See the head of the file.
#[derive(Debug, PartialEq)]
pub enum Plan {
    Nothing,
    /// Post this status.
    Report(Value),
    /// Its containers are gone: it may go.
    End,
}

/// Whether there is anything to do about a pod.
pub fn has_work(pod: &Value) -> bool {
    is_leaving(pod) || is_to_start(pod) || is_misjudged(pod)
}

fn is_to_start(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Pending" | "")
}

/// Whether a running pod counts as less or more ready than it is, as when its node was given up for a while.
fn is_misjudged(pod: &Value) -> bool {
    let said = condition(pod, "Ready").map_or("", |ready| ready.str_at(&["status"]));
    pod.str_at(&["status", "phase"]) == "Running" && said != ready(pod)
}

fn condition<'a>(pod: &'a Value, ty: &str) -> Option<&'a Value> {
    pod.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == ty)
}

/// What a pod's `Ready` is to be: a pod that runs is ready, but for gates that others open.
fn ready(pod: &Value) -> &'static str {
    let is_true = |ty: &str| condition(pod, ty).is_some_and(|c| c.str_at(&["status"]) == "True");
    let mut gates = pod.list_at(&["spec", "readinessGates"]).iter();
    if gates.all(|gate| is_true(gate.str_at(&["conditionType"]))) { "True" } else { "False" }
}

fn is_leaving(pod: &Value) -> bool {
    !pod.str_at(&["metadata", "deletionTimestamp"]).is_empty()
}

pub fn plan(pod: &Value, node: &HollowNode, now: Time) -> Plan {
    match () {
        () if is_leaving(pod) => Plan::End,
        () if is_to_start(pod) => Plan::Report(running(pod, node, now)),
        // Start, addresses and containers are as they were.
        () if is_misjudged(pod) => Plan::Report(tree!({"conditions": (conditions(pod, &now.rfc3339()))})),
        () => Plan::Nothing,
    }
}

/// The status of a pod all of whose containers run.
fn running(pod: &Value, node: &HollowNode, now: Time) -> Value {
    let now = now.rfc3339();
    let host = node.address();
    let address = if pod.bool_at(&["spec", "hostNetwork"]) { host.clone() } else { node.pod_address() };
    let mut status = tree!({
        "phase": "Running", "startTime": (now.clone()),
        "hostIP": (host.clone()), "hostIPs": [{"ip": (host)}],
        "podIP": (address.clone()), "podIPs": [{"ip": (address)}],
        "conditions": (conditions(pod, &now)),
        "containerStatuses": (containers(pod, "containers", &now))
    });
    if !pod.list_at(&["spec", "initContainers"]).is_empty() {
        status.set(&["initContainerStatuses"], containers(pod, "initContainers", &now));
    }
    if let Some(generation) = pod.i64_at(&["metadata", "generation"]) {
        status.set(&["observedGeneration"], generation);
    }
    status
}

/// What others said of the pod stays, and the time of transition of what stays; a kubelet's own conditions are all
/// true, but `Ready` perhaps.
fn conditions(pod: &Value, now: &str) -> Value {
    let before = pod.list_at(&["status", "conditions"]);
    let own = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
    let mut all: Vec<Value> =
        before.iter().filter(|c| !own.contains(&c.str_at(&["type"]))).cloned().collect();
    for ty in own {
        let status = if ty == "Ready" { ready(pod) } else { "True" };
        let same = condition(pod, ty).filter(|c| c.str_at(&["status"]) == status);
        let since = same.map_or(now, |c| c.str_at(&["lastTransitionTime"]));
        let mut condition =
            tree!({"type": ty, "status": status, "lastProbeTime": null, "lastTransitionTime": since});
        if status == "False" {
            condition.set(&["reason"], "ReadinessGatesNotReady");
        }
        if let Some(generation) = pod.i64_at(&["metadata", "generation"]) {
            condition.set(&["observedGeneration"], generation);
        }
        all.push(condition);
    }
    Value::List(all)
}

/// Containers and sidecars run, init containers have run.
fn containers(pod: &Value, list: &str, now: &str) -> Value {
    let uid = pod.str_at(&["metadata", "uid"]);
    let status = |container: &Value| {
        let name = container.str_at(&["name"]);
        let id = format!("hollow://{uid}/{name}");
        let runs = list == "containers" || container.str_at(&["restartPolicy"]) == "Always";
        let state = match runs {
            true => tree!({"running": {"startedAt": now}}),
            false => tree!({"terminated": {
                "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now, "containerID": (id.clone())
            }}),
        };
        tree!({
            "name": name, "state": (state), "lastState": {}, "ready": true, "restartCount": 0, "started": (runs),
            "image": (container.str_at(&["image"])), "imageID": (container.str_at(&["image"])), "containerID": (id)
        })
    };
    Value::List(pod.list_at(&["spec", list]).iter().map(status).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::node::test_node;

    fn status(pod: &Value) -> Value {
        match plan(pod, &test_node(0), Time::from_secs(1_000_000)) {
            Plan::Report(status) => status,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_pod_runs_and_is_ready_unless_a_gate_is_shut() {
        let mut pod = tree!({"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "c", "image": "i"}],
            "initContainers": [{"name": "i", "image": "i"}, {"name": "s", "image": "i", "restartPolicy": "Always"}]},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}});
        let told = status(&pod);
        let conditions = told.list_at(&["conditions"]);
        assert_eq!(conditions.len(), 5);
        assert!(conditions.iter().all(|c| c.str_at(&["status"]) == "True"));
        let init = told.list_at(&["initContainerStatuses"]);
        assert!(
            init[0].at(&["state", "terminated"]).is_some() && init[1].at(&["state", "running"]).is_some()
        );
        pod.set(&["spec", "readinessGates"], tree!([{"conditionType": "x"}]));
        let told = status(&pod);
        let ready =
            told.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == "Ready").unwrap().clone();
        assert_eq!(ready.str_at(&["status"]), "False");
    }

    #[tokio::test]
    async fn a_pod_that_is_to_end_ends_and_one_that_runs_is_left_alone() {
        let ends = tree!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
        assert_eq!(plan(&ends, &test_node(0), Time::from_secs(0)), Plan::End);
        let runs =
            tree!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(plan(&runs, &test_node(0), Time::from_secs(0)), Plan::Nothing);
    }

    #[tokio::test]
    async fn a_running_pod_that_is_said_not_to_be_ready_is_ready_again_and_nothing_else_changes() {
        let since = "2026-01-01T00:00:00Z";
        let mut pod = tree!({"status": {"phase": "Running", "startTime": since, "podIP": "10.0.0.1", "conditions": [
            {"type": "Initialized", "status": "True", "lastTransitionTime": since},
            {"type": "Ready", "status": "False", "lastTransitionTime": since}
        ]}});
        assert!(has_work(&pod));
        let told = status(&pod);
        assert_eq!(told.as_map().map(|fields| fields.iter().count()), Some(1));
        pod.set(&["status", "conditions"], told.get("conditions").cloned().unwrap());
        assert!(!has_work(&pod));
        let time = |ty: &str| condition(&pod, ty).unwrap().str_at(&["lastTransitionTime"]).to_owned();
        assert!(time("Initialized") == since && time("Ready") != since);
        pod.set(&["spec", "readinessGates"], tree!([{"conditionType": "x"}]));
        assert!(has_work(&pod));
    }
}
