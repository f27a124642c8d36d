//! What is said of a pod: its phase, conditions, containers and addresses. Source: upstream's `generateAPIPodStatus`
//! and `status_manager`.

mod conditions;
mod containers;
mod patch;
mod phase;

#[cfg(test)]
mod tests;

pub use patch::{Written, patch};

use super::Observed;
use super::plan::Restart;
use super::resize::{POD, of_group, whole};
use super::spec::{self, LISTS, List, is_terminal};
use crate::pod::Wait;
use api::resources::qos_class;
use api::{Value, tree};
use std::collections::HashMap;
use std::net::IpAddr;
use stdx::Time;

const LOST: &str = "ContainerStatusUnknown";
const KILLED: i64 = 137;
/// What is told of resources as it is, and not only as it was allotted.
const RESIZED: [[&str; 2]; 4] =
    [["limits", "cpu"], ["limits", "memory"], ["requests", "cpu"], ["requests", "memory"]];

/// What a status is made of.
pub struct Facts<'a> {
    /// As the API, or the folder, has it.
    pub pod: &'a Value,
    /// The status that was made last; that of the API at first.
    pub old: &'a Value,
    pub seen: &'a Observed,
    /// What ended containers said: by id.
    pub messages: &'a HashMap<String, String>,
    /// Why containers are not started: by name.
    pub waiting: &'a HashMap<String, Wait>,
    /// Writes what probes say of the containers of a status: `started` and `ready`.
    pub mark: &'a dyn Fn(&mut Value),
    /// It is being stopped, or has stopped: it keeps its address.
    pub is_ending: bool,
    /// All containers have stopped, and none will start again.
    pub is_over: bool,
    /// All containers are being started anew.
    pub restart_all: bool,
    /// Killed in order to be started again: by name.
    pub restarting: &'a HashMap<String, Restart>,
    /// Why the node ended the pod.
    pub evicted: Option<&'a Wait>,
    /// Conditions about the change of resources.
    pub resize: &'a [Value],
    /// What containers run with: by id.
    pub resources: &'a HashMap<String, Value>,
    pub host_ips: &'a [IpAddr],
    pub is_static: bool,
    pub now: Time,
}

impl Facts<'_> {
    /// Whether a container only stopped in order to start again, however it ended.
    fn is_restarting(&self, name: &str) -> bool {
        let killed = self.restarting.get(name).filter(|_| !self.is_ending);
        killed.is_some_and(|killed| self.seen.latest(name).is_none_or(|newest| newest.id == killed.id))
    }
}

/// The whole status as the kubelet sees it. What others wrote is added by `merged`.
pub fn generate(facts: &Facts<'_>) -> Value {
    let (pod, old) = (facts.pod, facts.old);
    let mut status = Value::map();
    set_unless_empty(&mut status, "observedGeneration", pod.at(&["metadata", "generation"]));
    addresses(facts, &mut status);
    for list in LISTS {
        let statuses = containers::statuses(facts, list);
        if !statuses.is_empty() {
            status.set(&[list.statuses()], Value::List(statuses));
        }
    }
    if let Some(spec) = pod.get("spec") {
        status.set(&["qosClass"], qos_class(spec));
    }
    resources(facts, &mut status);
    (facts.mark)(&mut status);
    set_phase(facts, &mut status);
    status.set(&["conditions"], Value::List(conditions::conditions(facts, &status)));
    let known = [old, pod.get("status").unwrap_or(&Value::Null)];
    let start = known.iter().map(|s| s.str_at(&["startTime"])).find(|time| !time.is_empty());
    status.set(&["startTime"], start.map_or_else(|| facts.now.rfc3339(), str::to_owned));
    status
}

fn set_unless_empty(status: &mut Value, field: &str, value: Option<&Value>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        status.set(&[field], value.clone());
    }
}

