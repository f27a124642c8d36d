//! What is to be done about a pod that is to run: a function of its spec, of what containerd has of it, and of the
//! little that only the kubelet knows. Source: upstream's `kuberuntime_manager`.

use super::Observed;
use super::back_off::BackOff;
use super::init::{self, Init};
use super::observed::{container_name, has_exited, is_running, label};
use super::resize::{Change, POD};
use super::spec::{self, List, name_of};
use crate::container::hash;
use crate::cri;
use crate::runtime::labels;
use api::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use stdx::Time;

/// What the last probes of a container said; nothing where none has been made, or none is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    pub startup: Option<bool>,
    pub liveness: Option<bool>,
}

/// A container that was killed in order to be started again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    pub id: String,
    /// When the one before it had ended; from then on it was held back, if it was to be.
    pub before: Option<Time>,
    /// It was held back since: now its own end counts.
    pub is_held: bool,
}

/// What the kubelet knows beside what containerd has.
pub struct Known<'a> {
    pub now: Time,
    pub back_off: &'a BackOff,
    /// By container id.
    pub probed: &'a dyn Fn(&str) -> Probed,
    /// Containers that were killed in order to be started again: by name.
    pub restarting: &'a HashMap<String, Restart>,
    /// Containers of which containerd does not know what became of them, and that were killed to be sure: by id.
    pub buried: &'a HashSet<String>,
    /// Sandboxes that were stopped: by id.
    pub stopped: &'a HashSet<String>,
    /// All containers are to start anew.
    pub restart_all: bool,
    /// How the resources of a running container (its spec, its id) are to change, or without one those of the pod.
    pub resized: &'a dyn Fn(Option<&Value>, &str) -> Option<Change>,
}

/// Why a container is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    Startup,
    Liveness,
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    pub id: String,
    pub name: String,
    /// For the event.
    pub message: String,
    pub because: Because,
    /// It is started again, whatever the restart policy says.
    pub restart: bool,
}

/// One step; steps are taken in order, and kills at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Stop all containers and the sandboxes; the only step then. Those of `again` (name, id) are to run on in another
    /// sandbox, however they end.
    KillPod {
        again: Vec<(String, String)>,
    },
    /// A sandbox, in place of another or the first. What init containers left is removed.
    Sandbox {
        attempt: u32,
        replaces: bool,
    },
    Kill(Kill),
    /// Give a running container, or the pod's group, the resources of its spec.
    Resize {
        id: String,
        name: String,
        /// The limit of memory in bytes, when it becomes smaller.
        less_memory: Option<i64>,
    },
    /// Remove a container, killed at once if it runs.
    Reset {
        id: String,
        name: String,
    },
    Start {
        list: List,
        name: String,
    },
    /// Not yet to be started: held back for `delay` since it ended, until `until`.
    Hold {
        name: String,
        delay: Duration,
        until: Time,
    },
}

pub fn plan(pod: &Value, seen: &Observed, known: &Known<'_>) -> Vec<Action> {
    let sandbox = sandbox_needed(pod, seen);
    if known.restart_all {
        return reset(pod, seen);
    }
    if let Some((attempt, replaces)) = sandbox {
        return with_new_sandbox(pod, seen, known, attempt, replaces);
    }
    let mut actions = Vec::new();
    for container in List::Ephemeral.of(pod) {
        if seen.latest(name_of(container)).is_none() {
            actions.push(start(List::Ephemeral, container));
        }
    }
    let Init { actions: init, initialized, failed } = init::progress(pod, seen, known);
    if failed {
        return kill_pod(seen, known);
    }
    if !initialized {
        actions.extend(init);
        resize_pod(known, &mut actions);
        return hold_back(pod, seen, known, actions);
    }
    let (main, alive) = main_containers(pod, seen, known);
    if !alive {
        return kill_pod(seen, known);
    }
    actions.extend(init);
    actions.extend(main);
    resize_pod(known, &mut actions);
    hold_back(pod, seen, known, actions)
}

/// The step that ends what is there; none when nothing is.
fn kill_pod(seen: &Observed, known: &Known<'_>) -> Vec<Action> {
    if is_stopped(seen, known) { Vec::new() } else { vec![Action::KillPod { again: Vec::new() }] }
}

fn is_stopped(seen: &Observed, known: &Known<'_>) -> bool {
    seen.running().next().is_none() && seen.unstopped(known.stopped).next().is_none()
}

pub fn start(list: List, container: &Value) -> Action {
    Action::Start { list, name: name_of(container).to_owned() }
}

