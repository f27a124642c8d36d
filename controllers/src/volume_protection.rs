//! pvc-protection-controller and pv-protection-controller: a claim in use by a pod and a volume in use by a claim stay
//! until nobody uses them; then the finalizer that holds them goes.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, owner, pods, resources};
use api::Value;
use client::{Client, Informer, Resource, WorkQueue, key_of};
use std::sync::Arc;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

pub fn start_claims(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let (claims, pods) =
        (context.informer(&resources::persistent_volume_claims()), context.informer(&resources::pods()));
    claims.on_change(reconcile::enqueue(&queue));
    let changed = queue.clone();
    pods.on_change(Arc::new(move |old, new| {
        if let Some(pod) = new.or(old).filter(|pod| new.is_none() || pods::is_finished(pod)) {
            for claim in pods::claims_of(pod) {
                changed.add(format!("{}/{claim}", pod.str_at(&["metadata", "namespace"])));
            }
        }
    }));
    let (client, copies) = (context.client.clone(), [claims.clone(), pods.clone()]);
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("pvc-protection", &queue, 2, &copies, move |key| {
        let (client, claims, pods) = (client.clone(), claims.clone(), pods.clone());
        async move {
            let Some(claim) = claims.cache().get(&key) else { return Ok(()) };
            let all = pods.cache().list(reconcile::split(&key).0);
            let in_use = all.iter().any(|pod| uses(pod, claim.str_at(&["metadata", "name"])));
            release(&client, &resources::persistent_volume_claims(), &claim, CLAIM_FINALIZER, in_use).await
        }
    });
}

pub fn start_volumes(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let volumes = context.informer(&resources::persistent_volumes());
    volumes.on_change(reconcile::enqueue(&queue));
    let (client, copies) = (context.client.clone(), [volumes.clone()]);
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("pv-protection", &queue, 1, &copies, move |key| {
        let (client, volumes) = (client.clone(), volumes.clone());
        async move {
            let Some(volume) = volumes.cache().get(&key) else { return Ok(()) };
            let in_use = volume.str_at(&["status", "phase"]) == "Bound";
            release(&client, &resources::persistent_volumes(), &volume, VOLUME_FINALIZER, in_use).await
        }
    });
}

/// A pod holds a claim from when it has a node until it is finished.
fn uses(pod: &Value, claim: &str) -> bool {
    let scheduled = !pod.str_at(&["spec", "nodeName"]).is_empty();
    scheduled && !pods::is_finished(pod) && pods::claims_of(pod).iter().any(|name| name == claim)
}

/// Takes the finalizer off an object that leaves and is not in use. Those that were made without it are left so.
async fn release(
    client: &Client,
    resource: &Resource,
    object: &Value,
    finalizer: &str,
    in_use: bool,
) -> Outcome {
    let mut finalizers = object.list_at(&["metadata", "finalizers"]).to_vec();
    let held = finalizers.iter().any(|f| f.as_str() == Some(finalizer));
    if !held || in_use || !owner::is_leaving(object) {
        return Ok(());
    }
    finalizers.retain(|f| f.as_str() != Some(finalizer));
    let mut wanted = object.clone();
    wanted.set(&["metadata", "finalizers"], Value::List(finalizers));
    tracing::debug!(object = key_of(object), finalizer, "nobody uses it any more");
    unless_gone(client.update(resource, object.str_at(&["metadata", "namespace"]), &wanted).await)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_claim_is_in_use_while_a_scheduled_pod_is_not_finished() {
        let mut pod = tree!({"metadata": {"name": "p"}, "spec": {"volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "ephemeral": {}}]}});
        assert!(!uses(&pod, "data"));
        pod.set(&["spec", "nodeName"], "n");
        assert!(uses(&pod, "data") && uses(&pod, "p-e") && !uses(&pod, "other"));
        pod.set(&["status", "phase"], "Failed");
        assert!(!uses(&pod, "data"));
    }
}
