//! Pods that take more of the disk than they may: an `emptyDir` beyond its `sizeLimit`, containers or a pod beyond
//! their limit of `ephemeral-storage`. They go, whether the disk is full or not.

use super::consumption::{OnDisk, Sources};
use crate::node::Space;
use api::{Quantity, Value, quote, resources};
use std::collections::HashMap;

const STORAGE: &str = "ephemeral-storage";

/// Whether a pod has any such limit: the others need not be measured.
pub fn is_limited(pod: &Value) -> bool {
    let volumes = pod.list_at(&["spec", "volumes"]);
    volumes.iter().any(|volume| volume.at(&["emptyDir", "sizeLimit"]).is_some()) || has_storage_limit(pod)
}

fn has_storage_limit(pod: &Value) -> bool {
    resources::limits(pod, false).contains_key(STORAGE)
}

/// What is said when a pod must go. Walks folders: for a thread of its own. `shared` is true when images have no disk
/// of their own.
pub fn excess(
    sources: &Sources,
    pod: &Value,
    layers: &HashMap<String, Space>,
    shared: bool,
) -> Option<String> {
    let volume = sources.volumes.over_limit(pod);
    volume.or_else(|| {
        over_storage(pod, &sources.on_disk(pod, layers), shared).filter(|_| has_storage_limit(pod))
    })
}

fn over_storage(pod: &Value, found: &OnDisk, shared: bool) -> Option<String> {
    let number = |space: Space| i64::try_from(space.bytes).unwrap_or(i64::MAX);
    let limits = resources::limits(pod, false);
    let all = found.layers().plus(found.logs()).plus(found.volumes);
    if let Some(limit) = limits.get(STORAGE).filter(|limit| number(all) > limit.value()) {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ));
    }
    pod.list_at(&["spec", "containers"]).iter().find_map(|container| {
        let (name, limits) =
            (container.str_at(&["name"]), resources::amounts(container.at(&["resources", "limits"])));
        let limit: &Quantity = limits.get(STORAGE).filter(|limit| limit.value() != 0)?;
        let layer = found.layers.get(name).filter(|_| shared).copied().unwrap_or_default();
        let used = layer.plus(found.logs.get(name).copied().unwrap_or_default());
        let limit_text = quote(&limit.to_string());
        (number(used) > limit.value())
            .then(|| format!("Container {name} exceeded its local ephemeral storage limit {limit_text}. "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_is_over_its_limit_is_told_in_upstreams_words() {
        let container =
            |name: &str| tree!({"name": name, "resources": {"limits": {"ephemeral-storage": "1Ki"}}});
        let pod = tree!({"spec": {"containers": [(container("a")), (container("b"))]}});
        let used = |a: u64, b: u64| OnDisk {
            layers: HashMap::from([("a".to_owned(), Space { bytes: a, inodes: 1 })]),
            logs: HashMap::from([("b".to_owned(), Space { bytes: b, inodes: 1 })]),
            ..OnDisk::default()
        };
        assert_eq!(over_storage(&pod, &used(1000, 1000), true), None);
        let container = "Container a exceeded its local ephemeral storage limit \"1Ki\". ";
        assert_eq!(over_storage(&pod, &used(1500, 0), true).as_deref(), Some(container));
        let whole = "Pod ephemeral local storage usage exceeds the total limit of containers 2Ki. ";
        assert_eq!(over_storage(&pod, &used(1500, 1000), true).as_deref(), Some(whole));
        assert!(is_limited(&pod));
        assert!(is_limited(&tree!({"spec": {"volumes": [{"emptyDir": {"sizeLimit": "1Mi"}}]}})));
        assert!(!is_limited(&tree!({"spec": {"volumes": [{"emptyDir": {}}]}})));
    }
}
