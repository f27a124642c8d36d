//! Which volumes the containers of a pod use, and where they mount one inside another.

use crate::pod::spec::containers;
use api::Value;
use std::collections::{BTreeSet, HashSet};
use std::path::{Component, Path, PathBuf};

/// The names of volumes that are mounted as folders or read for variables, and of those that are used as devices.
pub struct Used<'a> {
    pub mounts: HashSet<&'a str>,
    pub devices: HashSet<&'a str>,
}

pub fn used(pod: &Value) -> Used<'_> {
    let (mut mounts, mut devices) = (HashSet::new(), HashSet::new());
    for (_, container) in containers(pod) {
        mounts.extend(container.list_at(&["volumeMounts"]).iter().map(|m| m.str_at(&["name"])));
        devices.extend(container.list_at(&["volumeDevices"]).iter().map(|d| d.str_at(&["name"])));
        let files = container.list_at(&["env"]).iter().filter_map(|e| e.at(&["valueFrom", "fileKeyRef"]));
        mounts.extend(files.map(|f| f.str_at(&["volumeName"])));
    }
    mounts.remove("");
    Used { mounts, devices }
}

/// The folders that a volume must have because other volumes are mounted there, relative to its root: a volume that
/// containers cannot write must have them before.
pub fn mount_points(pod: &Value, volume: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for (_, container) in containers(pod) {
        let all = || {
            let mounts = container.list_at(&["volumeMounts"]).iter();
            mounts.map(|m| (m.str_at(&["name"]), clean(m.str_at(&["mountPath"]))))
        };
        let mut paths: Vec<PathBuf> = all().map(|(_, path)| path).collect();
        paths.sort();
        for (_, root) in all().filter(|(name, _)| *name == volume) {
            let mut outer: Vec<&PathBuf> = Vec::new();
            for path in paths.iter().filter(|path| **path != root && path.starts_with(&root)) {
                if !outer.iter().any(|outer| path.starts_with(outer)) {
                    outer.push(path);
                    found.extend(path.strip_prefix(&root).map(Path::to_owned));
                }
            }
        }
    }
    found
}

/// Without `.` and `..`, as a container sees it.
fn clean(path: &str) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn folders_for_volumes_inside_are_those_just_beneath() {
        let mount = |name: &str, path: &str| tree!({"name": name, "mountPath": path});
        let pod = tree!({"spec": {"containers": [{"volumeMounts": [
            (mount("a", "/dir")), (mount("b", "/dir/x/y")), (mount("c", "/dir/x/y/z")), (mount("d", "/dir/x-y")),
            (mount("e", "/dire")), (mount("b", "/dir/../dir/q"))]}]}});
        let points: Vec<_> = mount_points(&pod, "a").into_iter().collect();
        assert_eq!(points, [Path::new("q"), Path::new("x/y"), Path::new("x-y")].map(Path::to_owned));
        assert_eq!(mount_points(&pod, "b").len(), 1);
        assert!(mount_points(&pod, "e").is_empty());
    }

    #[test]
    fn only_volumes_that_containers_name_are_used() {
        let pod = tree!({"spec": {
            "initContainers": [{"volumeMounts": [{"name": "a"}]}],
            "containers": [{"volumeDevices": [{"name": "b"}],
                "env": [{"name": "X", "valueFrom": {"fileKeyRef": {"volumeName": "c"}}}]}]}});
        let used = used(&pod);
        assert_eq!((used.mounts, used.devices), (HashSet::from(["a", "c"]), HashSet::from(["b"])));
    }
}
