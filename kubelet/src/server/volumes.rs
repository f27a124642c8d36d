//! What pods have on disks beside layers and logs: their volumes and `/etc/hosts`. Folders are walked when somebody asks,
//! and what was found holds for a moment.

use super::Parts;
use crate::node::{Disk, Space, is_local};
use crate::volumes::Mounted;
use api::{Value, tree};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

const FRESH: Duration = Duration::from_secs(10);
/// Volumes whose content the kubelet makes, or that are empty at first: their folders are walked.
const WALKED: [&str; 5] = ["emptyDir", "configMap", "secret", "downwardAPI", "projected"];

/// One volume.
pub struct VolumeUse {
    pub name: String,
    /// Name and namespace of its claim.
    pub claim: Option<Value>,
    /// It counts as ephemeral storage of its pod.
    pub is_local: bool,
    pub disk: Disk,
    pub space: Space,
}

/// What a pod has on disks.
pub struct PodDisk {
    pub time: Time,
    pub volumes: Vec<VolumeUse>,
    pub etc_hosts: Space,
}

impl PodDisk {
    /// What of it is ephemeral storage.
    pub fn ephemeral(&self) -> Space {
        let local = self.volumes.iter().filter(|volume| volume.is_local);
        local.fold(self.etc_hosts, |all, volume| all.plus(volume.space))
    }

    fn walk(pod: &Value, mounted: &HashMap<String, Mounted>, folder: &Path, time: Time) -> Self {
        let volumes = pod.list_at(&["spec", "volumes"]).iter();
        let volumes = volumes.filter_map(|volume| {
            let name = volume.str_at(&["name"]);
            let path = mounted.get(name)?.path.as_ref()?;
            let (claim, disk) = (claim(pod, volume), Disk::of(path).ok()?);
            let space = match &claim {
                Some(_) => Space { bytes: disk.used, inodes: disk.inodes.saturating_sub(disk.inodes_free) },
                None if WALKED.iter().any(|kind| volume.get(kind).is_some()) => Space::of(path),
                None => return None,
            };
            Some(VolumeUse { name: name.to_owned(), claim, is_local: is_local(volume), disk, space })
        });
        PodDisk { time, volumes: volumes.collect(), etc_hosts: Space::of(&folder.join("etc-hosts")) }
    }
}

/// Of all pods, by uid.
pub type PodDisks = HashMap<String, Arc<PodDisk>>;

/// What was found last.
#[derive(Default)]
pub struct Found(Mutex<PodDisks>);

impl Found {
    /// Walks, on a thread for that, what was not walked of late.
    pub async fn read(self: &Arc<Self>, parts: &Parts) -> PodDisks {
        let (found, pods, now) = (self.clone(), parts.pods.list(), parts.clock.now());
        let (volumes, folders) = (parts.volumes.clone(), parts.root.join("pods"));
        let walked = tokio::task::spawn_blocking(move || {
            let before = found.0.lock().clone();
            let of_pod = |pod: &Arc<Value>| {
                let uid = pod.str_at(&["metadata", "uid"]);
                let fresh = before.get(uid).filter(|known| now.since(known.time) < FRESH).cloned();
                let walk = || PodDisk::walk(pod, &volumes.mounted(uid), &folders.join(uid), now);
                (uid.to_owned(), fresh.unwrap_or_else(|| Arc::new(walk())))
            };
            let all: PodDisks = pods.iter().map(of_pod).collect();
            found.0.lock().clone_from(&all);
            all
        });
        walked.await.unwrap_or_default()
    }
}

fn claim(pod: &Value, volume: &Value) -> Option<Value> {
    let name = match volume.get("persistentVolumeClaim") {
        Some(source) => source.str_at(&["claimName"]).to_owned(),
        None => {
            volume.get("ephemeral")?;
            format!("{}-{}", pod.str_at(&["metadata", "name"]), volume.str_at(&["name"]))
        }
    };
    Some(tree!({"name": name, "namespace": (pod.str_at(&["metadata", "namespace"]))}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_measured_and_those_of_the_node_count_as_ephemeral() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("etc-hosts"), "x").unwrap();
        let mut mounted = HashMap::new();
        for name in ["empty", "secret", "claimed", "own", "host"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("file"), vec![1; 64 << 10]).unwrap();
            mounted.insert(name.to_owned(), Mounted { path: Some(path), ..Mounted::default() });
        }
        let pod = tree!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"volumes": [
            {"name": "empty", "emptyDir": {}},
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "claimed", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "own", "ephemeral": {}},
            {"name": "host", "hostPath": {"path": "/"}},
            {"name": "not-there", "emptyDir": {}}
        ]}});
        let found = PodDisk::walk(&pod, &mounted, folder.path(), Time::from_secs(0));
        let names: Vec<&str> = found.volumes.iter().map(|volume| volume.name.as_str()).collect();
        assert_eq!(names, ["empty", "secret", "claimed", "own"]);
        let claims: Vec<_> = found.volumes.iter().filter_map(|volume| volume.claim.as_ref()).collect();
        assert_eq!(claims[0].str_at(&["name"]), "c");
        assert_eq!((claims[1].str_at(&["name"]), claims[1].str_at(&["namespace"])), ("p-own", "ns"));
        let empty = found.volumes[0].space;
        assert!(empty.bytes >= 64 << 10 && empty.inodes == 2, "{empty:?}");
        assert!(found.volumes[2].space.bytes == found.volumes[2].disk.used);
        assert_eq!(found.ephemeral(), empty.plus(found.etc_hosts));
        assert_eq!(found.etc_hosts.inodes, 1);
    }
}
