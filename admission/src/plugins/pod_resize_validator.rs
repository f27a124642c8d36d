//! PodResizeValidator: a pod grows no larger than its node, and only nodes with Linux resize.

use super::Plugin;
use super::node_declared_feature_validator::{changes_bound_pod, node_of};
use crate::review::{Cluster, Review};
use api::resources::{add, amounts, quantity, requests};
use api::status::Cause;
use api::{Status, Value};
use futures::future::BoxFuture;

pub struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.subresource == "resize" && changes_bound_pod(review)
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let node = node_of(review, reader).await?;
            let Some(pod) = review.object.as_deref() else { return Ok(()) };
            let refused = |why: &str, reason: &str| {
                let cause = Cause { reason: reason.to_owned(), ..Cause::default() };
                Err(review.forbidden(why).with_causes(vec![cause]))
            };
            let (name, system) = (
                node.str_at(&["metadata", "name"]),
                node.str_at(&["metadata", "labels", "kubernetes.io/os"]),
            );
            if !matches!(system, "" | "linux") {
                let (name, system) = (api::quote(name), api::quote(system));
                let why = format!("pod resize is only supported on linux nodes, node {name} is {system}");
                return refused(&why, "UnsupportedPlatform");
            }
            match lack(pod, &node) {
                Some(why) => refused(&why, "NodeCapacity"),
                None => Ok(()),
            }
        })
    }
}

/// What the pod asks for beyond what the node has in all.
fn lack(pod: &Value, node: &Value) -> Option<String> {
    let mut asked = requests(pod, false);
    add(&mut asked, &amounts(pod.at(&["spec", "overhead"])));
    let mut texts = Vec::new();
    for name in ["cpu", "memory"] {
        let (asked, there) = (
            asked.remove(name).unwrap_or_default(),
            node.at(&["status", "allocatable", name]).and_then(quantity).unwrap_or_default(),
        );
        if asked > there {
            let shown = |amount: &api::Quantity| if name == "cpu" { amount.milli() } else { amount.value() };
            texts.push(format!("{name}, requested: {}, allocatable: {}", shown(&asked), shown(&there)));
        }
    }
    let texts = (!texts.is_empty()).then(|| texts.join("; "))?;
    Some(format!("node didn't have enough allocatable resources: {texts}"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Request};
    use super::*;
    use api::tree;

    fn pod(generation: i64, cpu: &str) -> Value {
        tree!({
            "metadata": {"name": "p", "generation": generation},
            "spec": {"nodeName": "w", "containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}
        })
    }

    #[tokio::test]
    async fn a_pod_grows_within_its_node() {
        let old = pod(1, "1");
        let run = |cpu: &'static str, system: &'static str| {
            let node = tree!({
                "metadata": {"name": "w", "labels": {"kubernetes.io/os": system}},
                "status": {"allocatable": {"cpu": "2", "memory": "2Gi"}}
            });
            let request =
                Request { subresource: "resize", ..Request::new(("", "pods"), pod(2, cpu), Some(&old)) };
            async move {
                let cluster = testing::Cluster::new().with("", "nodes", node);
                request.run(&PodResizeValidator, &cluster).await.result
            }
        };
        assert!(run("2", "linux").await.is_ok());
        let status = run("2500m", "linux").await.unwrap_err();
        assert!(status.message.ends_with(
            "node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000"
        ));
        assert_eq!(status.details.unwrap().causes[0].reason, "NodeCapacity");
        let status = run("1500m", "windows").await.unwrap_err();
        assert!(status.message.ends_with("node \"w\" is \"windows\""));
    }
}
