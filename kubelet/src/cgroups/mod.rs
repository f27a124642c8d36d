//! Control groups: one for all pods, one for each class of service, one for each pod; the runtime makes those of
//! containers inside. Laid out as the original's with the driver `cgroupfs`:
//!
//! ```text
//! /kubepods/podUID              guaranteed
//! /kubepods/burstable/podUID
//! /kubepods/besteffort/podUID
//! ```

mod hierarchy;
mod limits;
mod resources;
mod usage;

pub use limits::{Limits, is_limited, milli_cpu_to_quota, milli_cpu_to_shares};
pub use resources::{CRITICAL_PRIORITY, qos_class};
#[cfg(test)]
pub use usage::Memory;
pub use usage::{Usage, memory_capacity};

use crate::{Settings, cri};
use api::Value;
use hierarchy::Hierarchy;
use resources::Machine;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KUBEPODS: &str = "kubepods";
const BURSTABLE: &str = "burstable";
const BEST_EFFORT: &str = "besteffort";
const POD: &str = "pod";
/// How often the end of killed processes is awaited before a group counts as stuck.
const REMOVAL_ATTEMPTS: u32 = 8;

/// The control groups of this node's pods.
pub struct Cgroups {
    hierarchy: Hierarchy,
    /// `/kubepods`, below the root that the settings name.
    kubepods: String,
    machine: Machine,
    /// As last set.
    burstable_shares: AtomicU64,
}

