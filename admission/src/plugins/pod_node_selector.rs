//! PodNodeSelector: pods run on the nodes of their namespace.
//!
//! In a namespace annotated `scheduler.alpha.kubernetes.io/node-selector: env=test` a pod gets `nodeSelector: {env:
//! test}`; one that asks for `env: prod` is refused. By configuration there are a selector for namespaces without one
//! (`clusterDefaultNodeSelector`) and, by namespace, labels beyond which pods may not ask.

use super::{Plugin, Settings, find};
use crate::review::{Cluster, Review};
use api::{Fault, Map, Status, Value, names};
use futures::future::BoxFuture;
use std::collections::BTreeMap;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const DEFAULT: &str = "clusterDefaultNodeSelector";

type Labels = BTreeMap<String, String>;

pub struct PodNodeSelector {
    selectors: Value,
}

impl PodNodeSelector {
    pub fn new(settings: &Settings) -> Self {
        let configuration = settings.configurations.get("PodNodeSelector");
        let selectors = configuration.and_then(|c| c.get("podNodeSelectorPluginConfig")).cloned();
        PodNodeSelector { selectors: selectors.unwrap_or_else(Value::map) }
    }

    async fn of_namespace(&self, name: &str, reader: &dyn Cluster) -> Result<Labels, Status> {
        let Some(namespace) = find(reader, "", "namespaces", "", name).await else {
            return Err(Status::internal(format!("namespace {name} does not exist")));
        };
        let own = namespace.at(&["metadata", "annotations", ANNOTATION]).and_then(Value::as_str);
        parse(own.unwrap_or_else(|| self.selectors.str_at(&[DEFAULT])))
    }

    /// Merges the selector of the namespace into the pod's, then checks the result.
    async fn apply(&self, review: &mut Review<'_>, reader: &dyn Cluster, change: bool) -> Result<(), Status> {
        let of_namespace = self.of_namespace(review.namespace, reader).await?;
        let Some(pod) = review.object.as_deref_mut() else { return Ok(()) };
        let mut wanted = labels(pod);
        if of_namespace.iter().any(|(key, value)| wanted.get(key).is_some_and(|own| own != value)) {
            return Err(
                review.forbidden("pod node label selector conflicts with its namespace node label selector")
            );
        }
        if change {
            for (key, value) in of_namespace {
                wanted.entry(key).or_insert(value);
            }
            if !wanted.is_empty() {
                let map: Map = wanted.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                pod.set(&["spec", "nodeSelector"], map);
            }
        }
        let allowed = parse(self.selectors.str_at(&[review.namespace]))?;
        if !allowed.is_empty() && wanted.iter().any(|(key, value)| allowed.get(key) != Some(value)) {
            return Err(
                review.forbidden("pod node label selector labels conflict with its namespace whitelist")
            );
        }
        Ok(())
    }
}

impl Plugin for PodNodeSelector {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.creates("", "pods")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.apply(review, reader, true))
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.apply(review, reader, false))
    }
}

fn labels(pod: &Value) -> Labels {
    let map = pod.map_at(&["spec", "nodeSelector"]);
    let pairs = map.into_iter().flat_map(Map::iter);
    pairs.map(|(key, value)| (key.to_string(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// `a=b,c=d`.
fn parse(text: &str) -> Result<Labels, Status> {
    let mut labels = Labels::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let sides: Vec<&str> = part.split('=').collect();
        let [key, value] = sides.as_slice() else {
            return Err(Status::unclassified(format!("invalid selector: [{}]", sides.join(" "))));
        };
        let (key, value) = (key.trim(), value.trim());
        let wrong = |shown: &str, why: Vec<String>| {
            Status::unclassified(Fault::invalid("<nil>", shown, why.join("; ")).to_string())
        };
        let (of_key, of_value) = (names::is_qualified_name(key), names::is_label_value(value));
        if !of_key.is_empty() {
            return Err(wrong(key, of_key));
        }
        if !of_value.is_empty() {
            return Err(wrong(value, of_value));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, admit};
    use super::*;
    use api::tree;
    use stdx::Clock;

    fn plugin(selectors: Value) -> PodNodeSelector {
        let mut settings = Settings::new(Clock::system());
        let value = tree!({"podNodeSelectorPluginConfig": selectors});
        settings.configurations.insert("PodNodeSelector".to_owned(), value);
        PodNodeSelector::new(&settings)
    }

    fn cluster(selector: Option<&str>) -> testing::Cluster {
        let mut namespace = tree!({"metadata": {"name": "n"}});
        if let Some(selector) = selector {
            namespace.set(&["metadata", "annotations", ANNOTATION], selector);
        }
        testing::Cluster::new().with("", "namespaces", namespace)
    }

    fn pod(selector: Value) -> Value {
        tree!({"metadata": {"name": "p"}, "spec": {"nodeSelector": selector}})
    }

    #[tokio::test]
    async fn selectors_are_merged_and_conflicts_refused() {
        let plugin = plugin(tree!({"clusterDefaultNodeSelector": "zone=a"}));
        let test = cluster(Some("env=test"));
        let merged = admit(&plugin, &test, "pods", pod(tree!({"disk": "ssd"}))).await.unwrap();
        assert_eq!(merged.at(&["spec", "nodeSelector"]), Some(&tree!({"disk": "ssd", "env": "test"})));
        let status = admit(&plugin, &test, "pods", pod(tree!({"env": "prod"}))).await.unwrap_err();
        assert!(status.message.ends_with("conflicts with its namespace node label selector"));
        let default = admit(&plugin, &cluster(None), "pods", pod(tree!({}))).await.unwrap();
        assert_eq!(default.at(&["spec", "nodeSelector"]), Some(&tree!({"zone": "a"})));
        let wrong = admit(&plugin, &cluster(Some("a")), "pods", pod(tree!({}))).await.unwrap_err();
        assert_eq!(wrong.message, "invalid selector: [a]");
    }

    #[tokio::test]
    async fn a_namespace_may_be_held_to_some_labels() {
        let (plugin, cluster) = (plugin(tree!({"n": "env=test,disk=ssd"})), cluster(None));
        assert!(admit(&plugin, &cluster, "pods", pod(tree!({"env": "test"}))).await.is_ok());
        let status = admit(&plugin, &cluster, "pods", pod(tree!({"env": "prod"}))).await.unwrap_err();
        assert!(status.message.ends_with("labels conflict with its namespace whitelist"));
    }
}
