//! PersistentVolumeClaimResize: a claim may only grow when it is bound and its class allows it.

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value};
use futures::future::BoxFuture;
use kinds::core::pod_spec::quantity;

const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Update && review.is("", "persistentvolumeclaims")
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let (Some(new), Some(old)) = (review.object.as_deref(), review.old) else { return Ok(()) };
            if !grows(new, old) {
                return Ok(());
            }
            if old.str_at(&["status", "phase"]) != "Bound" {
                return Err(review.forbidden("Only bound persistent volume claims can be expanded"));
            }
            let class = class(new);
            let allowed = !class.is_empty()
                && class == self::class(old)
                && reader
                    .get("storage.k8s.io", "storageclasses", "", class)
                    .await
                    .is_some_and(|class| class.bool_at(&["allowVolumeExpansion"]));
            if allowed {
                return Ok(());
            }
            Err(review.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            ))
        })
    }
}

fn grows(new: &Value, old: &Value) -> bool {
    let size = |claim: &Value| claim.at(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    match (size(new), size(old)) {
        (Some(new), Some(old)) => new > old,
        (Some(new), None) => new.sign() > 0,
        _ => false,
    }
}

fn class(claim: &Value) -> &str {
    match claim.str_at(&["metadata", "annotations", OLD_CLASS]) {
        "" => claim.str_at(&["spec", "storageClassName"]),
        class => class,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, run};
    use super::*;
    use api::tree;

    fn claim(size: &str, phase: &str) -> Value {
        tree!({
            "metadata": {"name": "c"},
            "spec": {"storageClassName": "s", "resources": {"requests": {"storage": size}}},
            "status": {"phase": phase}
        })
    }

    #[tokio::test]
    async fn growth_needs_a_bound_claim_and_a_willing_class() {
        let place = ("", "persistentvolumeclaims");
        let cluster = |grows: bool| {
            let class = tree!({"metadata": {"name": "s"}, "allowVolumeExpansion": grows});
            Cluster::new().with("storage.k8s.io", "storageclasses", class)
        };
        let plugin = PersistentVolumeClaimResize;
        let old = claim("1Gi", "Bound");
        assert!(run(&plugin, &cluster(true), place, claim("2Gi", "Bound"), Some(&old)).await.is_ok());
        assert!(run(&plugin, &cluster(false), place, claim("2Gi", "Bound"), Some(&old)).await.is_err());
        assert!(run(&plugin, &cluster(false), place, claim("1024Mi", "Bound"), Some(&old)).await.is_ok());
        let pending = claim("1Gi", "Pending");
        let status =
            run(&plugin, &cluster(true), place, claim("2Gi", "Bound"), Some(&pending)).await.unwrap_err();
        assert!(status.message.ends_with("Only bound persistent volume claims can be expanded"));
    }
}
