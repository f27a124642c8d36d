//! What pods use of what runs out: memory of their groups; bytes and files of containers' layers, logs and volumes.

use super::rank::Candidate;
use super::thresholds::Signal;
use crate::cgroups::Cgroups;
use crate::garbage::Garbage;
use crate::node::Space;
use crate::pod::container_name;
use crate::pods::Pods;
use crate::volumes::Volumes;
use crate::{Runtime, cri, logs};
use api::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where consumption is read.
#[derive(Clone)]
pub struct Sources {
    pub pods: Pods,
    pub cgroups: Arc<Cgroups>,
    pub volumes: Volumes,
    pub runtime: Runtime,
    pub log_root: PathBuf,
    pub garbage: Garbage,
}

/// What a pod takes of disks.
#[derive(Clone, Debug, Default)]
pub struct OnDisk {
    /// By container: what it wrote into its layer, and its logs.
    pub layers: HashMap<String, Space>,
    pub logs: HashMap<String, Space>,
    pub volumes: Space,
}

impl OnDisk {
    pub fn layers(&self) -> Space {
        self.layers.values().fold(Space::default(), |all, one| all.plus(*one))
    }

    pub fn logs(&self) -> Space {
        self.logs.values().fold(Space::default(), |all, one| all.plus(*one))
    }
}

impl Sources {
    /// Memory of a pod and its containers.
    pub fn memory(&self, pod: Arc<Value>) -> Candidate {
        let group = self.cgroups.pod_parent(&pod);
        let used = |group: &str| {
            let memory = self.cgroups.usage(group).memory?;
            i64::try_from(memory.working_set).ok()
        };
        let observed = self.pods.observed(pod.str_at(&["metadata", "uid"]));
        let running = observed.iter().flat_map(|observed| observed.running());
        let of_container = |container: &cri::ContainerStatus| {
            Some((container_name(container).to_owned(), used(&format!("{group}/{}", container.id))?))
        };
        Candidate { used: used(&group), containers: running.filter_map(of_container).collect(), pod }
    }

    /// Layers of all containers, by container id.
    pub async fn layers(&self) -> HashMap<String, Space> {
        let request = cri::ListContainerStatsRequest { filter: None };
        let answer = self.runtime.containers().list_container_stats(request).await;
        let stats = answer.map(|answer| answer.into_inner().stats).unwrap_or_default();
        let space = |stats: cri::ContainerStats| {
            let layer = stats.writable_layer?;
            let bytes = layer.used_bytes.map_or(0, |bytes| bytes.value);
            let inodes = layer.inodes_used.map_or(0, |inodes| inodes.value);
            Some((stats.attributes?.id, Space { bytes, inodes }))
        };
        stats.into_iter().filter_map(space).collect()
    }

    /// What a pod takes of disks; `layers` are those of all containers. Walks folders: for a thread of its own.
    pub fn on_disk(&self, pod: &Value, layers: &HashMap<String, Space>) -> OnDisk {
        let uid = pod.str_at(&["metadata", "uid"]);
        let mut found = OnDisk::default();
        let observed = self.pods.observed(uid);
        for container in observed.iter().flat_map(|observed| &observed.containers) {
            let name = container_name(container).to_owned();
            if let Some(layer) = layers.get(&container.id) {
                let slot = found.layers.entry(name).or_default();
                *slot = slot.plus(*layer);
            }
        }
        let folder = logs::pod_folder(&self.log_root, pod);
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if let Ok(name) = entry.file_name().into_string() {
                found.logs.insert(name, Space::of(&entry.path()));
            }
        }
        let mounted = self.volumes.mounted(uid);
        for volume in pod.list_at(&["spec", "volumes"]).iter().filter(|volume| is_local(volume)) {
            let path = mounted.get(volume.str_at(&["name"])).and_then(|mounted| mounted.path.as_ref());
            found.volumes = path.map_or(found.volumes, |path| found.volumes.plus(Space::of(path)));
        }
        found
    }

    /// A pod and what it takes of the disk that runs out. Images on a disk of their own share it with layers alone.
    pub fn disk(
        &self,
        pod: Arc<Value>,
        layers: &HashMap<String, Space>,
        signal: Signal,
        shared: bool,
    ) -> Candidate {
        let found = self.on_disk(&pod, layers);
        let of_images = matches!(signal, Signal::ImageFs | Signal::ImageFsInodes);
        let (with_layers, with_rest) = (shared || of_images, shared || !of_images);
        let is_inodes = matches!(signal, Signal::NodeFsInodes | Signal::ImageFsInodes);
        let number = |space: Space| {
            i64::try_from(if is_inodes { space.inodes } else { space.bytes }).unwrap_or(i64::MAX)
        };
        let mut containers: HashMap<String, i64> = HashMap::new();
        for (name, space) in
            found.layers.iter().filter(|_| with_layers).chain(found.logs.iter().filter(|_| with_rest))
        {
            *containers.entry(name.clone()).or_default() += number(*space);
        }
        let volumes = if with_rest { number(found.volumes) } else { 0 };
        Candidate { used: Some(containers.values().sum::<i64>() + volumes), containers, pod }
    }
}

/// On the node's own disk: what is in memory is not.
pub fn is_local(volume: &Value) -> bool {
    match volume.get("emptyDir") {
        Some(empty) => empty.str_at(&["medium"]).is_empty(),
        None => ["configMap", "gitRepo", "downwardAPI"].iter().any(|kind| volume.get(kind).is_some()),
    }
}
