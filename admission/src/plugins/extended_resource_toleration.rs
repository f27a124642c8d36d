//! ExtendedResourceToleration: who asks for a device tolerates the nodes that are kept for it.
//!
//! A container with `requests: {example.com/gpu: 1}` gives its pod the toleration `{key: example.com/gpu, operator:
//! Exists, effect: NoSchedule}`.

use super::Plugin;
use crate::review::{Cluster, Review};
use api::resources::is_extended;
use api::{Map, Status, Value, tree};
use futures::future::BoxFuture;
use std::collections::BTreeSet;

pub struct ExtendedResourceToleration;

impl Plugin for ExtendedResourceToleration {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.writes("", "pods")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let Some(pod) = review.object.as_deref_mut() {
            asked_for(pod).iter().for_each(|name| tolerate(pod, name));
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn asked_for(pod: &Value) -> BTreeSet<String> {
    ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod.list_at(&["spec", list]))
        .filter_map(|container| container.map_at(&["resources", "requests"]))
        .flat_map(Map::keys)
        .filter(|name| is_extended(name))
        .map(ToString::to_string)
        .collect()
}

/// Adds the toleration, in place of one that differs in its seconds only.
fn tolerate(pod: &mut Value, name: &str) {
    let wanted = tree!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
    let is_alike = |toleration: &Value| {
        ["key", "operator", "effect", "value"]
            .iter()
            .all(|field| toleration.str_at(&[field]) == wanted.str_at(&[field]))
    };
    let mut list = pod.list_at(&["spec", "tolerations"]).to_vec();
    match list.iter_mut().find(|toleration| is_alike(toleration)) {
        Some(present) => *present = wanted,
        None => list.push(wanted),
    }
    pod.set(&["spec", "tolerations"], list);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;

    #[tokio::test]
    async fn devices_are_tolerated_once() {
        let pod = tree!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"resources": {"requests": {"cpu": "1", "b.com/x": "1"}}}],
            "initContainers": [{"resources": {"requests": {"a.com/x": "1", "b.com/x": "1"}}}],
            "tolerations": [{"key": "b.com/x", "operator": "Exists", "effect": "NoSchedule"}]
        }});
        let pod = admit(&ExtendedResourceToleration, &Cluster::new(), "pods", pod).await.unwrap();
        let keys: Vec<&str> =
            pod.list_at(&["spec", "tolerations"]).iter().map(|t| t.str_at(&["key"])).collect();
        assert_eq!(keys, ["b.com/x", "a.com/x"]);
    }
}