/// The phase with its reason and message. A phase that ends a pod is never left.
fn set_phase(facts: &Facts<'_>, status: &mut Value) {
    let said = facts.pod.get("status").unwrap_or(&Value::Null);
    let mut phase = phase::phase(facts, status);
    for known in [facts.old, said] {
        if !is_terminal(phase) && is_terminal(known.str_at(&["phase"])) {
            phase = known.str_at(&["phase"]);
        }
    }
    if phase == facts.old.str_at(&["phase"]) {
        for field in ["reason", "message"] {
            let kept = [facts.old, said].iter().map(|s| s.str_at(&[field])).find(|text| !text.is_empty());
            if let Some(kept) = kept {
                status.set(&[field], kept);
            }
        }
    }
    if let Some(evicted) = facts.evicted {
        phase = "Failed";
        status.set(&["reason"], evicted.reason.as_str());
        status.set(&["message"], evicted.message.as_str());
    }
    if is_terminal(said.str_at(&["phase"])) {
        phase = said.str_at(&["phase"]);
    }
    status.set(&["phase"], phase);
}

fn addresses(facts: &Facts<'_>, status: &mut Value) {
    let known = |field: &str| -> Vec<String> {
        facts.old.list_at(&[field]).iter().map(|ip| ip.str_at(&["ip"]).to_owned()).collect()
    };
    let mut hosts: Vec<String> = facts.host_ips.iter().map(IpAddr::to_string).collect();
    if hosts.is_empty() {
        hosts = known("hostIPs");
    }
    let mut ips: Vec<String> = facts.seen.ips().into_iter().map(str::to_owned).collect();
    if spec::uses_host_network(facts.pod) && ips.is_empty() {
        ips.clone_from(&hosts);
    }
    if facts.is_ending && ips.is_empty() {
        ips = known("podIPs");
    }
    for (one, all, ips) in [("hostIP", "hostIPs", hosts), ("podIP", "podIPs", ips)] {
        if let Some(first) = ips.first() {
            status.set(&[one], first.as_str());
            status.set(&[all], Value::List(ips.iter().map(|ip| tree!({"ip": (ip.as_str())})).collect()));
        }
    }
}

/// What the pod as a whole is allotted, and what it has got. A limit holds for a running pod when all of its containers
/// have one.
fn resources(facts: &Facts<'_>, status: &mut Value) {
    let mut all = whole(facts.pod);
    let requests = all.get("requests").cloned();
    if let Some(actual) = facts.resources.get(POD) {
        for path in RESIZED {
            if let Some(amount) = actual.at(&path) {
                all.set(&path, amount.clone());
            }
        }
    }
    if facts.pod.str_at(&["status", "phase"]) == "Running" {
        all = of_group(facts.pod, all);
    }
    status.set(&["resources"], all);
    set_unless_empty(status, "allocatedResources", requests.as_ref());
}

/// Whether all containers of a pod are to start anew, as one that ended asks for.
pub fn restarts_all(pod: &Value, seen: &Observed, old: &Value) -> bool {
    if !spec::may_restart_all(pod) {
        return false;
    }
    let asks = |(list, container): (List, &Value)| {
        let name = spec::name_of(container);
        let seen = seen.latest(name).filter(|seen| super::has_exited(seen)).map(|seen| seen.exit_code);
        let said = old.list_at(&[list.statuses()]).iter().find(|said| spec::name_of(said) == name);
        let said = said.and_then(|said| said.i64_at(&["state", "terminated", "exitCode"]));
        let said = said.and_then(|code| i32::try_from(code).ok());
        list != List::Ephemeral
            && [seen, said].into_iter().flatten().any(|code| spec::restarts_all(container, code))
    };
    conditions::is_true(old, "AllContainersRestarting") || spec::containers(pod).any(asks)
}

/// Whether containerd has none of the containers that are to start anew.
pub fn is_cleared(pod: &Value, seen: &Observed) -> bool {
    let mut all = spec::containers(pod).filter(|(list, _)| *list != List::Ephemeral);
    all.all(|(_, container)| seen.latest(spec::name_of(container)).is_none())
}

/// The containers that have ended since the old status: type, exit code and reason of each.
pub fn newly_ended<'a>(old: &'a Value, new: &'a Value) -> impl Iterator<Item = [String; 3]> + 'a {
    let types =
        [(List::Init, "init_container"), (List::Main, "container"), (List::Ephemeral, "ephemeral_container")];
    types.into_iter().flat_map(move |(list, ty)| {
        let ended = |status: &'a Value| status.at(&["state", "terminated"]).filter(|state| !state.is_null());
        let known = old.list_at(&[list.statuses()]);
        let is_new = move |status: &&Value| {
            !known.iter().any(|old| spec::name_of(old) == spec::name_of(status) && ended(old).is_some())
        };
        let ends = new.list_at(&[list.statuses()]).iter().filter(is_new).filter_map(ended);
        ends.map(move |end| {
            let code = end.i64_at(&["exitCode"]).unwrap_or(0);
            [ty.to_owned(), code.to_string(), end.str_at(&["reason"]).to_owned()]
        })
    })
}

