//! The conditions of a pod that are a kubelet's to say. Source: upstream's `status/generate.go`.

use super::Facts;
use crate::pod::plan::sandbox_needed;
use crate::pod::spec::{self, List, name_of};
use api::resources::is_sidecar;
use api::{Value, tree};

const COMPLETED: &str = "PodCompleted";
/// What the kubelet alone says.
const OWN: [&str; 8] = [
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "PodResizeInProgress",
    "PodResizePending",
    "PodReadyToStartContainers",
    "AllContainersRestarting",
];
pub const DISRUPTED: &str = "DisruptionTarget";

/// What a condition says, besides its type.
struct Says {
    status: bool,
    reason: &'static str,
    message: String,
}

impl Says {
    fn plain(status: bool) -> Self {
        Says { status, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Says { status: false, reason, message }
    }
}

pub fn condition<'a>(status: &'a Value, ty: &str) -> Option<&'a Value> {
    status.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == ty)
}

pub fn is_true(status: &Value, ty: &str) -> bool {
    condition(status, ty).is_some_and(|c| c.str_at(&["status"]) == "True")
}

/// All conditions, those of others as the API has them first. `status` has containers and phase.
pub fn conditions(facts: &Facts<'_>, status: &Value) -> Vec<Value> {
    let (pod, old) = (facts.pod, facts.old);
    let said = pod.list_at(&["status", "conditions"]);
    let is_others = |c: &&Value| !OWN.contains(&c.str_at(&["type"]));
    let mut all: Vec<Value> = said.iter().filter(is_others).cloned().collect();
    all.extend(facts.resize.iter().cloned());
    if let Some(disrupted) = condition(old, DISRUPTED) {
        match all.iter_mut().find(|c| c.str_at(&["type"]) == DISRUPTED) {
            Some(slot) => *slot = disrupted.clone(),
            None => all.push(disrupted.clone()),
        }
    }
    let containers = containers_ready(pod, status);
    let ready = ready(pod, &containers, &all);
    let mut own = vec![
        ("PodReadyToStartContainers", Says::plain(sandbox_needed(pod, facts.seen).is_none())),
        ("Initialized", initialized(pod, old, status)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Says::plain(true)),
    ];
    if spec::may_restart_all(pod) {
        own.push(("AllContainersRestarting", restarting(facts, status)));
    }
    all.extend(own.into_iter().map(|(ty, says)| write(facts, ty, says)));
    all
}

fn write(facts: &Facts<'_>, ty: &str, says: Says) -> Value {
    let mut written = tree!({"type": ty});
    if let Some(generation) = facts.pod.i64_at(&["metadata", "generation"]) {
        written.set(&["observedGeneration"], generation);
    }
    let status = if says.status { "True" } else { "False" };
    written.set(&["status"], status);
    written.set(&["lastProbeTime"], Value::Null);
    let same = condition(facts.old, ty).filter(|c| c.str_at(&["status"]) == status);
    let since = same.map(|c| c.str_at(&["lastTransitionTime"])).filter(|time| !time.is_empty());
    written.set(&["lastTransitionTime"], since.map_or_else(|| facts.now.rfc3339(), str::to_owned));
    for (field, text) in [("reason", says.reason), ("message", &says.message)] {
        if !text.is_empty() {
            written.set(&[field], text);
        }
    }
    written
}

fn restarting(facts: &Facts<'_>, status: &Value) -> Says {
    let phase = status.str_at(&["phase"]);
    match () {
        () if spec::is_terminal(phase) => Says::no(of_end(phase), String::new()),
        () if facts.restart_all && !super::is_cleared(facts.pod, facts.seen) => {
            let message = "container exited with restart policy rule".to_owned();
            Says { status: true, reason: "RestartAllContainersStarted", message }
        }
        () => Says::plain(false),
    }
}

fn of_end(phase: &str) -> &'static str {
    if phase == "Succeeded" { COMPLETED } else { "PodFailed" }
}

fn status_of<'a>(status: &'a Value, list: List, name: &str) -> Option<&'a Value> {
    status.list_at(&[list.statuses()]).iter().find(|container| name_of(container) == name)
}

/// Those not known, then those of which `is_good` is not true.
fn bad<'a>(
    status: &Value,
    containers: impl Iterator<Item = (List, &'a Value)>,
    is_good: impl Fn(&Value, &Value) -> bool,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut unknown, mut bad) = (Vec::new(), Vec::new());
    for (list, container) in containers {
        let name = name_of(container);
        match status_of(status, list, name) {
            None => unknown.push(name),
            Some(told) if !is_good(container, told) => bad.push(name),
            Some(_) => {}
        }
    }
    (unknown, bad)
}

