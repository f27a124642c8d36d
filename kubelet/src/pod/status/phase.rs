//! The phase of a pod, from what is said of its containers.

use super::Facts;
use crate::pod::spec::{self, List, name_of};
use api::Value;
use api::resources::is_sidecar;

/// How many containers are how far.
#[derive(Default)]
struct Count {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    /// Of those that stopped: not to be started again, and with success.
    for_good: usize,
    succeeded: usize,
    /// Sidecars that have not started yet.
    starting: usize,
}

/// What a container's status tells.
enum Told<'a> {
    Running {
        started: bool,
    },
    Ended(&'a Value),
    /// Waits, after it ended before.
    Again(&'a Value),
    Waits,
    Unknown,
}

fn told<'a>(status: &'a Value, list: List, name: &str) -> Told<'a> {
    let statuses = status.list_at(&[list.statuses()]);
    let Some(status) = statuses.iter().find(|status| name_of(status) == name) else { return Told::Unknown };
    let has = |path: &[&str]| status.at(path).filter(|value| !value.is_null());
    match () {
        () if has(&["state", "running"]).is_some() => Told::Running { started: status.bool_at(&["started"]) },
        () if has(&["state", "terminated"]).is_some() => {
            Told::Ended(status.at(&["state", "terminated"]).unwrap_or(&Value::Null))
        }
        () if has(&["state", "waiting"]).is_none() => Told::Unknown,
        () => has(&["lastState", "terminated"]).map_or(Told::Waits, Told::Again),
    }
}

/// The phase that follows from the containers in `status`.
pub fn phase(facts: &Facts<'_>, status: &Value) -> &'static str {
    let pod = facts.pod;
    let Some(pending_init) = pending_init_containers(facts, status) else { return "Failed" };
    let mut count = Count::default();
    for container in spec::sidecars(pod) {
        count.sidecar(&told(status, List::Init, name_of(container)));
    }
    for container in List::Main.of(pod) {
        count.main(facts, container, &told(status, List::Main, name_of(container)));
    }
    let has_run = List::Main.of(pod).iter().any(|c| facts.seen.is_active(name_of(c)));
    if pending_init > 0 || count.starting > 0 && !has_run || count.waiting > 0 {
        return "Pending";
    }
    count.phase(facts)
}

/// How many init containers have yet to run; nothing when one failed for good.
fn pending_init_containers(facts: &Facts<'_>, status: &Value) -> Option<usize> {
    let (pod, mut pending) = (facts.pod, 0);
    for container in List::Init.of(pod).iter().filter(|container| !is_sidecar(container)) {
        match told(status, List::Init, name_of(container)) {
            Told::Ended(end) | Told::Again(end) => {
                if code(end) != 0 && !is_restartable(facts, container, end) {
                    return None;
                }
            }
            _ => pending += 1,
        }
    }
    Some(pending)
}

fn code(end: &Value) -> i32 {
    end.i64_at(&["exitCode"]).and_then(|code| i32::try_from(code).ok()).unwrap_or_default()
}

fn is_restartable(facts: &Facts<'_>, container: &Value, end: &Value) -> bool {
    spec::restarts(facts.pod, container, code(end))
        || facts.is_restarting(name_of(container))
        || end.str_at(&["reason"]) == super::containers::RESTARTING_ALL
}

impl Count {
    fn sidecar(&mut self, told: &Told<'_>) {
        match told {
            Told::Running { started } => {
                self.starting += usize::from(!started);
                self.running += 1;
            }
            Told::Ended(_) | Told::Again(_) => {}
            Told::Waits => {
                self.starting += 1;
                self.waiting += 1;
            }
            Told::Unknown => self.unknown += 1,
        }
    }

    fn main(&mut self, facts: &Facts<'_>, container: &Value, told: &Told<'_>) {
        match told {
            Told::Running { .. } => self.running += 1,
            Told::Ended(end) | Told::Again(end) => {
                self.stopped += 1;
                self.for_good += usize::from(!is_restartable(facts, container, end));
                self.succeeded += usize::from(matches!(told, Told::Ended(_)) && code(end) == 0);
            }
            Told::Waits => self.waiting += 1,
            Told::Unknown => self.unknown += 1,
        }
    }

    fn phase(&self, facts: &Facts<'_>) -> &'static str {
        let ended = if self.stopped == self.succeeded { "Succeeded" } else { "Failed" };
        match () {
            () if self.unknown > 0 => "Pending",
            () if self.running > 0 => "Running",
            () if self.stopped == 0 => "Pending",
            () if facts.is_over && !facts.is_static => ended,
            () if self.stopped != self.for_good => "Running",
            () => ended,
        }
    }
}
