//! pvc-protection-controller, pv-protection-controller and volumeattributesclass-protection-controller: a claim in use
//! by a pod, a volume in use by a claim, and a class of attributes that a claim or volume has or is to get stay until
//! nobody uses them; then the finalizer that holds them goes.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, owner, pods, resources};
use api::Value;
use client::{Client, Error, Informer, Resource, WorkQueue, key_of};
use std::sync::Arc;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";
const CLASS_FINALIZER: &str = "kubernetes.io/vac-protection";
/// Where claims and volumes name classes of attributes.
const CLASSES: [&[&str]; 3] = [
    &["spec", "volumeAttributesClassName"],
    &["status", "currentVolumeAttributesClassName"],
    &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
];

pub fn start_claims(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let (claims, pods) =
        (context.informer(&resources::persistent_volume_claims()), context.informer(&resources::pods()));
    claims.on_change(reconcile::enqueue(&queue));
    let changed = queue.clone();
    pods.on_change(Arc::new(move |old, new| {
        let gone = old.filter(|old| new.is_none_or(|new| owner::uid(new) != owner::uid(old)));
        for pod in gone.into_iter().chain(new.filter(|pod| lets_go(pod))) {
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
            if !waits(&claim, CLAIM_FINALIZER) || is_in_use(&client, &pods, &claim).await? {
                return Ok(());
            }
            release(&client, &resources::persistent_volume_claims(), &claim, CLAIM_FINALIZER).await
        }
    });
}

/// Whether a pod uses the claim; the server is asked before it counts as free, as the copy may lag.
async fn is_in_use(client: &Client, pods: &Informer, claim: &Value) -> Result<bool, Error> {
    let namespace = claim.str_at(&["metadata", "namespace"]);
    if pods.cache().list(namespace).iter().any(|pod| uses(pod, claim)) {
        return Ok(true);
    }
    let live = client.list(&resources::pods(), namespace, "").await?;
    Ok(live.list_at(&["items"]).iter().any(|pod| uses(pod, claim)))
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
            if !waits(&volume, VOLUME_FINALIZER) || volume.str_at(&["status", "phase"]) == "Bound" {
                return Ok(());
            }
            release(&client, &resources::persistent_volumes(), &volume, VOLUME_FINALIZER).await
        }
    });
}

pub fn start_attributes_classes(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let classes = context.informer(&resources::volume_attributes_classes());
    classes.on_change(reconcile::enqueue(&queue));
    let users = [resources::persistent_volume_claims(), resources::persistent_volumes()];
    let users = users.map(|resource| context.informer(&resource));
    for informer in &users {
        let changed = queue.clone();
        informer.on_change(Arc::new(move |old, new| {
            let named = |object: &Value, class| classes_of(object).any(|other| other == class);
            for class in old.into_iter().flat_map(|old| classes_of(old)) {
                if new.is_none_or(|new| !named(new, class)) {
                    changed.add(class.to_owned());
                }
            }
        }));
    }
    let (client, copies) = (context.client.clone(), [classes.clone(), users[0].clone(), users[1].clone()]);
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("volumeattributesclass-protection", &queue, 1, &copies, move |name| {
        let (client, classes, users) = (client.clone(), classes.clone(), users.clone());
        async move {
            let Some(class) = classes.cache().get(&name) else { return Ok(()) };
            let has = |object: &Arc<Value>| classes_of(object).any(|class| class == name);
            if !waits(&class, CLASS_FINALIZER) || users.iter().any(|all| all.cache().list("").iter().any(has))
            {
                return Ok(());
            }
            release(&client, &resources::volume_attributes_classes(), &class, CLASS_FINALIZER).await
        }
    });
}

/// The classes that a claim or volume has or is to get.
fn classes_of(object: &Value) -> impl Iterator<Item = &str> {
    CLASSES.into_iter().map(|path| object.str_at(path)).filter(|name| !name.is_empty())
}

/// A pod that may have let go of a claim, or never had it.
fn lets_go(pod: &Value) -> bool {
    pods::is_finished(pod) || is_shut_down(pod) || pod.str_at(&["spec", "nodeName"]).is_empty()
}

/// The kubelet is done with the pod, or somebody forced it away: only finalizers keep it.
fn is_shut_down(pod: &Value) -> bool {
    owner::is_leaving(pod) && pod.i64_at(&["metadata", "deletionGracePeriodSeconds"]) == Some(0)
}

/// A pod holds a claim from when it has a node for as long as it is there, finished or not: it may still have the
/// volume mounted. A claim that was made for the pod only until the pod is shut down, lest each waits for the other.
fn uses(pod: &Value, claim: &Value) -> bool {
    if pod.str_at(&["spec", "nodeName"]).is_empty() {
        return false;
    }
    let name = claim.str_at(&["metadata", "name"]);
    pod.list_at(&["spec", "volumes"]).iter().any(|volume| {
        volume.str_at(&["persistentVolumeClaim", "claimName"]) == name
            || (volume.get("ephemeral").is_some()
                && !is_shut_down(pod)
                && pods::ephemeral_claim(pod, volume) == name
                && owner::controller_uid(claim) == owner::uid(pod))
    })
}

/// An object that leaves and has the finalizer. Those that were made without it are left so.
fn waits(object: &Value, finalizer: &str) -> bool {
    let held = object.list_at(&["metadata", "finalizers"]);
    owner::is_leaving(object) && held.iter().any(|f| f.as_str() == Some(finalizer))
}

/// Takes the finalizer off.
async fn release(client: &Client, resource: &Resource, object: &Value, finalizer: &str) -> Outcome {
    let mut finalizers = object.list_at(&["metadata", "finalizers"]).to_vec();
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

    fn claim(name: &str, owner: &str) -> Value {
        tree!({"metadata": {"name": name, "ownerReferences": [{"uid": owner, "controller": true}]}})
    }

    #[test]
    fn a_claim_is_in_use_while_a_scheduled_pod_is_there_even_a_finished_one() {
        let mut pod = tree!({"metadata": {"name": "p"}, "spec": {"volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
        assert!(!uses(&pod, &claim("data", "")) && lets_go(&pod));
        pod.set(&["spec", "nodeName"], "n");
        assert!(uses(&pod, &claim("data", "")) && !uses(&pod, &claim("other", "")) && !lets_go(&pod));
        for phase in ["Succeeded", "Failed"] {
            pod.set(&["status", "phase"], phase);
            assert!(uses(&pod, &claim("data", "")), "{phase}");
        }
    }

    #[test]
    fn classes_are_those_that_a_claim_has_or_is_to_get() {
        let claim = tree!({"spec": {"volumeAttributesClassName": "gold"}, "status": {
            "currentVolumeAttributesClassName": "silver", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"}}});
        assert_eq!(classes_of(&claim).collect::<Vec<_>>(), ["gold", "silver", "gold"]);
        assert_eq!(classes_of(&Value::map()).count(), 0);
    }

    #[test]
    fn a_claim_made_for_a_pod_is_free_once_that_pod_is_shut_down() {
        let mut pod = tree!({"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": "n", "volumes": [
            {"name": "e", "ephemeral": {}}, {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
        assert!(uses(&pod, &claim("p-e", "u")) && !uses(&pod, &claim("p-e", "another")));
        pod.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        pod.set(&["metadata", "deletionGracePeriodSeconds"], 30);
        assert!(uses(&pod, &claim("p-e", "u")) && !lets_go(&pod));
        pod.set(&["metadata", "deletionGracePeriodSeconds"], 0);
        assert!(!uses(&pod, &claim("p-e", "u")) && uses(&pod, &claim("data", "")) && lets_go(&pod));
    }
}
