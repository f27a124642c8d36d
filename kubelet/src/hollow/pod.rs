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
    is_leaving(pod) || matches!(pod.str_at(&["status", "phase"]), "Pending" | "")
}

fn is_leaving(pod: &Value) -> bool {
    !pod.str_at(&["metadata", "deletionTimestamp"]).is_empty()
}

pub fn plan(pod: &Value, node: &HollowNode, now: Time) -> Plan {
    match () {
        () if is_leaving(pod) => Plan::End,
        () if has_work(pod) => Plan::Report(running(pod, node, now)),
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

/// What was said of the pod before stays; a kubelet's own conditions are all true, but for gates that others open.
fn conditions(pod: &Value, now: &str) -> Value {
    let before = pod.list_at(&["status", "conditions"]);
    let is_true =
        |ty: &str| before.iter().any(|c| c.str_at(&["type"]) == ty && c.str_at(&["status"]) == "True");
    let mut gates = pod.list_at(&["spec", "readinessGates"]).iter();
    let open = gates.all(|gate| is_true(gate.str_at(&["conditionType"])));
    let own = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
    let mut all: Vec<Value> =
        before.iter().filter(|c| !own.contains(&c.str_at(&["type"]))).cloned().collect();
    for ty in own {
        let status = if ty == "Ready" && !open { "False" } else { "True" };
        let mut condition =
            tree!({"type": ty, "status": status, "lastProbeTime": null, "lastTransitionTime": now});
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
        assert_eq!(
            plan(&tree!({"status": {"phase": "Running"}}), &test_node(0), Time::from_secs(0)),
            Plan::Nothing
        );
    }
}
