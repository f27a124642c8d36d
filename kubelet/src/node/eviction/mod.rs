//! Frees what the node runs out of: dead containers, images that nobody uses, then pods, one after another. Looked at every ten
//! seconds; pods are measured only when there is a need.

mod consumption;
mod hard;
mod local_storage;
mod rank;
mod thresholds;

pub use consumption::{Sources, is_local};
pub use hard::EvictionHard;
pub(super) use thresholds::Signal;

use super::{Disk, Pressures, Shared};
use crate::cgroups;
use api::Value;
use parking_lot::Mutex;
use rank::Candidate;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;
use thresholds::{LastSeen, Observation};

/// A pod that is evicted has that long to be gone before another one is chosen.
const CLEANUP: Duration = Duration::from_secs(30);
const REASON: &str = "Evicted";
/// Seconds that evicted containers get.
const GRACE: u64 = 1;

pub struct Eviction {
    sources: Sources,
    seen: Mutex<LastSeen>,
    /// The pod that was chosen last, and when.
    leaving: Mutex<Option<(String, Time)>>,
}

/// The file systems of volumes and logs, and of images.
struct Disks {
    node: Disk,
    images: Disk,
}

impl Disks {
    fn shared(&self) -> bool {
        self.node.device == self.images.device
    }
}

impl Eviction {
    pub fn new(sources: Sources) -> Self {
        Eviction { sources, seen: Mutex::default(), leaving: Mutex::default() }
    }

    /// One look. Gives back what the node has too little of.
    pub(super) async fn check(&self, node: &Shared) -> Pressures {
        let now = node.parts.settings.clock.now();
        if let Err(error) = self.sources.cgroups.share_out(self.active().iter().map(Arc::as_ref)) {
            tracing::warn!(%error, "CPU shares of burstable pods cannot be set");
        }
        let disks = disks(node).await;
        let low = self.too_little(node, &disks);
        let under = self.seen.lock().pressures(&low, now);
        if self.evict_excessive(node, disks.shared()).await {
            return under;
        }
        // What comes first in order is looked after first.
        if let Some(worst) = low.iter().min_by_key(|one| one.signal) {
            self.reclaim(node, *worst, disks.shared(), now).await;
        }
        under
    }

    /// Pods beyond limits of their own. True when one had to go.
    async fn evict_excessive(&self, node: &Shared, shared: bool) -> bool {
        let limited: Vec<_> =
            self.active().into_iter().filter(|pod| local_storage::is_limited(pod)).collect();
        if limited.is_empty() {
            return false;
        }
        let (layers, sources) = (self.sources.layers().await, self.sources.clone());
        let measured = tokio::task::spawn_blocking(move || {
            let excess = |pod: Arc<Value>| {
                let why = local_storage::excess(&sources, &pod, &layers, shared)?;
                Some((pod, why))
            };
            limited.into_iter().filter_map(excess).collect::<Vec<_>>()
        });
        let excessive = measured.await.unwrap_or_default();
        excessive.iter().filter(|(pod, why)| self.evict(node, pod, why)).count() > 0
    }

    async fn reclaim(&self, node: &Shared, low: Observation, shared: bool, now: Time) {
        let resource = low.signal.resource();
        node.tell("Warning", "EvictionThresholdMet", &format!("Attempting to reclaim {resource}"));
        if low.signal != Signal::Memory {
            // What ended holds images.
            if let Err(status) = self.sources.garbage.clear(true).await {
                tracing::debug!(%status, "garbage is not cleared");
            }
            node.remove_unused_images().await;
            if self.too_little(node, &disks(node).await).iter().all(|one| one.signal == Signal::Memory) {
                return;
            }
        }
        if self.is_one_leaving(now) {
            return;
        }
        let mut candidates = self.candidates(low.signal, shared).await;
        rank::rank(&mut candidates, resource);
        for candidate in &candidates {
            let why = low.message(&node.parts.settings.eviction_hard) + &rank::blame(candidate, resource);
            if self.evict(node, &candidate.pod, &why) {
                let uid = candidate.pod.str_at(&["metadata", "uid"]).to_owned();
                *self.leaving.lock() = Some((uid, now));
                return;
            }
        }
        tracing::warn!(resource, "the node runs out of a resource and there is no pod to evict");
    }

    fn too_little(&self, node: &Shared, disks: &Disks) -> Vec<Observation> {
        let capacity = cgroups::memory_capacity();
        let memory = self.sources.cgroups.usage("/").memory.map(|memory| {
            let used = i64::try_from(memory.working_set).unwrap_or(i64::MAX);
            Observation::memory(capacity.saturating_sub(used), capacity)
        });
        let mut seen: Vec<Observation> = memory.into_iter().collect();
        seen.extend(Observation::of_disk(Signal::NodeFs, Signal::NodeFsInodes, &disks.node));
        seen.extend(Observation::of_disk(Signal::ImageFs, Signal::ImageFsInodes, &disks.images));
        seen.retain(|one| one.is_too_little(&node.parts.settings.eviction_hard));
        seen
    }

