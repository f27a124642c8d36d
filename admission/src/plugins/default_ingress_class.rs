//! DefaultIngressClass: an Ingress that names no class gets the default one (annotated
//! `ingressclass.kubernetes.io/is-default-class: "true"`), the newest when there are several.

use super::{Plugin, default_class};
use crate::review::{Cluster, Review};
use api::Status;
use futures::future::BoxFuture;

const GROUP: &str = "networking.k8s.io";
const ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
/// How an Ingress named its class before there was a field for it.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

pub struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.creates(GROUP, "ingresses")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(ingress) = review.object.as_deref_mut() else { return Ok(()) };
            let named = ingress.at(&["spec", "ingressClassName"]).is_some()
                || ingress.at(&["metadata", "annotations", OLD_CLASS]).is_some();
            if !named && let Some(class) = default_class(reader, GROUP, "ingressclasses", &[ANNOTATION]).await
            {
                ingress.set(&["spec", "ingressClassName"], class);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, run};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn a_class_named_the_old_way_is_a_class() {
        let class = tree!({"metadata": {"name": "web", "annotations": {ANNOTATION: "true"}}});
        let cluster = Cluster::new().with(GROUP, "ingressclasses", class);
        let place = (GROUP, "ingresses");
        let plain = run(&DefaultIngressClass, &cluster, place, tree!({"spec": {}}), None).await.unwrap();
        assert_eq!(plain.str_at(&["spec", "ingressClassName"]), "web");
        let old = tree!({"metadata": {"annotations": {OLD_CLASS: "x"}}, "spec": {}});
        assert_eq!(run(&DefaultIngressClass, &cluster, place, old.clone(), None).await.unwrap(), old);
    }
}
