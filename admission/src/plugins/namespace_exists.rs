//! NamespaceExists: nothing is made, changed or deleted in a namespace that is not there: 404 `namespaces "a" not
//! found`. NamespaceLifecycle, which is on by default, says more.

use super::{Plugin, find};
use crate::review::{Cluster, Operation, Review};
use api::Status;
use futures::future::BoxFuture;

pub struct NamespaceExists;

impl Plugin for NamespaceExists {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation != Operation::Connect && review.kind.info().namespaced
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            match find(reader, "", "namespaces", "", review.namespace).await {
                Some(_) => Ok(()),
                None => Err(Status::not_found("", "namespaces", review.namespace)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn the_namespace_must_be_there() {
        let map = tree!({"metadata": {"name": "m"}});
        let status = admit(&NamespaceExists, &Cluster::new(), "configmaps", map.clone()).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"n\" not found"));
        let cluster = Cluster::new().with("", "namespaces", tree!({"metadata": {"name": "n"}}));
        assert!(admit(&NamespaceExists, &cluster, "configmaps", map).await.is_ok());
    }
}