    fn is_one_leaving(&self, now: Time) -> bool {
        let leaving = self.leaving.lock();
        leaving.as_ref().is_some_and(|(uid, at)| {
            let observed = self.sources.pods.observed(uid);
            now.since(*at) < CLEANUP && observed.is_some_and(|observed| observed.is_alive())
        })
    }

    async fn candidates(&self, signal: Signal, shared: bool) -> Vec<Candidate> {
        let (pods, sources) = (self.active(), self.sources.clone());
        if signal == Signal::Memory {
            return pods.into_iter().map(|pod| sources.memory(pod)).collect();
        }
        let layers = self.sources.layers().await;
        let measured = tokio::task::spawn_blocking(move || {
            pods.into_iter().map(|pod| sources.disk(pod, &layers, signal, shared)).collect()
        });
        measured.await.unwrap_or_default()
    }

    /// Pods that have anything running.
    fn active(&self) -> Vec<Arc<Value>> {
        let pods = &self.sources.pods;
        let is_active = |pod: &Arc<Value>| {
            let uid = pod.str_at(&["metadata", "uid"]);
            let status = pods.status(uid);
            let phase = status.as_ref().map_or(pod.str_at(&["status", "phase"]), |s| s.str_at(&["phase"]));
            !matches!(phase, "Failed" | "Succeeded")
        };
        pods.list().into_iter().filter(is_active).collect()
    }

    /// False for pods that must stay.
    fn evict(&self, node: &Shared, pod: &Value, why: &str) -> bool {
        if rank::is_critical(pod) {
            return false;
        }
        tracing::warn!(pod = pod.str_at(&["metadata", "name"]), why, "a pod is evicted");
        node.parts.recorder.event(pod, "Warning", REASON, why);
        self.sources.pods.evict(pod.str_at(&["metadata", "uid"]), REASON, why, GRACE);
        true
    }
}

async fn disks(node: &Shared) -> Disks {
    let own = Disk::of(&node.parts.settings.root).unwrap_or_default();
    // While the runtime is down, the node's own disk is all that is known.
    Disks { node: own, images: node.image_disk().await.unwrap_or(own) }
}

/// Whether a node under pressure takes a pod; why not, as its status says it.
///
/// # Errors
/// The message; the reason is `Evicted`.
pub fn admit(under: Pressures, pod: &Value) -> Result<(), String> {
    let conditions = [(under.memory, "MemoryPressure"), (under.disk, "DiskPressure")];
    let held: Vec<&str> = conditions.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect();
    if held.is_empty() || rank::is_critical(pod) {
        return Ok(());
    }
    // Memory alone turns only those away that asked for none.
    let asks = cgroups::qos_class(pod) != "BestEffort";
    if !under.disk && (asks || tolerates_memory_pressure(pod)) {
        return Ok(());
    }
    Err(format!("The node had condition: [{}]. ", held.join(" ")))
}

fn tolerates_memory_pressure(pod: &Value) -> bool {
    let (taint, effect) = ("node.kubernetes.io/memory-pressure", "NoSchedule");
    pod.list_at(&["spec", "tolerations"]).iter().any(|toleration| {
        let field = |name: &str| toleration.str_at(&[name]);
        let of_key = match (field("key"), field("operator")) {
            ("", "Exists") => true,
            (key, "Exists") => key == taint,
            (key, _) => key == taint && field("value").is_empty(),
        };
        of_key && (field("effect").is_empty() || field("effect") == effect)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_node_under_pressure_turns_pods_away() {
        let (none, memory, disk) = (
            Pressures::default(),
            Pressures { memory: true, disk: false },
            Pressures { memory: false, disk: true },
        );
        let best_effort = tree!({"spec": {"containers": [{"name": "a"}]}});
        let burstable =
            tree!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]}});
        assert_eq!(admit(none, &best_effort), Ok(()));
        let why = "The node had condition: [MemoryPressure]. ".to_owned();
        assert_eq!(admit(memory, &best_effort), Err(why));
        assert_eq!(admit(memory, &burstable), Ok(()));
        assert_eq!(admit(disk, &burstable), Err("The node had condition: [DiskPressure]. ".to_owned()));
        assert_eq!(admit(disk, &tree!({"spec": {"priority": 2_000_000_001}})), Ok(()));
    }

    #[test]
    fn pods_that_tolerate_it_may_run_although_memory_is_low() {
        let memory = Pressures { memory: true, disk: false };
        let with = |toleration: Value| tree!({"spec": {"containers": [{"name": "a"}], "tolerations": [(toleration)]}});
        let key = "node.kubernetes.io/memory-pressure";
        assert!(admit(memory, &with(tree!({"operator": "Exists"}))).is_ok());
        assert!(
            admit(memory, &with(tree!({"key": key, "operator": "Exists", "effect": "NoSchedule"}))).is_ok()
        );
        assert!(
            admit(memory, &with(tree!({"key": key, "operator": "Exists", "effect": "NoExecute"}))).is_err()
        );
        assert!(admit(memory, &with(tree!({"key": "other", "operator": "Exists"}))).is_err());
    }
}
