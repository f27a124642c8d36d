//! NodeDeclaredFeatureValidator: a pod is changed on its node only in ways that the node says it can follow.
//!
//! New resources of the pod as a whole need `InPlacePodLevelResourcesVerticalScaling` in the node's
//! `status.declaredFeatures`, new ones of an init container `InPlacePodVerticalScalingInitContainers`. Source:
//! component-helpers' `nodedeclaredfeatures`.

use super::{Plugin, find};
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value};
use futures::future::BoxFuture;
use kinds::core::pod_spec::is_sidecar;

pub struct NodeDeclaredFeatureValidator;

impl Plugin for NodeDeclaredFeatureValidator {
    fn handles(&self, review: &Review<'_>) -> bool {
        changes_bound_pod(review) && matches!(review.subresource, "" | "resize")
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let (Some(pod), Some(old)) = (review.object.as_deref(), review.old) else { return Ok(()) };
            let needed = needed(pod, old);
            if needed.is_empty() {
                return Ok(());
            }
            let node = node_of(review, reader).await?;
            let declared = node.list_at(&["status", "declaredFeatures"]);
            let is_declared = |name: &str| declared.iter().any(|known| known.as_str() == Some(name));
            let missing: Vec<&str> = needed.into_iter().filter(|name| !is_declared(name)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let (missing, node) = (missing.join(", "), api::quote(node.str_at(&["metadata", "name"])));
            Err(review.forbidden(&format!(
                "pod update requires features {missing} which are not available on node {node}"
            )))
        })
    }
}

/// True for the change of the spec of a pod that is on a node.
pub fn changes_bound_pod(review: &Review<'_>) -> bool {
    let is_update =
        review.operation == Operation::Update && review.group().is_empty() && review.resource() == "pods";
    let (Some(pod), Some(old)) = (review.object.as_deref(), review.old) else { return false };
    let generation = |pod: &Value| pod.i64_at(&["metadata", "generation"]).unwrap_or(0);
    is_update && !pod.str_at(&["spec", "nodeName"]).is_empty() && generation(pod) != generation(old)
}

/// The node of the pod.
pub async fn node_of(review: &Review<'_>, reader: &dyn Cluster) -> Result<Value, Status> {
    let name = review.object.as_deref().map(|pod| pod.str_at(&["spec", "nodeName"])).unwrap_or_default();
    let found = find(reader, "", "nodes", "", name).await;
    found.ok_or_else(|| review.forbidden(&format!("node {} not found", api::quote(name))))
}

/// Sorted by name.
fn needed(pod: &Value, old: &Value) -> Vec<&'static str> {
    let mut needed = Vec::new();
    let own = |pod: &Value| pod.at(&["spec", "resources"]).filter(|r| !r.is_empty()).cloned();
    if own(pod) != own(old) {
        needed.push("InPlacePodLevelResourcesVerticalScaling");
    }
    let inits = |pod: &'_ Value| pod.list_at(&["spec", "initContainers"]).to_vec();
    let of = |container: &Value| container.get("resources").filter(|r| !r.is_empty()).cloned();
    let differs = |(old, new): (&Value, &Value)| !is_sidecar(old) && of(old) != of(new);
    if inits(old).iter().zip(&inits(pod)).any(differs) {
        needed.push("InPlacePodVerticalScalingInitContainers");
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Request};
    use super::*;
    use api::tree;

    fn pod(generation: i64, cpu: &str) -> Value {
        tree!({
            "metadata": {"name": "p", "generation": generation},
            "spec": {"nodeName": "w", "resources": {"requests": {"cpu": cpu}}}
        })
    }

    #[tokio::test]
    async fn the_node_must_know_how() {
        let node = |features: Value| {
            let node = tree!({"metadata": {"name": "w"}, "status": {"declaredFeatures": features}});
            testing::Cluster::new().with("", "nodes", node)
        };
        let (old, plugin) = (pod(1, "1"), NodeDeclaredFeatureValidator);
        let resize =
            |new: Value| Request { subresource: "resize", ..Request::new(("", "pods"), new, Some(&old)) };
        let able = node(tree!(["InPlacePodLevelResourcesVerticalScaling"]));
        assert!(resize(pod(2, "2")).run(&plugin, &able).await.result.is_ok());
        let unable = node(tree!([]));
        assert_eq!(
            resize(pod(2, "2")).run(&plugin, &unable).await.result.unwrap_err().message,
            "pods \"p\" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node \"w\""
        );
        assert!(resize(pod(2, "1")).run(&plugin, &unable).await.result.is_ok());
        let nowhere = testing::Cluster::new();
        let status = resize(pod(2, "2")).run(&plugin, &nowhere).await.result.unwrap_err();
        assert!(status.message.ends_with("node \"w\" not found"));
    }
}