impl Cgroups {
    /// Finds the machine's hierarchy and makes the groups above those of pods.
    ///
    /// # Errors
    /// When no hierarchy is mounted, or a group cannot be made.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        let root = settings.cgroup_root.trim_matches('/');
        let kubepods = if root.is_empty() { format!("/{KUBEPODS}") } else { format!("/{root}/{KUBEPODS}") };
        let machine = Machine {
            memory: usage::memory_capacity(),
            page_sizes: limits::page_sizes(),
            is_unified: hierarchy::is_unified(),
            limits_swap: false,
        };
        let mut cgroups =
            Cgroups { hierarchy: Hierarchy::find()?, kubepods, machine, burstable_shares: AtomicU64::new(0) };
        cgroups.ensure_classes()?;
        // Only groups below the root have the file that tells.
        cgroups.machine.limits_swap = cgroups.hierarchy.limits_swap(&cgroups.kubepods);
        Ok(cgroups)
    }

    /// The group of all pods.
    pub fn kubepods(&self) -> &str {
        &self.kubepods
    }

    fn ensure_classes(&self) -> io::Result<()> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let all = Limits {
            cpu_shares: Some(milli_cpu_to_shares(i64::try_from(cpus).unwrap_or(1) * 1000)),
            memory: Some(self.machine.memory),
            ..Limits::default()
        };
        let free = self.machine.page_sizes.iter().map(|size| (*size, 1 << 62)).collect::<BTreeMap<_, _>>();
        let burstable = Limits { huge_pages: free.clone(), ..Limits::default() };
        let best_effort =
            Limits { cpu_shares: Some(limits::MIN_SHARES), huge_pages: free, ..Limits::default() };
        self.hierarchy.create(&self.kubepods, &all)?;
        self.hierarchy.create(&format!("{}/{BURSTABLE}", self.kubepods), &burstable)?;
        self.hierarchy.create(&format!("{}/{BEST_EFFORT}", self.kubepods), &best_effort)
    }

    /// The group of a pod, in which its containers' are made: `/kubepods/burstable/podUID`.
    pub fn pod_parent(&self, pod: &Value) -> String {
        let uid = pod.str_at(&["metadata", "uid"]);
        match resources::qos_class(pod) {
            "Guaranteed" => format!("{}/{POD}{uid}", self.kubepods),
            "Burstable" => format!("{}/{BURSTABLE}/{POD}{uid}", self.kubepods),
            _ => format!("{}/{BEST_EFFORT}/{POD}{uid}", self.kubepods),
        }
    }

    /// Makes a pod's group with its limits. One that is there keeps what it has or gets more, so that it holds what
    /// starts; less is set by `set_pod` alone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ensure_pod(&self, pod: &Value) -> io::Result<()> {
        let group = self.pod_parent(pod);
        if self.hierarchy.has(&group) {
            return self.raise_pod(pod);
        }
        self.set_pod(pod).inspect_err(|_| {
            // What is only half made would count as made.
            let _ = self.hierarchy.remove(&group);
        })
    }

    /// Sets the limits of a pod's group, which is made if it is missing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_pod(&self, pod: &Value) -> io::Result<()> {
        self.hierarchy.create(&self.pod_parent(pod), &limits::of_pod(pod, &self.machine.page_sizes))
    }

    /// Sets those limits of a pod's group that become larger.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn raise_pod(&self, pod: &Value) -> io::Result<()> {
        self.hierarchy.raise(&self.pod_parent(pod), &limits::of_pod(pod, &self.machine.page_sizes))
    }

    /// Shares of the class Burstable are what its pods ask for together. `pods` are those that run.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn share_out<'a>(&self, pods: impl Iterator<Item = &'a Value>) -> io::Result<()> {
        let burstable = pods.filter(|pod| resources::qos_class(pod) == "Burstable");
        let shares = milli_cpu_to_shares(burstable.map(limits::cpu_requested).sum());
        if self.burstable_shares.load(Ordering::Relaxed) == shares {
            return Ok(());
        }
        let limits = Limits { cpu_shares: Some(shares), ..Limits::default() };
        self.hierarchy.set(&format!("{}/{BURSTABLE}", self.kubepods), &limits)?;
        self.burstable_shares.store(shares, Ordering::Relaxed);
        Ok(())
    }

    /// Removes a pod's group; what is left running in it is killed.
    ///
    /// # Errors
    /// When a process does not end.
    pub async fn remove_pod(&self, uid: &str) -> io::Result<()> {
        for group in self.places_of(uid) {
            self.remove(&group).await?;
        }
        Ok(())
    }

    async fn remove(&self, group: &str) -> io::Result<()> {
        let mut delay = Duration::from_millis(5);
        for _ in 0..REMOVAL_ATTEMPTS {
            self.hierarchy.kill(group);
            match self.hierarchy.remove(group) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(_) => tokio::time::sleep(delay).await,
            }
            delay *= 2;
        }
        self.hierarchy.remove(group)
    }

    fn places_of(&self, uid: &str) -> impl Iterator<Item = String> {
        let places = ["".to_owned(), format!("/{BURSTABLE}"), format!("/{BEST_EFFORT}")];
        places.map(|class| format!("{}{class}/{POD}{uid}", self.kubepods)).into_iter()
    }

    /// What a container may use, as the runtime is told.
    pub fn container_resources(&self, pod: &Value, container: &Value) -> cri::LinuxContainerResources {
        resources::of_container(pod, container, &self.machine)
    }

    /// Any process of a group.
    pub fn process_of(&self, group: &str) -> Option<u32> {
        let folder =
            ["cpuacct", "memory", "pids"].iter().find_map(|one| self.hierarchy.folder(one, group))?;
        let processes = std::fs::read_to_string(folder.join("cgroup.procs")).ok()?;
        processes.lines().next()?.parse().ok()
    }

    /// What a group has used; `/` is the machine. What cannot be read is missing.
    pub fn usage(&self, group: &str) -> Usage {
        usage::read(&self.hierarchy, group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;
    use api::tree;

    #[test]
    fn a_group_that_is_there_gets_more_and_less_only_when_it_is_set() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = fixture::settings(root.path());
        settings.cgroup_root = format!("/kubelet-test-{}", std::process::id());
        // Not everybody may make groups.
        let Ok(cgroups) = Cgroups::new(&settings) else { return };
        let pod = |limit: &str| {
            let resources = tree!({"limits": {"memory": limit, "cpu": "1"}, "requests": {"cpu": "100m"}});
            tree!({"metadata": {"uid": "u"}, "spec": {"containers": [{"resources": (resources)}]}})
        };
        let file = if cgroups.hierarchy.version() == 2 { "memory.max" } else { "memory.limit_in_bytes" };
        let folder = cgroups.hierarchy.folder("memory", &cgroups.pod_parent(&pod("1Mi")));
        let has = || folder.as_ref().map(|at| std::fs::read_to_string(at.join(file)).unwrap());
        let mut told = Vec::new();
        for limit in ["64Mi", "32Mi", "128Mi"] {
            cgroups.ensure_pod(&pod(limit)).unwrap();
            told.extend(has());
        }
        cgroups.set_pod(&pod("32Mi")).unwrap();
        told.extend(has());
        cgroups.hierarchy.remove(&settings.cgroup_root).unwrap();
        let told: Vec<u64> = told.iter().map(|said| said.trim().parse::<u64>().unwrap() >> 20).collect();
        assert!(folder.is_none() || told == [64, 64, 128, 32], "{told:?}");
    }
}
