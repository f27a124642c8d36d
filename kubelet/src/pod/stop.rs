//! Stops a container: hook, its turn among the pod's containers, signal, and death when its grace is over. Source:
//! upstream's `killContainer`.

use super::parts::Parts;
use super::plan::Because;
use super::spec::{self, List, name_of};
use crate::hooks::Hooked;
use api::Value;
use api::resources::is_sidecar;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Every container gets this long, in seconds.
pub const LEAST_GRACE: u64 = 2;

/// One container to stop.
pub struct Stop {
    pub parts: Arc<Parts>,
    pub pod: Arc<Value>,
    pub id: String,
    pub name: String,
    /// Seconds.
    pub grace: u64,
    /// Already said and run, when the grace became shorter meanwhile.
    pub is_again: bool,
    /// For the event.
    pub message: String,
    pub pod_ip: String,
    /// The names of the pod's containers that run; nothing when it is not part of ending the pod.
    pub running: Option<watch::Receiver<HashSet<String>>>,
}

impl Stop {
    /// # Errors
    /// When containerd cannot stop it.
    pub async fn run(self) -> Result<(), tonic::Status> {
        let start = Instant::now();
        if !self.is_again {
            let message = match self.message.as_str() {
                "" => format!("Stopping container {}", self.name),
                message => message.to_owned(),
            };
            self.parts.say_of(&self.pod, &self.name, &self.id, "Normal", "Killing", &message);
            self.pre_stop().await;
        }
        let left = || Duration::from_secs(self.grace).saturating_sub(start.elapsed());
        self.turn(left()).await;
        let grace = grace_left(self.grace, start.elapsed());
        self.parts.runtime.stop_container(&self.id, grace).await
    }

    async fn pre_stop(&self) {
        let Some((_, container)) = spec::container(&self.pod, &self.name) else { return };
        let hooked = Hooked { pod: &self.pod, container, id: &self.id, pod_ip: &self.pod_ip };
        self.parts.hooks.pre_stop(hooked, Duration::from_secs(self.grace)).await;
    }

    /// Sidecars stop after the main containers, the last first.
    async fn turn(&self, patience: Duration) {
        let Some(mut running) = self.running.clone() else { return };
        let before = stop_before(&self.pod, &self.name);
        let is_free = |running: &HashSet<String>| before.iter().all(|name| !running.contains(*name));
        // Without an end of the others, the grace ends the wait.
        let _ = tokio::time::timeout(patience, running.wait_for(is_free)).await;
    }
}

/// What is left of a grace, in seconds: the least when a hook has used it up. Who asks for one second at once gets one
/// (upstream gives two).
pub fn grace_left(grace: u64, spent: Duration) -> u64 {
    let least = if spent.as_secs() == 0 { grace.clamp(1, LEAST_GRACE) } else { LEAST_GRACE };
    grace.saturating_sub(spent.as_secs()).max(least)
}

/// The containers that stop before this one.
pub fn stop_before<'a>(pod: &'a Value, name: &str) -> Vec<&'a str> {
    let init = List::Init.of(pod);
    let Some(at) = init.iter().position(|container| name_of(container) == name && is_sidecar(container))
    else {
        return Vec::new();
    };
    let later = init.iter().skip(at + 1).filter(|container| is_sidecar(container));
    List::Main.of(pod).iter().chain(later).map(name_of).collect()
}

fn seconds(value: &Value, path: &[&str]) -> Option<u64> {
    value.i64_at(path).map(|seconds| u64::try_from(seconds).unwrap_or(0))
}

/// How long a container gets when it alone is killed, in seconds.
pub fn own_grace(pod: &Value, name: &str, because: Because) -> u64 {
    let of_pod = seconds(pod, &["spec", "terminationGracePeriodSeconds"]);
    if let Some(grace) = seconds(pod, &["metadata", "deletionGracePeriodSeconds"]) {
        return grace;
    }
    let probe = match because {
        Because::Startup => "startupProbe",
        Because::Liveness => "livenessProbe",
        Because::Other => return of_pod.unwrap_or(LEAST_GRACE),
    };
    let of_probe = spec::container(pod, name)
        .and_then(|(_, container)| seconds(container, &[probe, "terminationGracePeriodSeconds"]));
    of_probe.or(of_pod).unwrap_or(LEAST_GRACE)
}

/// How long a pod gets to end, in seconds; it never becomes more. `before` is what was said last, `asked` what the node
/// asks for.
pub fn grace(pod: &Value, before: Option<u64>, asked: Option<u64>) -> u64 {
    let of_deletion = seconds(pod, &["metadata", "deletionGracePeriodSeconds"]);
    let least = [before, of_deletion, asked].into_iter().flatten().min();
    least.or_else(|| seconds(pod, &["spec", "terminationGracePeriodSeconds"])).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn sidecars_wait_for_main_containers_and_later_sidecars() {
        let pod = tree!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [
            {"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "t", "restartPolicy": "Always"}
        ]}});
        assert_eq!(stop_before(&pod, "s"), ["a", "b", "t"]);
        assert_eq!(stop_before(&pod, "t"), ["a", "b"]);
        assert!(stop_before(&pod, "a").is_empty() && stop_before(&pod, "i").is_empty());
    }

    #[test]
    fn the_grace_of_a_pod_only_becomes_shorter_and_never_nothing() {
        let mut pod = tree!({"spec": {"terminationGracePeriodSeconds": 30}});
        assert_eq!(grace(&pod, None, None), 30);
        assert_eq!(grace(&pod, None, Some(5)), 5);
        pod.set(&["metadata", "deletionGracePeriodSeconds"], 10);
        assert_eq!(grace(&pod, None, None), 10);
        assert_eq!(grace(&pod, Some(4), Some(20)), 4);
        pod.set(&["metadata", "deletionGracePeriodSeconds"], 0);
        assert_eq!(grace(&pod, Some(4), None), 1);
    }

    #[test]
    fn a_container_gets_what_is_left_and_a_moment_at_least() {
        assert_eq!(grace_left(30, Duration::from_millis(5900)), 25);
        let least = (
            grace_left(0, Duration::ZERO),
            grace_left(1, Duration::ZERO),
            grace_left(5, Duration::from_secs(9)),
        );
        assert_eq!(least, (1, 1, 2));
        assert_eq!(own_grace(&tree!({"spec": {}}), "c", Because::Other), 2);
    }

    #[test]
    fn a_probe_may_ask_for_a_grace_of_its_own() {
        let pod = tree!({"spec": {"terminationGracePeriodSeconds": 30, "containers": [
            {"name": "c", "livenessProbe": {"terminationGracePeriodSeconds": 3}, "startupProbe": {}}
        ]}});
        assert_eq!(own_grace(&pod, "c", Because::Liveness), 3);
        assert_eq!(own_grace(&pod, "c", Because::Startup), 30);
        assert_eq!(own_grace(&pod, "c", Because::Other), 30);
    }
}