/// The attempt of the sandbox that is needed, and whether there was one before.
pub fn sandbox_needed(pod: &Value, seen: &Observed) -> Option<(u32, bool)> {
    let Some(newest) = seen.sandboxes.first() else { return Some((0, false)) };
    let ready = |sandbox: &cri::PodSandboxStatus| sandbox.state() == cri::PodSandboxState::SandboxReady;
    let attempt = newest.metadata.as_ref().map_or(0, |m| m.attempt) + 1;
    let options = newest.linux.as_ref().and_then(|l| l.namespaces.as_ref()).and_then(|n| n.options.as_ref());
    let on_host = options.is_some_and(|o| o.network() == cri::NamespaceMode::Node);
    let has_moved = options.is_some() && on_host != spec::uses_host_network(pod);
    let has_no_address = !on_host && newest.network.as_ref().is_some_and(|n| n.ip.is_empty());
    let several = seen.sandboxes.iter().filter(|s| ready(s)).count() > 1;
    (several || !ready(newest) || has_moved || has_no_address).then_some((attempt, true))
}

/// Everything starts from the beginning in a new sandbox, unless there is nothing left to run.
fn with_new_sandbox(
    pod: &Value,
    seen: &Observed,
    known: &Known<'_>,
    attempt: u32,
    replaces: bool,
) -> Vec<Action> {
    let is_over = pod.str_at(&["spec", "restartPolicy"]) == "Never" && !seen.containers.is_empty();
    if is_over && attempt != 0 {
        return kill_pod(seen, known);
    }
    let has_succeeded = |container: &Value| {
        seen.latest(name_of(container)).is_some_and(|c| has_exited(c) && c.exit_code == 0)
    };
    let is_left = |container: &&Value| {
        known.restarting.contains_key(name_of(container))
            || !(spec::runs_once(pod, container) && has_succeeded(container))
    };
    let left: Vec<&Value> = List::Main.of(pod).iter().filter(is_left).collect();
    if left.is_empty() && any_main_created(pod, seen) {
        return kill_pod(seen, known);
    }
    if !is_stopped(seen, known) {
        let running = left.iter().filter_map(|container| seen.latest(name_of(container)));
        let running = running.filter(|container| is_running(container));
        let again = running.map(|c| (container_name(c).to_owned(), c.id.clone())).collect();
        return vec![Action::KillPod { again }];
    }
    let mut actions = vec![Action::Sandbox { attempt, replaces }];
    match List::Init.of(pod).first() {
        Some(first) => actions.push(start(List::Init, first)),
        None => actions.extend(left.into_iter().map(|container| start(List::Main, container))),
    }
    hold_back(pod, seen, known, actions)
}

pub fn any_main_created(pod: &Value, seen: &Observed) -> bool {
    let is_known = |c: &cri::ContainerStatus| !matches!(c.state(), cri::ContainerState::ContainerUnknown);
    List::Main.of(pod).iter().any(|container| seen.latest(name_of(container)).is_some_and(is_known))
}

/// All containers go, those whose end asked for it last.
fn reset(pod: &Value, seen: &Observed) -> Vec<Action> {
    let (mut targets, mut sources) = (Vec::new(), Vec::new());
    for list in [List::Main, List::Init] {
        for container in list.of(pod) {
            for status in seen.of(name_of(container)) {
                let is_source = has_exited(status) && spec::restarts_all(container, status.exit_code);
                let reset = Action::Reset { id: status.id.clone(), name: name_of(container).to_owned() };
                if is_source { sources.push(reset) } else { targets.push(reset) }
            }
        }
    }
    targets.append(&mut sources);
    targets
}

/// What to do about the main containers, and whether any of them runs or is to run.
fn main_containers(pod: &Value, seen: &Observed, known: &Known<'_>) -> (Vec<Action>, bool) {
    let (mut actions, mut alive) = (Vec::new(), false);
    for container in List::Main.of(pod) {
        let name = name_of(container);
        let Some(status) = seen.latest(name).filter(|status| is_running(status)) else {
            if let Some(lost) = seen.latest(name).filter(|status| is_lost(status, known)) {
                actions.push(Action::Kill(kill_lost(lost, "Container")));
                alive = true;
                continue;
            }
            if to_be_started(pod, container, seen, known) {
                actions.push(start(List::Main, container));
                alive = true;
            }
            continue;
        };
        let Some((what, because, changed)) = reason_to_kill(container, status, known) else {
            alive = true;
            actions.extend(resize(container, status, known));
            continue;
        };
        let restart = changed || spec::restarts_on_failure(pod, container);
        alive |= restart;
        let tail = if restart { ", will be restarted" } else { "" };
        let message = format!("Container {name} {what}{tail}");
        actions.push(Action::Kill(Kill {
            id: status.id.clone(),
            name: name.into(),
            message,
            because,
            restart,
        }));
    }
    (actions, alive)
}

