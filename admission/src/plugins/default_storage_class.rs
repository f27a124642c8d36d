//! DefaultStorageClass: a claim that names no class gets the default one (annotated
//! `storageclass.kubernetes.io/is-default-class: "true"`), the newest when there are several.

use super::{Plugin, default_class};
use crate::review::{Cluster, Review};
use api::Status;
use futures::future::BoxFuture;

const ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// How a claim named its class before there was a field for it.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.creates("", "persistentvolumeclaims")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(claim) = review.object.as_deref_mut() else { return Ok(()) };
            let named = claim.at(&["spec", "storageClassName"]).is_some()
                || claim.at(&["metadata", "annotations", OLD_CLASS]).is_some();
            if !named
                && let Some(class) =
                    default_class(reader, "storage.k8s.io", "storageclasses", &ANNOTATIONS).await
            {
                claim.set(&["spec", "storageClassName"], class);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::{Value, tree};

    fn class(name: &str, made: &str, default: &str) -> Value {
        let annotations = tree!({"storageclass.kubernetes.io/is-default-class": default});
        tree!({"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}})
    }

    #[tokio::test]
    async fn the_newest_default_class_is_taken() {
        let cluster = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"].iter().enumerate().fold(
            Cluster::new().with(
                "storage.k8s.io",
                "storageclasses",
                class("z", "2025-01-01T00:00:00Z", "false"),
            ),
            |cluster, (i, made)| {
                cluster.with("storage.k8s.io", "storageclasses", class(&format!("c{i}"), made, "true"))
            },
        );
        let run = |claim| admit(&DefaultStorageClass, &cluster, "persistentvolumeclaims", claim);
        let claim = run(tree!({"spec": {}})).await.unwrap();
        assert_eq!(claim.str_at(&["spec", "storageClassName"]), "c1");
        let none = tree!({"spec": {"storageClassName": ""}});
        assert_eq!(run(none.clone()).await.unwrap(), none);
    }
}
