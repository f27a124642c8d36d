//! Which init containers are to be started: one after another, sidecars as soon as those before them have started, and
//! again when they end. Source: upstream's `computeInitContainerActions`.

use super::Observed;
use super::plan::{self, Action, Because, Kill, Known, is_changed, is_lost, kill_lost, start, to_be_started};
use super::spec::{self, List, name_of};
use crate::cri::{ContainerState, ContainerStatus};
use api::Value;
use api::resources::is_sidecar;

/// What is to be done, and how far the pod is.
#[derive(Default)]
pub struct Init {
    pub actions: Vec<Action>,
    /// The main containers may start.
    pub initialized: bool,
    /// An init container failed for good.
    pub failed: bool,
}

/// What one init container says of the pod.
enum Says {
    /// It is under way, or starts again.
    Wait,
    /// It is done, or has started: on with the next.
    Next,
    Failed,
}

pub fn progress(pod: &Value, seen: &Observed, known: &Known<'_>) -> Init {
    let containers = List::Init.of(pod);
    if containers.is_empty() {
        return Init { initialized: true, ..Init::default() };
    }
    let mut initialized = has_run_main(pod, seen);
    // Whether a later one tells that this one is done.
    let mut is_past = initialized;
    // By index, as the loop goes backwards.
    let mut found: Vec<(usize, Action)> = Vec::new();
    for (index, container) in containers.iter().enumerate().rev() {
        let sidecar = is_sidecar(container);
        let Some(status) = seen.latest(name_of(container)) else {
            if is_past && sidecar {
                found.push((index, start(List::Init, container)));
            }
            continue;
        };
        if is_past && !sidecar {
            continue;
        }
        let mut own = Vec::new();
        let says = if sidecar {
            of_sidecar(container, status, known, &mut own)
        } else {
            of_init(pod, seen, container, status, known, &mut own)
        };
        found.extend(own.into_iter().rev().map(|action| (index, action)));
        match (says, containers.get(index + 1)) {
            (Says::Failed, _) => return Init { failed: true, ..Init::default() },
            (Says::Next, None) => initialized = true,
            (Says::Next, Some(next)) if !is_past => found.push((index + 1, start(List::Init, next))),
            _ => {}
        }
        is_past = true;
    }
    if let (false, Some(first)) = (is_past, containers.first()) {
        found.push((0, start(List::Init, first)));
    }
    found.reverse();
    found.sort_by_key(|(index, _)| *index);
    Init { actions: found.into_iter().map(|(_, action)| action).collect(), initialized, failed: false }
}

/// Main containers run only after all init containers.
fn has_run_main(pod: &Value, seen: &Observed) -> bool {
    let lives = |c: &ContainerStatus| {
        matches!(c.state(), ContainerState::ContainerCreated | ContainerState::ContainerRunning)
    };
    List::Main.of(pod).iter().any(|container| seen.latest(name_of(container)).is_some_and(lives))
}

fn of_init(
    pod: &Value,
    seen: &Observed,
    container: &Value,
    status: &ContainerStatus,
    known: &Known<'_>,
    actions: &mut Vec<Action>,
) -> Says {
    match status.state() {
        ContainerState::ContainerRunning => {
            actions.extend(plan::resize(container, status, known));
            Says::Wait
        }
        ContainerState::ContainerExited if status.exit_code == 0 => Says::Next,
        ContainerState::ContainerExited if !to_be_started(pod, container, seen, known) => Says::Failed,
        ContainerState::ContainerUnknown if !spec::restarts_on_failure(pod, container) => Says::Failed,
        _ => again(container, status, known, actions),
    }
}

/// The container starts again, once it is sure that it does not run.
fn again(container: &Value, status: &ContainerStatus, known: &Known<'_>, actions: &mut Vec<Action>) -> Says {
    actions.push(match is_lost(status, known) {
        true => Action::Kill(kill_lost(status, "Init container")),
        false => start(List::Init, container),
    });
    Says::Wait
}

fn of_sidecar(
    container: &Value,
    status: &ContainerStatus,
    known: &Known<'_>,
    actions: &mut Vec<Action>,
) -> Says {
    match status.state() {
        ContainerState::ContainerRunning => {}
        _ => return again(container, status, known, actions),
    }
    let name = name_of(container);
    let kill = |what: &str, because: Because| {
        let message = format!("Init container {name} {what}");
        Action::Kill(Kill { id: status.id.clone(), name: name.to_owned(), message, because, restart: true })
    };
    let probed = (known.probed)(&status.id);
    if container.get("startupProbe").is_some() && probed.startup != Some(true) {
        if probed.startup == Some(false) {
            actions.push(kill("failed startup probe", Because::Startup));
        }
        return Says::Wait;
    }
    if is_changed(container, status) {
        actions.push(kill("definition changed", Because::Other));
    } else if probed.liveness == Some(false) {
        actions.push(kill("failed liveness probe", Because::Liveness));
    } else {
        actions.extend(plan::resize(container, status, known));
    }
    Says::Next
}
