//! The row of a pod in tables: readiness, restarts, and one word for the state of all containers.
//! Source: `printPod`.

use super::pod_spec::{is_sidecar, set};
use crate::{Column, print};
use api::{Value, tree};

const SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const STATUS: &str = "io.k8s.api.core.v1.PodStatus";

pub fn columns() -> Vec<Column> {
    let text = |name, doc| Column::text(name, "string", doc);
    vec![
        Column::name(),
        text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        text("Status", "The aggregate status of the containers in this pod."),
        text(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this \
             pod has restarted.",
        ),
        Column::age(),
        Column::field("IP", "string", STATUS, "podIP").wide(),
        Column::field("Node", "string", SPEC, "nodeName").wide(),
        Column::field("Nominated Node", "string", STATUS, "nominatedNodeName").wide(),
        Column::field("Readiness Gates", "string", SPEC, "readinessGates").wide(),
    ]
}

pub fn row_conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match pod.str_at(&["status", "phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![tree!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

pub fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.restarted_at {
        Some(at) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, print::human_duration(now - at))
        }
        _ => summary.restarts.to_string(),
    };
    let or_none = |text: &str| Value::from(print::or_else(text, "<none>"));
    let first_ip = pod.list_at(&["status", "podIPs"]).first();
    vec![
        print::name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        print::age(pod, now),
        or_none(first_ip.map(|ip| ip.str_at(&["ip"])).unwrap_or_default()),
        or_none(pod.str_at(&["spec", "nodeName"])),
        or_none(pod.str_at(&["status", "nominatedNodeName"])),
        readiness_gates(pod).into(),
    ]
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.list_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates.iter().filter(|gate| has_condition(pod, gate.str_at(&["conditionType"]))).count();
    format!("{passed}/{}", gates.len())
}

/// The first condition of the type is true.
fn has_condition(pod: &Value, kind: &str) -> bool {
    let conditions = pod.list_at(&["status", "conditions"]);
    let first = conditions.iter().find(|c| c.str_at(&["type"]) == kind);
    first.is_some_and(|c| c.str_at(&["status"]) == "True")
}

/// What the containers' statuses add up to.
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    /// Unix seconds of the last restart.
    restarted_at: Option<i64>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let sidecars = pod.list_at(&["spec", "initContainers"]).iter().filter(|c| is_sidecar(c)).count();
        let mut summary = Summary {
            reason: phase_or_reason(pod),
            ready: 0,
            total: pod.list_at(&["spec", "containers"]).len() + sidecars,
            restarts: 0,
            restarted_at: None,
        };
        let (initializing, of_sidecars) = summary.add_init_containers(pod);
        if !initializing || has_condition(pod, "Initialized") {
            (summary.restarts, summary.restarted_at) = of_sidecars;
            summary.add_containers(pod);
        }
        let terminating = set(pod.get("metadata").unwrap_or(&Value::Null), "deletionTimestamp").is_some();
        let ended = matches!(pod.str_at(&["status", "phase"]), "Failed" | "Succeeded");
        if terminating && pod.str_at(&["status", "reason"]) == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if terminating && !ended {
            summary.reason = "Terminating".to_owned();
        }
        summary
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += status.i64_at(&["restartCount"]).unwrap_or_default();
        self.restarted_at = self.restarted_at.max(last_end(status));
    }

    /// Whether init containers still run, and the restarts of sidecars alone.
    fn add_init_containers(&mut self, pod: &Value) -> (bool, (i64, Option<i64>)) {
        let containers = pod.list_at(&["spec", "initContainers"]);
        let mut of_sidecars = (0, None);
        for (i, status) in pod.list_at(&["status", "initContainerStatuses"]).iter().enumerate() {
            self.count_restarts(status);
            let name = status.str_at(&["name"]);
            let sidecar = containers.iter().any(|c| c.str_at(&["name"]) == name && is_sidecar(c));
            if sidecar {
                of_sidecars.0 += status.i64_at(&["restartCount"]).unwrap_or_default();
                of_sidecars.1 = of_sidecars.1.max(last_end(status));
            }
            let state = |kind: &str| status.at(&["state", kind]).filter(|s| !s.is_null());
            let waiting = state("waiting").map(|w| w.str_at(&["reason"])).unwrap_or_default();
            match state("terminated") {
                Some(end) if end.i64_at(&["exitCode"]).unwrap_or_default() == 0 => continue,
                _ if sidecar && status.bool_at(&["started"]) => {
                    self.ready += usize::from(status.bool_at(&["ready"]));
                    continue;
                }
                Some(end) => self.reason = format!("Init:{}", end_reason(end)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => {
                    self.reason = format!("Init:{waiting}");
                }
                None => self.reason = format!("Init:{i}/{}", containers.len()),
            }
            return (true, of_sidecars);
        }
        (false, of_sidecars)
    }

    fn add_containers(&mut self, pod: &Value) {
        let (mut running, mut error) = (false, String::new());
        for status in pod.list_at(&["status", "containerStatuses"]).iter().rev() {
            self.count_restarts(status);
            let state = |kind: &str| status.at(&["state", kind]).filter(|s| !s.is_null());
            let waiting = state("waiting").map(|w| w.str_at(&["reason"])).unwrap_or_default();
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(end) = state("terminated") {
                self.reason = end_reason(end);
                if end.i64_at(&["exitCode"]).unwrap_or_default() != 0 {
                    error.clone_from(&self.reason);
                }
            } else if status.bool_at(&["ready"]) && state("running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            let ready = pod
                .list_at(&["status", "conditions"])
                .iter()
                .any(|c| c.str_at(&["type"]) == "Ready" && c.str_at(&["status"]) == "True");
            if running && ready {
                self.reason = "Running".to_owned();
            } else if !error.is_empty() {
                self.reason = error;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

fn phase_or_reason(pod: &Value) -> String {
    let gated = pod
        .list_at(&["status", "conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == "PodScheduled" && c.str_at(&["reason"]) == "SchedulingGated");
    match (gated, pod.str_at(&["status", "reason"])) {
        (true, _) => "SchedulingGated".to_owned(),
        (false, "") => pod.str_at(&["status", "phase"]).to_owned(),
        (false, reason) => reason.to_owned(),
    }
}

/// When the container ended before it was started last, in unix seconds.
fn last_end(status: &Value) -> Option<i64> {
    print::unix_secs(status.str_at(&["lastState", "terminated", "finishedAt"]))
}

/// `Error`, `Signal:9`, `ExitCode:1`.
fn end_reason(end: &Value) -> String {
    let signal = end.i64_at(&["signal"]).unwrap_or_default();
    match end.str_at(&["reason"]) {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", end.i64_at(&["exitCode"]).unwrap_or_default()),
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: Value) -> Vec<String> {
        let pod = tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}],
            "initContainers": [{"name": "i"}]}, "status": status});
        let cells = cells(&pod, 100);
        cells[1..4].iter().map(|c| c.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_state_of_containers_is_one_word() {
        assert_eq!(row(tree!({"phase": "Pending"})), ["0/1", "Pending", "0"]);
        let waiting =
            tree!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"waiting": {}}}]});
        assert_eq!(row(waiting), ["0/1", "Init:0/1", "0"]);
        let crashed = tree!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:40Z"}}}]});
        assert_eq!(row(crashed), ["0/1", "CrashLoopBackOff", "3 (60s ago)"]);
        let running = tree!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 3,
            "state": {"running": {}}}]});
        assert_eq!(row(running), ["1/1", "Running", "3"]);
    }
}
