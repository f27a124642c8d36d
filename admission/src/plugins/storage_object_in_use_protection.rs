//! StorageObjectInUseProtection: volumes, claims and attribute classes get a finalizer, so that none goes while it is
//! in use: `metadata.finalizers: [kubernetes.io/pvc-protection]`.

use super::{Plugin, push};
use crate::review::{Cluster, Review};
use api::{Status, Value};
use futures::future::BoxFuture;

/// Group, plural and finalizer.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub struct StorageObjectInUseProtection;

fn finalizer(review: &Review<'_>) -> Option<&'static str> {
    let found = PROTECTED.iter().find(|(group, resource, _)| review.creates(group, resource));
    found.map(|(_, _, finalizer)| *finalizer)
}

impl Plugin for StorageObjectInUseProtection {
    fn handles(&self, review: &Review<'_>) -> bool {
        finalizer(review).is_some()
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let (Some(finalizer), Some(object)) = (finalizer(review), review.object.as_deref_mut()) {
            add(object, finalizer);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn add(object: &mut Value, finalizer: &str) {
    let present = object.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(finalizer));
    if !present {
        push(object, &["metadata"], "finalizers", finalizer);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn claims_are_protected_and_other_things_are_not() {
        let plugin = StorageObjectInUseProtection;
        let claim = admit(&plugin, &Cluster::new(), "persistentvolumeclaims", tree!({})).await.unwrap();
        assert_eq!(claim, tree!({"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]}}));
        assert_eq!(admit(&plugin, &Cluster::new(), "configmaps", tree!({})).await.unwrap(), tree!({}));
    }
}
