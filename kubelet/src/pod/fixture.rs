//! Pods and what containerd has of them, for tests.

use super::Observed;
use crate::container::hash;
use crate::cri::{self, ContainerState};
use crate::runtime::labels;
use api::{Value, tree};
use std::collections::HashMap;

pub const RUNNING: ContainerState = ContainerState::ContainerRunning;
pub const CREATED: ContainerState = ContainerState::ContainerCreated;
pub const UNKNOWN: ContainerState = ContainerState::ContainerUnknown;

/// The moment of tests, in seconds.
pub const NOW: i64 = 10_000;

/// A pod of main containers with a restart policy.
pub fn pod(policy: &str, main: &[&str]) -> Value {
    let container = |name: &&str| tree!({"name": (*name), "image": "i"});
    tree!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {
            "restartPolicy": policy, "terminationGracePeriodSeconds": 30,
            "containers": (Value::List(main.iter().map(container).collect()))
        }
    })
}

/// Adds init containers; those that end with `+` are sidecars.
pub fn with_init(mut pod: Value, init: &[&str]) -> Value {
    let container = |name: &&str| match name.strip_suffix('+') {
        Some(name) => tree!({"name": name, "image": "i", "restartPolicy": "Always"}),
        None => tree!({"name": (*name), "image": "i"}),
    };
    pod.set(&["spec", "initContainers"], Value::List(init.iter().map(container).collect()));
    pod
}

pub fn nanos(secs: i64) -> i64 {
    secs * 1_000_000_000
}

/// A ready sandbox with an address, and these containers: the later ones are newer.
pub fn seen(containers: &[(&str, ContainerState)]) -> Observed {
    let mut seen = Observed { uid: "u".to_owned(), sandboxes: vec![sandbox(0, true)], ..Observed::default() };
    for (name, state) in containers {
        add(&mut seen, name, *state, 0);
    }
    seen
}

/// Adds a container that ended five seconds ago with this code.
pub fn exited(mut seen: Observed, name: &str, code: i32) -> Observed {
    add(&mut seen, name, ContainerState::ContainerExited, code);
    seen
}

fn add(seen: &mut Observed, name: &str, state: ContainerState, code: i32) {
    let attempt = seen.of(name).count();
    let id = format!("{name}{attempt}");
    let container = tree!({"name": name, "image": "i"});
    let annotations =
        [(labels::HASH, format!("{:x}", hash(&container))), (labels::RESTART_COUNT, attempt.to_string())];
    let status = cri::ContainerStatus {
        id: id.clone(),
        state: state.into(),
        created_at: nanos(NOW - 100) + i64::try_from(seen.containers.len()).unwrap_or(0),
        started_at: nanos(NOW - 100),
        finished_at: nanos(NOW - 5),
        exit_code: code,
        reason: if code == 0 { "Completed" } else { "Error" }.to_owned(),
        image: Some(cri::ImageSpec { image: "docker.io/library/i:latest".to_owned(), ..Default::default() }),
        image_ref: "sha256:i".to_owned(),
        labels: HashMap::from([(labels::CONTAINER_NAME.to_owned(), name.to_owned())]),
        annotations: annotations.map(|(key, value)| (key.to_owned(), value)).into(),
        ..Default::default()
    };
    seen.within.insert(id, "s0".to_owned());
    seen.containers.insert(0, status);
}

pub fn sandbox(attempt: u32, ready: bool) -> cri::PodSandboxStatus {
    let state =
        if ready { cri::PodSandboxState::SandboxReady } else { cri::PodSandboxState::SandboxNotready };
    cri::PodSandboxStatus {
        id: format!("s{attempt}"),
        metadata: Some(cri::PodSandboxMetadata { attempt, ..Default::default() }),
        state: state.into(),
        network: Some(cri::PodSandboxNetworkStatus { ip: "10.0.0.1".to_owned(), ..Default::default() }),
        ..Default::default()
    }
}
