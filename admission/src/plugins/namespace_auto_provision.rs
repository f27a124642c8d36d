//! NamespaceAutoProvision: what is created in a namespace that is not there makes the namespace as well.

use super::{Plugin, Settings, find};
use crate::review::{Cluster, Operation, Review, Writes};
use api::{Status, tree};
use futures::future::BoxFuture;
use std::sync::Arc;

pub struct NamespaceAutoProvision {
    writes: Arc<dyn Writes>,
}

impl NamespaceAutoProvision {
    pub fn new(settings: &Settings) -> Self {
        NamespaceAutoProvision { writes: settings.writes.clone() }
    }
}

impl Plugin for NamespaceAutoProvision {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Create && review.kind.info().namespaced && !review.dry_run
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if find(reader, "", "namespaces", "", review.namespace).await.is_some() {
                return Ok(());
            }
            let namespace =
                tree!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": review.namespace}});
            match self.writes.create("/api/v1/namespaces", namespace).await {
                Err(status) if status.reason != "AlreadyExists" => Err(review.forbidden(&status.message)),
                _ => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, Request};
    use super::*;
    use api::{Later, Value};
    use parking_lot::Mutex;
    use stdx::Clock;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Writes for Notes {
        fn create<'a>(&'a self, path: &'a str, object: Value) -> Later<'a, Result<(), Status>> {
            self.0.lock().push(format!("{path} {}", object.str_at(&["metadata", "name"])));
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn a_missing_namespace_is_made() {
        let notes = Arc::new(Notes::default());
        let settings = Settings { writes: notes.clone(), ..Settings::new(Clock::system()) };
        let plugin = NamespaceAutoProvision::new(&settings);
        let map = tree!({"metadata": {"name": "m"}});
        let request = || Request::new(("", "configmaps"), map.clone(), None);
        let there = Cluster::new().with("", "namespaces", tree!({"metadata": {"name": "n"}}));
        assert!(request().run(&plugin, &there).await.result.is_ok());
        let dry = Request { dry_run: true, ..request() };
        assert!(dry.run(&plugin, &Cluster::new()).await.result.is_ok());
        assert!(notes.0.lock().is_empty());
        assert!(request().run(&plugin, &Cluster::new()).await.result.is_ok());
        assert_eq!(*notes.0.lock(), ["/api/v1/namespaces n"]);
    }
}
