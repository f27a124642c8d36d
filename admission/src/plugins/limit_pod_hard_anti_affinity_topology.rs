//! LimitPodHardAntiAffinityTopology: pods may keep others away from their node, not from larger parts of the cluster.
//!
//! `requiredDuringScheduling…` terms of `podAntiAffinity` with another `topologyKey` than `kubernetes.io/hostname` are
//! refused.

use super::Plugin;
use crate::review::{Cluster, Review};
use api::Status;
use futures::future::BoxFuture;

const HOSTNAME: &str = "kubernetes.io/hostname";
const TERMS: [&str; 4] =
    ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];

pub struct LimitPodHardAntiAffinityTopology;

impl Plugin for LimitPodHardAntiAffinityTopology {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.writes("", "pods")
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let terms = review.object.as_deref().map(|pod| pod.list_at(&TERMS)).unwrap_or_default();
        let wider = terms.iter().map(|term| term.str_at(&["topologyKey"])).find(|key| *key != HOSTNAME);
        let refusal = wider.map(|key| {
            review.forbidden(&format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
            ))
        });
        Box::pin(std::future::ready(refusal.map_or(Ok(()), Err)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn only_nodes_may_be_kept_free() {
        for (key, fine) in [(HOSTNAME, true), ("topology.kubernetes.io/zone", false)] {
            let mut pod = tree!({"metadata": {"name": "p"}, "spec": {}});
            pod.set(&TERMS, tree!([{"topologyKey": key}]));
            let outcome = admit(&LimitPodHardAntiAffinityTopology, &Cluster::new(), "pods", pod).await;
            assert_eq!(outcome.is_ok(), fine);
        }
    }
}