/// A running container gets other resources, if need be by a new start.
pub fn resize(container: &Value, status: &cri::ContainerStatus, known: &Known<'_>) -> Option<Action> {
    let Change { restart, less_memory } = (known.resized)(Some(container), &status.id)?;
    let (id, name) = (status.id.clone(), name_of(container).to_owned());
    if !restart {
        return Some(Action::Resize { id, name, less_memory });
    }
    let message = format!("Container {name} resize requires restart");
    Some(Action::Kill(Kill { id, name, message, because: Because::Other, restart }))
}

/// The pod's group changes after its containers, once those have ended that are to; what starts follows.
fn resize_pod(known: &Known<'_>, actions: &mut Vec<Action>) {
    let kills = actions.iter().any(|action| matches!(action, Action::Kill(_)));
    let Some(change) = (known.resized)(None, POD).filter(|_| !kills) else { return };
    let (id, name) = (POD.to_owned(), POD.to_owned());
    actions.push(Action::Resize { id, name, less_memory: change.less_memory });
    actions.sort_by_key(|action| !matches!(action, Action::Resize { .. }));
}

/// Why a running container is killed, and whether its definition changed.
fn reason_to_kill(
    container: &Value,
    status: &cri::ContainerStatus,
    known: &Known<'_>,
) -> Option<(&'static str, Because, bool)> {
    if is_changed(container, status) {
        return Some(("definition changed", Because::Other, true));
    }
    let probed = (known.probed)(&status.id);
    match () {
        () if probed.liveness == Some(false) => Some(("failed liveness probe", Because::Liveness, false)),
        () if probed.startup == Some(false) => Some(("failed startup probe", Because::Startup, false)),
        () => None,
    }
}

/// Whether a container was started from another image than its spec says now.
pub fn is_changed(container: &Value, status: &cri::ContainerStatus) -> bool {
    label(&status.annotations, labels::HASH) != format!("{:x}", hash(container))
}

/// Whether a container may still run although containerd does not know.
pub fn is_lost(status: &cri::ContainerStatus, known: &Known<'_>) -> bool {
    status.state() == cri::ContainerState::ContainerUnknown && !known.buried.contains(&status.id)
}

pub fn kill_lost(lost: &cri::ContainerStatus, what: &str) -> Kill {
    Kill {
        id: lost.id.clone(),
        name: container_name(lost).to_owned(),
        message: format!("{what} is in \"unknown\" state, try killing it before restart"),
        because: Because::Other,
        restart: true,
    }
}

/// Whether a container that does not run is to run.
pub fn to_be_started(pod: &Value, container: &Value, seen: &Observed, known: &Known<'_>) -> bool {
    known.restarting.contains_key(name_of(container)) || should_run(pod, container, seen)
}

/// As the spec alone says it.
pub fn should_run(pod: &Value, container: &Value, seen: &Observed) -> bool {
    if spec::is_leaving(pod) {
        return false;
    }
    match seen.latest(name_of(container)) {
        None => true,
        Some(status) if is_running(status) => false,
        Some(status) if has_exited(status) => spec::restarts(pod, container, status.exit_code),
        Some(_) => true,
    }
}

/// Turns starts into waits where the back-off holds.
fn hold_back(pod: &Value, seen: &Observed, known: &Known<'_>, actions: Vec<Action>) -> Vec<Action> {
    let held = |action: Action| {
        let Action::Start { list, name } = &action else { return action };
        let ended = ended(seen, known.restarting, name);
        let key = spec::container(pod, name).map(|(_, container)| back_off_key(container));
        match (*list, ended, key) {
            (List::Init | List::Main, Some(ended), Some(key)) => {
                match known.back_off.holds(&key, ended, known.now) {
                    Some(delay) => Action::Hold { name: name.clone(), delay, until: ended.plus(delay) },
                    None => action,
                }
            }
            _ => action,
        }
    };
    actions.into_iter().map(held).collect()
}

/// Since when the container is held back: since it last ended. One that was just killed in order to be started again
/// counts like one that runs, as long as it need not wait.
pub fn ended(seen: &Observed, restarting: &HashMap<String, Restart>, name: &str) -> Option<Time> {
    match restarting.get(name) {
        Some(restart) if !restart.is_held => restart.before,
        _ => Some(time(seen.of(name).find(|status| has_exited(status))?.finished_at)),
    }
}

pub fn back_off_key(container: &Value) -> String {
    format!("{} {:x}", name_of(container), hash(container))
}

/// A moment as CRI has it.
pub fn time(nanos: i64) -> Time {
    let below = u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
    Time { secs: nanos.div_euclid(1_000_000_000), nanos: below }
}
