//! What is garbage, from what containerd has and which pods there are.

use crate::runtime::{cri, labels};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stdx::Time;

/// What is to become of what a pod has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The pod is there, and may start containers.
    Stays,
    /// The pod is there, and starts nothing any more.
    Ended,
    /// There is no such pod.
    Gone,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Containers by id, with their logs below the root of logs.
    pub containers: Vec<(String, PathBuf)>,
    pub sandboxes: Vec<String>,
}

/// How long a container that was made may take to be started.
const TO_START: Duration = Duration::from_secs(60);

/// Dead containers but the newest of each name, and all of pods that are gone; then sandboxes that are not ready, hold
/// no container and are not the newest of a pod that is there.
pub fn plan(
    containers: &[cri::Container],
    sandboxes: &[cri::PodSandbox],
    now: Time,
    fate_of: impl Fn(&str) -> Fate,
) -> Plan {
    let mut plan = Plan::default();
    let mut dead: HashMap<(&str, &str), Vec<&cri::Container>> = HashMap::new();
    for container in containers.iter().filter(|container| is_dead(container, now)) {
        let of = (label(container, labels::POD_UID), label(container, labels::CONTAINER_NAME));
        dead.entry(of).or_default().push(container);
    }
    for ((uid, _), mut units) in dead {
        units.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        let kept = if fate_of(uid) == Fate::Gone { 0 } else { 1 };
        plan.containers.extend(units.into_iter().skip(kept).map(|c| (c.id.clone(), log(c))));
    }
    plan.containers.sort();
    let removed: HashSet<&str> = plan.containers.iter().map(|(id, _)| id.as_str()).collect();
    let left = containers.iter().filter(|container| !removed.contains(container.id.as_str()));
    let used: HashSet<&str> = left.map(|container| container.pod_sandbox_id.as_str()).collect();
    let mut by_pod: HashMap<&str, Vec<&cri::PodSandbox>> = HashMap::new();
    for sandbox in sandboxes {
        by_pod.entry(sandbox.metadata.as_ref().map_or("", |m| &m.uid)).or_default().push(sandbox);
    }
    for (uid, mut units) in by_pod {
        units.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        let kept = if fate_of(uid) == Fate::Gone { 0 } else { 1 };
        let is_active = |sandbox: &cri::PodSandbox| {
            sandbox.state() == cri::PodSandboxState::SandboxReady || used.contains(sandbox.id.as_str())
        };
        let useless = units.into_iter().skip(kept).filter(|sandbox| !is_active(sandbox));
        plan.sandboxes.extend(useless.map(|sandbox| sandbox.id.clone()));
    }
    plan.sandboxes.sort();
    plan
}

fn is_dead(container: &cri::Container, now: Time) -> bool {
    use cri::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning, ContainerUnknown};
    match container.state() {
        ContainerRunning | ContainerUnknown => false,
        ContainerExited => true,
        ContainerCreated => {
            let made = Time::from_secs(container.created_at / 1_000_000_000);
            now.since(made) > TO_START
        }
    }
}

fn label<'a>(container: &'a cri::Container, name: &str) -> &'a str {
    container.labels.get(name).map_or("", String::as_str)
}

/// `NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log`
fn log(container: &cri::Container) -> PathBuf {
    let of = |name| label(container, name);
    let pod = format!("{}_{}_{}", of(labels::POD_NAMESPACE), of(labels::POD_NAME), of(labels::POD_UID));
    let attempt = container.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
    Path::new(&pod).join(of(labels::CONTAINER_NAME)).join(format!("{attempt}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, uid: &str, created_at: i64, state: cri::ContainerState) -> cri::Container {
        let labels = [(labels::POD_UID, uid), (labels::CONTAINER_NAME, "c"), (labels::POD_NAME, "p")];
        cri::Container {
            id: id.to_owned(),
            pod_sandbox_id: format!("s-{uid}"),
            metadata: Some(cri::ContainerMetadata { name: "c".to_owned(), attempt: 3 }),
            state: state.into(),
            created_at: created_at * 1_000_000_000,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Default::default()
        }
    }

    fn sandbox(id: &str, uid: &str, created_at: i64, ready: bool) -> cri::PodSandbox {
        let state =
            if ready { cri::PodSandboxState::SandboxReady } else { cri::PodSandboxState::SandboxNotready };
        cri::PodSandbox {
            id: id.to_owned(),
            metadata: Some(cri::PodSandboxMetadata { uid: uid.to_owned(), ..Default::default() }),
            state: state.into(),
            created_at,
            ..Default::default()
        }
    }

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.containers.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn the_newest_dead_container_of_a_name_stays_for_its_log() {
        use cri::ContainerState::{ContainerExited as Exited, ContainerRunning as Running};
        let all = [
            container("old", "u", 1, Exited),
            container("last", "u", 3, Exited),
            container("older", "u", 0, Exited),
            container("now", "u", 4, Running),
        ];
        let plan = plan(&all, &[], Time::from_secs(100), |_| Fate::Stays);
        assert_eq!(ids(&plan), ["old", "older"]);
        assert_eq!(plan.containers[0].1, Path::new("_p_u/c/3.log"));
    }

    #[test]
    fn nothing_stays_of_a_pod_that_is_gone_but_what_runs() {
        use cri::ContainerState::{ContainerExited as Exited, ContainerRunning as Running};
        let all = [container("a", "gone", 1, Exited), container("b", "runs", 1, Running)];
        let sandboxes = [
            sandbox("s-gone", "gone", 1, false),
            sandbox("s-runs", "runs", 1, false),
            sandbox("s-ready", "gone", 2, true),
        ];
        let plan = plan(&all, &sandboxes, Time::from_secs(100), |_| Fate::Gone);
        assert_eq!(ids(&plan), ["a"]);
        assert_eq!(plan.sandboxes, ["s-gone"]);
    }

    #[test]
    fn the_newest_sandbox_of_a_pod_stays_and_so_do_those_with_containers() {
        let used = container("c", "u", 1, cri::ContainerState::ContainerExited);
        let sandboxes =
            [sandbox("new", "u", 3, false), sandbox("old", "u", 2, false), sandbox("s-u", "u", 1, false)];
        let plan = plan(&[used], &sandboxes, Time::from_secs(100), |_| Fate::Ended);
        assert_eq!(plan.sandboxes, ["old"]);
    }

    #[test]
    fn a_container_that_was_just_made_is_not_dead_yet() {
        let made = [
            container("fresh", "u", 90, cri::ContainerState::ContainerCreated),
            container("last", "u", 80, cri::ContainerState::ContainerExited),
            container("never", "u", 10, cri::ContainerState::ContainerCreated),
        ];
        assert_eq!(ids(&plan(&made, &[], Time::from_secs(100), |_| Fate::Stays)), ["never"]);
    }
}
