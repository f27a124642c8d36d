//! The statuses of containers: from what containerd has, from what was said before, and from why one is not started.
//! Source: upstream's `convertToAPIContainerStatuses`.

use super::{Facts, KILLED, LOST, RESIZED};
use crate::cri::{ContainerState, ContainerStatus};
use crate::pod::observed::{has_exited, is_running, restart_count};
use crate::pod::plan::{any_main_created, should_run, time};
use crate::pod::spec::{self, List, name_of};
use api::resources::is_sidecar;
use api::{Value, tree};

/// The reason of containers that end because all of their pod start anew.
pub const RESTARTING_ALL: &str = "RestartingAllContainers";
const REMOVED: &str = "The container is removed because RestartAllContainers in place";

/// The statuses of one list: init containers in the order of the spec, others by name.
pub fn statuses(facts: &Facts<'_>, list: List) -> Vec<Value> {
    let known = facts.old.list_at(&[list.statuses()]);
    let one = |container: &Value| {
        let old = known.iter().find(|old| name_of(old) == name_of(container));
        status(facts, list, container, old)
    };
    let mut all: Vec<Value> = list.of(facts.pod).iter().map(one).collect();
    if list != List::Init {
        all.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    }
    all
}

fn status(facts: &Facts<'_>, list: List, container: &Value, old: Option<&Value>) -> Value {
    let mut seen = facts.seen.of(name_of(container));
    let mut status = match seen.next() {
        Some(newest) => {
            let mut status = from_runtime(facts, container, newest, old);
            if let Some(before) = seen.next() {
                let before = from_runtime(facts, container, before, old);
                status.set(&["lastState"], before.get("state").cloned().unwrap_or_else(Value::map));
            }
            status
        }
        None => unseen(facts, container, old),
    };
    if list == List::Init {
        infer_done(facts, container, &mut status);
    }
    wait(facts, list, container, &mut status);
    if facts.is_restarting(name_of(container)) {
        wait_for_restart(facts, container, &mut status);
    }
    status
}

/// An end that the API would take for the last one is not said of a container that is to start again.
fn wait_for_restart(facts: &Facts<'_>, container: &Value, status: &mut Value) {
    let code = status.i64_at(&["state", "terminated", "exitCode"]).and_then(|code| i32::try_from(code).ok());
    if code.is_some_and(|code| !spec::restarts(facts.pod, container, code)) {
        let end = status.get("state").cloned().unwrap_or_else(Value::map);
        status.set(&["lastState"], end);
        let waits = waiting(facts, container);
        status.set(&["state"], waits.get("state").cloned().unwrap_or_else(Value::map));
    }
}

/// Of a container that containerd does not have.
fn unseen(facts: &Facts<'_>, container: &Value, old: Option<&Value>) -> Value {
    let mut status = waiting(facts, container);
    let Some(old) = old else { return status };
    let state = |name: &str| old.at(&["state", name]).filter(|state| !state.is_null());
    let count = old.i64_at(&["restartCount"]).unwrap_or(0);
    if facts.restart_all && state("waiting").is_none() {
        status.set(&["state"], tree!({"waiting": {"reason": RESTARTING_ALL, "message": REMOVED}}));
        status.set(&["lastState"], ended(RESTARTING_ALL, REMOVED));
        status.set(&["restartCount"], count + 1);
        return status;
    }
    if state("terminated").is_some() {
        return old.clone();
    }
    status.set(&["restartCount"], count);
    status.set(&["lastState"], old.get("lastState").cloned().unwrap_or_else(Value::map));
    if state("running").is_some() && status.at(&["lastState", "terminated"]).is_none() {
        let message =
            "The container could not be located when the pod was deleted.  The container used to be Running";
        status.set(&["lastState"], ended(LOST, message));
        status.set(&["restartCount"], count + i64::from(!spec::is_leaving(facts.pod)));
    }
    status
}

fn ended(reason: &str, message: &str) -> Value {
    tree!({"terminated": {
        "exitCode": KILLED, "reason": reason, "message": message, "startedAt": null, "finishedAt": null
    }})
}

/// Of a container that has never been made.
fn waiting(facts: &Facts<'_>, container: &Value) -> Value {
    let reason = if List::Init.of(facts.pod).is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let mut status = tree!({
        "name": (name_of(container)), "state": {"waiting": {"reason": reason}}, "lastState": {},
        "ready": false, "restartCount": 0, "image": (container.str_at(&["image"])), "imageID": ""
    });
    volume_mounts(container, &mut status);
    status
}

fn volume_mounts(container: &Value, status: &mut Value) {
    let mount = |mount: &Value| {
        let text = |field: &str| mount.str_at(&[field]).to_owned();
        let mut told = tree!({"name": (text("name")), "mountPath": (text("mountPath"))});
        if mount.bool_at(&["readOnly"]) {
            told.set(&["readOnly"], true);
            told.set(&["recursiveReadOnly"], "Disabled");
        }
        told
    };
    let mounts: Vec<Value> = container.list_at(&["volumeMounts"]).iter().map(mount).collect();
    if !mounts.is_empty() {
        status.set(&["volumeMounts"], Value::List(mounts));
    }
}