fn message(unknown: &[&str], bad: &[&str], what: &str) -> String {
    let part = |what: &str, names: &[&str]| {
        (!names.is_empty()).then(|| format!("containers with {what} status: [{}]", names.join(" ")))
    };
    let parts: Vec<String> = part("unknown", unknown).into_iter().chain(part(what, bad)).collect();
    parts.join(", ")
}

fn containers_ready(pod: &Value, status: &Value) -> Says {
    let sidecars = spec::sidecars(pod).map(|c| (List::Init, c));
    let main = List::Main.of(pod).iter().map(|c| (List::Main, c));
    let (unknown, unready) = bad(status, sidecars.chain(main), |_, told| told.bool_at(&["ready"]));
    let phase = status.str_at(&["phase"]);
    if phase == "Failed" || phase == "Succeeded" && unknown.is_empty() {
        return Says::no(of_end(phase), String::new());
    }
    match message(&unknown, &unready, "unready") {
        none if none.is_empty() => Says::plain(true),
        message => Says::no("ContainersNotReady", message),
    }
}

fn ready(pod: &Value, containers: &Says, all: &[Value]) -> Says {
    if !containers.status {
        return Says::no(containers.reason, containers.message.clone());
    }
    let gate = |gate: &Value| {
        let ty = gate.str_at(&["conditionType"]);
        let Some(condition) = all.iter().find(|c| c.str_at(&["type"]) == ty) else {
            return Some(format!("corresponding condition of pod readiness gate \"{ty}\" does not exist."));
        };
        let status = condition.str_at(&["status"]);
        let shut = format!("the status of pod readiness gate \"{ty}\" is not \"True\", but {status}");
        (status != "True").then_some(shut)
    };
    let shut: Vec<String> = pod.list_at(&["spec", "readinessGates"]).iter().filter_map(gate).collect();
    if shut.is_empty() { Says::plain(true) } else { Says::no("ReadinessGatesNotReady", shut.join(", ")) }
}

fn initialized(pod: &Value, old: &Value, status: &Value) -> Says {
    let is_done = |container: &Value, told: &Value| {
        told.bool_at(&[if is_sidecar(container) { "started" } else { "ready" }])
    };
    let init = List::Init.of(pod).iter().map(|c| (List::Init, c));
    let (unknown, incomplete) = bad(status, init, is_done);
    if status.str_at(&["phase"]) == "Succeeded" && unknown.is_empty() {
        return Says { status: true, reason: COMPLETED, message: String::new() };
    }
    let has_started = |told: &Value| {
        ["running", "terminated"].iter().any(|state| told.at(&["state", state]).is_some_and(|s| !s.is_null()))
    };
    let has_run = status.list_at(&[List::Main.statuses()]).iter().any(has_started);
    match message(&unknown, &incomplete, "incomplete") {
        message if !(has_run || message.is_empty() || is_true(old, "Initialized")) => {
            Says::no("ContainersNotInitialized", message)
        }
        _ => Says::plain(true),
    }
}

/// The conditions that are to stand in the API: those of others as they are, then the kubelet's. That a pod was
/// disrupted is said with its end (`ends`).
pub fn merged(said: &Value, generated: &Value, ends: bool) -> Vec<Value> {
    let is_own = |c: &&Value| OWN.contains(&c.str_at(&["type"]));
    let mut all: Vec<Value> = said.list_at(&["conditions"]).iter().filter(|c| !is_own(c)).cloned().collect();
    if let Some(disrupted) = condition(generated, DISRUPTED).filter(|_| ends) {
        all.retain(|c| c.str_at(&["type"]) != DISRUPTED);
        all.push(disrupted.clone());
    }
    all.extend(generated.list_at(&["conditions"]).iter().filter(is_own).cloned());
    all
}

/// A pod that has ended is not ready, whatever was said before.
pub fn end(status: &mut Value) {
    let reason = of_end(status.str_at(&["phase"]));
    for condition in status.get_mut("conditions").and_then(Value::as_list_mut).into_iter().flatten() {
        let is_ready = matches!(condition.str_at(&["type"]), "Ready" | "ContainersReady");
        if is_ready && condition.str_at(&["status"]) == "True" {
            condition.set(&["status"], "False");
            condition.set(&["reason"], reason);
        }
    }
}
