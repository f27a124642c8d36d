//! ClusterTrustBundleAttest: who makes or changes a bundle of a signer must be allowed to `attest` for it. The kind is
//! served only where a cluster asks for it.

use super::Plugin;
use super::certificate_approval::{GROUP, may_for_signer};
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, quote};
use futures::future::BoxFuture;
use kinds::validation::same;

/// Changes of these alone are those of garbage collection.
const COLLECTED: [&str; 2] = ["ownerReferences", "finalizers"];

pub struct ClusterTrustBundleAttest;

impl Plugin for ClusterTrustBundleAttest {
    fn handles(&self, review: &Review<'_>) -> bool {
        matches!(review.operation, Operation::Create | Operation::Update)
            && (review.group(), review.resource()) == (GROUP, "clustertrustbundles")
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(new) = review.object.as_deref() else { return Ok(()) };
            let signer = new.str_at(&["spec", "signerName"]);
            let settled = signer.is_empty() || review.old.is_some_and(|old| is_same(new, old));
            if settled || may_for_signer(review, "attest", signer).await {
                return Ok(());
            }
            let why = format!("user not permitted to attest for signerName {}", quote(signer));
            Err(review.forbidden(&why))
        })
    }
}

/// Whether nothing differs but what garbage collection and bookkeeping change.
fn is_same(new: &Value, old: &Value) -> bool {
    let settled = |bundle: &Value| {
        let mut bundle = bundle.clone();
        let kept = ["managedFields", "resourceVersion", "selfLink"];
        COLLECTED.iter().chain(&kept).for_each(|field| drop(bundle.unset(&["metadata", field])));
        bundle
    };
    same(Some(&settled(new)), Some(&settled(old)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_garbage_collection_changes_needs_no_attest() {
        let old = tree!({"metadata": {"name": "a"}, "spec": {"signerName": "x.y/z", "trustBundle": "b"}});
        let mut new = old.clone();
        new.set(&["metadata", "finalizers"], vec!["f"]);
        assert!(is_same(&new, &old));
        new.set(&["spec", "trustBundle"], "c");
        assert!(!is_same(&new, &old));
    }
}
