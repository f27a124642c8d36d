//! What containerd has of a pod.

use crate::cri;
use crate::runtime::labels;
use std::collections::{HashMap, HashSet};

/// The sandboxes and containers of a pod as containerd last told, both newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub uid: String,
    pub sandboxes: Vec<cri::PodSandboxStatus>,
    pub containers: Vec<cri::ContainerStatus>,
    /// Container id → sandbox id.
    pub within: HashMap<String, String>,
}

impl Observed {
    /// The newest sandbox, if it is ready.
    pub fn sandbox(&self) -> Option<&cri::PodSandboxStatus> {
        self.sandboxes.first().filter(|s| s.state() == cri::PodSandboxState::SandboxReady)
    }

    /// The addresses of the newest sandbox if that is ready; none with the host's network.
    pub fn ips(&self) -> Vec<&str> {
        let Some(network) = self.sandbox().and_then(|s| s.network.as_ref()) else { return Vec::new() };
        let more = network.additional_ips.iter().map(|ip| ip.ip.as_str());
        std::iter::once(network.ip.as_str()).chain(more).filter(|ip| !ip.is_empty()).collect()
    }

    /// The containers of a name, the newest first.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a cri::ContainerStatus> {
        self.containers.iter().filter(move |c| container_name(c) == name)
    }

    /// The newest container of a name.
    pub fn latest<'a>(&'a self, name: &'a str) -> Option<&'a cri::ContainerStatus> {
        self.of(name).next()
    }

    pub fn by_id(&self, id: &str) -> Option<&cri::ContainerStatus> {
        self.containers.iter().find(|c| c.id == id)
    }

    /// The same without these containers: by id.
    pub fn without(&self, ids: &HashSet<String>) -> Observed {
        let mut seen = self.clone();
        seen.containers.retain(|container| !ids.contains(&container.id));
        seen
    }

    /// Whether a container of this name was made in the newest sandbox.
    pub fn is_active(&self, name: &str) -> bool {
        let Some(sandbox) = self.sandbox() else { return false };
        self.of(name).any(|container| self.within.get(&container.id) == Some(&sandbox.id))
    }

    /// Whether a container runs or a sandbox is ready.
    pub fn is_alive(&self) -> bool {
        let ready = |s: &cri::PodSandboxStatus| s.state() == cri::PodSandboxState::SandboxReady;
        self.running().next().is_some() || self.sandboxes.iter().any(ready)
    }

    /// The sandboxes that are to be stopped once nothing is to run in them: those that are ready, and of the others those
    /// that were not stopped yet, as they may still hold addresses and ports. By id.
    pub fn unstopped<'a>(&'a self, stopped: &'a HashSet<String>) -> impl Iterator<Item = &'a str> {
        let ready = |s: &cri::PodSandboxStatus| s.state() == cri::PodSandboxState::SandboxReady;
        let left = self.sandboxes.iter().filter(move |s| ready(s) || !stopped.contains(&s.id));
        left.map(|sandbox| sandbox.id.as_str())
    }

    pub fn running(&self) -> impl Iterator<Item = &cri::ContainerStatus> {
        self.containers.iter().filter(|c| is_running(c))
    }
}

pub fn is_running(container: &cri::ContainerStatus) -> bool {
    container.state() == cri::ContainerState::ContainerRunning
}

pub fn has_exited(container: &cri::ContainerStatus) -> bool {
    container.state() == cri::ContainerState::ContainerExited
}

/// The name in the pod's spec.
pub fn container_name(container: &cri::ContainerStatus) -> &str {
    label(&container.labels, labels::CONTAINER_NAME)
}

/// How often the container had been started before.
pub fn restart_count(container: &cri::ContainerStatus) -> i64 {
    let written = label(&container.annotations, labels::RESTART_COUNT).parse().ok();
    written.unwrap_or_else(|| container.metadata.as_ref().map_or(0, |m| i64::from(m.attempt)))
}

pub fn label<'a>(labels: &'a HashMap<String, String>, name: &str) -> &'a str {
    labels.get(name).map_or("", String::as_str)
}