fn from_runtime(facts: &Facts<'_>, container: &Value, seen: &ContainerStatus, old: Option<&Value>) -> Value {
    let id = format!("containerd://{}", seen.id);
    let image = seen.image.as_ref().map_or("", |image| image.image.as_str());
    let mut count = restart_count(seen);
    let mut last = Value::map();
    if let Some(old) = old {
        let before = old.i64_at(&["restartCount"]).unwrap_or(0);
        let state = |path: &[&str]| old.at(path).filter(|state| !state.is_null());
        let ended = state(&["state", "terminated"]).filter(|_| old.str_at(&["containerID"]) != id);
        if is_running(seen) && state(&["state", "terminated"]).is_some() && before >= count {
            count = before + 1;
        }
        count = count.max(before);
        if let Some(ended) = ended.or_else(|| state(&["lastState", "terminated"])) {
            last.set(&["terminated"], ended.clone());
        }
    }
    let (state, lost) = state(facts, seen, &id, old);
    let mut status = tree!({
        "name": (name_of(container)), "state": (state), "lastState": (last), "ready": false,
        "restartCount": (count + i64::from(lost)), "image": image, "imageID": (seen.image_ref.as_str()),
        "containerID": (id.as_str())
    });
    resources(facts, container, seen, &mut status);
    volume_mounts(container, &mut status);
    if let Some(user) = seen.user.as_ref().and_then(|user| user.linux.as_ref()) {
        let groups = user.supplemental_groups.iter().map(|group| Value::from(*group)).collect();
        let told = tree!({"uid": (user.uid), "gid": (user.gid), "supplementalGroups": (Value::List(groups))});
        status.set(&["user", "linux"], told);
    }
    status
}

/// The state, and whether the container was lost while it ran.
fn state(facts: &Facts<'_>, seen: &ContainerStatus, id: &str, old: Option<&Value>) -> (Value, bool) {
    let ran = old.is_some_and(|old| old.at(&["state", "running"]).is_some_and(|state| !state.is_null()));
    let state = match seen.state() {
        ContainerState::ContainerRunning => {
            tree!({"running": {"startedAt": (time(seen.started_at).rfc3339())}})
        }
        ContainerState::ContainerExited => tree!({"terminated": (end(facts, seen, id))}),
        ContainerState::ContainerUnknown if ran => {
            let reason = if facts.restart_all { RESTARTING_ALL } else { LOST };
            let message = "The container could not be located when the pod was terminated";
            return (ended(reason, message), true);
        }
        _ => tree!({"waiting": {}}),
    };
    (state, false)
}

fn end(facts: &Facts<'_>, seen: &ContainerStatus, id: &str) -> Value {
    let mut end = tree!({"exitCode": (i64::from(seen.exit_code))});
    let message = facts.messages.get(&seen.id).unwrap_or(&seen.message);
    for (field, text) in [("reason", seen.reason.as_str()), ("message", message.as_str())] {
        if !text.is_empty() {
            end.set(&[field], text);
        }
    }
    end.set(&["startedAt"], time(seen.started_at).rfc3339());
    end.set(&["finishedAt"], time(seen.finished_at).rfc3339());
    end.set(&["containerID"], id);
    end
}

/// What the container is allotted, and what it runs with.
fn resources(facts: &Facts<'_>, container: &Value, seen: &ContainerStatus, status: &mut Value) {
    let allotted = container.get("resources").filter(|resources| !resources.is_null());
    if let Some(requests) = allotted.and_then(|r| r.get("requests")).filter(|requests| !requests.is_empty()) {
        status.set(&["allocatedResources"], requests.clone());
    }
    let mut told = allotted.cloned().unwrap_or_else(Value::map);
    let actual = facts.resources.get(&seen.id).filter(|_| is_running(seen));
    for path in RESIZED {
        let amount = actual.and_then(|actual| actual.at(&path));
        if let (Some(amount), true) = (amount, told.get(path[0]).is_some()) {
            told.set(&path, amount.clone());
        }
    }
    status.set(&["resources"], told);
}

/// An init container that is gone while main containers exist has done its work.
fn infer_done(facts: &Facts<'_>, container: &Value, status: &mut Value) {
    let is_unseen = facts.seen.latest(name_of(container)).is_none();
    let waits = status.at(&["state", "waiting"]).is_some_and(|state| !state.is_null());
    if is_unseen && waits && !is_sidecar(container) && any_main_created(facts.pod, facts.seen) {
        let message = "Unable to get init container status from container runtime and pod has been initialized, \
                       treat it as exited normally";
        let done = tree!({
            "exitCode": 0, "reason": "Completed", "message": message, "startedAt": null, "finishedAt": null
        });
        status.set(&["state"], tree!({"terminated": (done)}));
    }
}

/// A container that is to be started, and cannot be yet, waits.
fn wait(facts: &Facts<'_>, list: List, container: &Value, status: &mut Value) {
    let name = name_of(container);
    let Some(why) = facts.waiting.get(name) else { return };
    let seen = facts.seen.latest(name);
    let is_done = list == List::Init && seen.is_some_and(|seen| has_exited(seen) && seen.exit_code == 0);
    if is_done || !(facts.is_restarting(name) || should_run(facts.pod, container, facts.seen)) {
        return;
    }
    if status.at(&["state", "terminated"]).is_some_and(|state| !state.is_null()) {
        let state = status.get("state").cloned().unwrap_or_else(Value::map);
        status.set(&["lastState"], state);
    }
    let mut waiting = tree!({"reason": (why.reason.as_str())});
    if !why.message.is_empty() {
        waiting.set(&["message"], why.message.as_str());
    }
    status.set(&["state"], tree!({"waiting": (waiting)}));
}