/// What is said when a pod is refused before anything of it was made.
pub fn rejected(pod: &Value, reason: &str, message: &str, now: Time) -> Value {
    let mut status = tree!({
        "phase": "Failed", "reason": reason, "message": (format!("Pod was rejected: {message}")),
        "startTime": (now.rfc3339())
    });
    let known = pod.str_at(&["status", "startTime"]);
    if !known.is_empty() {
        status.set(&["startTime"], known);
    }
    set_unless_empty(&mut status, "observedGeneration", pod.at(&["metadata", "generation"]));
    if let Some(spec) = pod.get("spec") {
        status.set(&["qosClass"], qos_class(spec));
    }
    status
}

/// The last status of a pod that is done for: every container that ever could have run has ended, and the phase ends
/// the pod, unless it is a static one.
pub fn finish(pod: &Value, status: &mut Value, is_static: bool) {
    let lost = tree!({"terminated": {
        "exitCode": KILLED, "reason": LOST,
        "message": "The container could not be located when the pod was terminated",
        "startedAt": null, "finishedAt": null
    }});
    let end = |container: &mut Value| {
        if container.at(&["state", "terminated"]).is_none() {
            container.set(&["state"], lost.clone());
        }
    };
    if has_initialized(pod) {
        list_mut(status, List::Main).iter_mut().for_each(end);
    }
    let init = list_mut(status, List::Init);
    let has_started = |container: &Value| {
        container.at(&["state", "waiting"]).is_none() || container.at(&["lastState", "terminated"]).is_some()
    };
    let last = init.iter().rposition(has_started).unwrap_or(0);
    init.iter_mut().take(last + 1).for_each(end);
    if !is_static && !is_terminal(status.str_at(&["phase"])) {
        status.set(&["phase"], "Failed");
    }
}

fn list_mut(status: &mut Value, list: List) -> &mut [Value] {
    status.get_mut(list.statuses()).and_then(Value::as_list_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// Whether the pod's status in the API tells that its init containers were done once.
fn has_initialized(pod: &Value) -> bool {
    let Some(last) = List::Init.of(pod).last() else { return true };
    let main = pod.list_at(&["status", List::Main.statuses()]).iter();
    let has_moved = |container: &Value| {
        container.at(&["lastState", "terminated"]).is_some() || container.at(&["state", "waiting"]).is_none()
    };
    if main.into_iter().any(has_moved) {
        return true;
    }
    let statuses = pod.list_at(&["status", List::Init.statuses()]);
    let Some(status) = statuses.last() else { return false };
    if api::resources::is_sidecar(last) {
        return status.at(&["state", "running"]).is_some() && status.bool_at(&["started"]);
    }
    ["state", "lastState"].iter().any(|state| status.i64_at(&[state, "terminated", "exitCode"]) == Some(0))
}

/// What is to stand in the API: what the kubelet says, with what others wrote. While containers could still run
/// (`could_run`), the phase does not become one that ends the pod.
pub fn merged(said: &Value, generated: &Value, could_run: bool) -> Value {
    let mut status = generated.clone();
    let ends = !is_terminal(said.str_at(&["phase"])) && is_terminal(generated.str_at(&["phase"]));
    status.set(&["conditions"], Value::List(conditions::merged(said, generated, ends && !could_run)));
    for field in ["resourceClaimStatuses", "extendedResourceClaimStatus", "nominatedNodeName", "resize"] {
        set_unless_empty(&mut status, field, said.get(field));
    }
    if ends && could_run {
        for field in ["phase", "reason", "message"] {
            match said.get(field) {
                Some(value) => status.set(&[field], value.clone()),
                None => drop(status.unset(&[field])),
            }
        }
    }
    if is_terminal(status.str_at(&["phase"])) {
        conditions::end(&mut status);
    }
    status
}
