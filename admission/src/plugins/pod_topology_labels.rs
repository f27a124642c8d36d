//! PodTopologyLabels: a pod that gets its node gets the node's zone and region as labels, by way of its binding.

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value};
use futures::future::BoxFuture;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn handles(&self, review: &Review<'_>) -> bool {
        let binds = review.resource() == "pods" && review.subresource == "binding";
        review.operation == Operation::Create && review.group().is_empty() && (binds || review.is("", "pods"))
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(object) = review.object.as_deref_mut() else { return Ok(()) };
            let node = node_of(object, review.subresource == "binding");
            if node.is_empty() {
                return Ok(());
            }
            let Some(node) = reader.get("", "nodes", "", node).await else { return Ok(()) };
            for label in LABELS {
                if let Some(value) = node.at(&["metadata", "labels", label]) {
                    object.set(&["metadata", "labels", label], value.clone());
                }
            }
            Ok(())
        })
    }
}

/// The node that a pod has, or that a binding gives it.
fn node_of(object: &Value, is_binding: bool) -> &str {
    match is_binding {
        true if object.str_at(&["target", "kind"]) == "Node" => object.str_at(&["target", "name"]),
        true => "",
        false => object.str_at(&["spec", "nodeName"]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn zone_and_region_come_from_the_node() {
        let node =
            tree!({"metadata": {"name": "a", "labels": {"topology.kubernetes.io/zone": "z", "other": "o"}}});
        let cluster = Cluster::new().with("", "nodes", node);
        let pod =
            admit(&PodTopologyLabels, &cluster, "pods", tree!({"spec": {"nodeName": "a"}})).await.unwrap();
        assert_eq!(pod.at(&["metadata", "labels"]), Some(&tree!({"topology.kubernetes.io/zone": "z"})));
    }
}
