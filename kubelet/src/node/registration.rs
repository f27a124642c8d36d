//! Registers the node. One that is there already, from an earlier life, keeps what others gave it.

use super::architecture;
use crate::{Settings, resources};
use api::{Map, Value, tree};
use client::{Client, Error};

const ATTACH: &str = "volumes.kubernetes.io/controller-managed-attach-detach";

/// Creates the node with a first status, or brings labels and annotations of the one that is there up to date.
pub async fn register(client: &Client, settings: &Settings, status: Value) -> Result<Value, Error> {
    let nodes = resources::nodes();
    let node = object(settings, status);
    match client.create(&nodes, "", &node).await {
        Err(error) if error.is_already_exists() => {}
        other => return other,
    }
    let known = client.get(&nodes, "", &settings.node_name).await?;
    match outdated(&known, &node) {
        Some(patch) => client.merge_patch(&nodes, "", &settings.node_name, "", &patch).await,
        None => Ok(known),
    }
}

fn object(settings: &Settings, status: Value) -> Value {
    let name = settings.node_name.as_str();
    let labels = tree!({
        "beta.kubernetes.io/arch": (architecture()), "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": (architecture()), "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"
    });
    let mut node = tree!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": (labels)}, "status": (status)
    });
    node.make_map(&["metadata", "annotations"]).insert(ATTACH, "true");
    node
}

/// A patch with those of our labels and annotations that differ.
fn outdated(known: &Value, wanted: &Value) -> Option<Value> {
    let mut patch = tree!({});
    for field in ["labels", "annotations"] {
        for (key, value) in wanted.map_at(&["metadata", field]).into_iter().flat_map(Map::iter) {
            if known.at(&["metadata", field, key]) != Some(value) {
                patch.make_map(&["metadata", field]).insert(key.clone(), value.clone());
            }
        }
    }
    (!patch.is_empty()).then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_of_our_own_labels_is_patched() {
        let wanted =
            tree!({"metadata": {"labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}});
        let known = tree!({"metadata": {"labels": {"kubernetes.io/os": "linux", "mine": "1"}}});
        let patch = outdated(&known, &wanted).unwrap();
        assert_eq!(patch, tree!({"metadata": {"labels": {"kubernetes.io/arch": "amd64"}}}));
        assert_eq!(outdated(&wanted, &wanted), None);
    }
}
