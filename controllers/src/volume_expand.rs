//! expand-controller: says of claims that ask for more than they have that somebody outside must make their volumes
//! larger; no kind of volume that is left can be enlarged from here.

use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, resources};
use api::{Quantity, Value};
use client::{Informer, WorkQueue, key_of};
use std::sync::Arc;

const CLAIM: (&str, &str) = ("v1", "PersistentVolumeClaim");

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let claims = context.informer(&resources::persistent_volume_claims());
    let volumes = context.informer(&resources::persistent_volumes());
    let recorder = Recorder::new(context.client.clone(), "volume_expand", context.clock());
    let changed = queue.clone();
    claims.on_change(Arc::new(move |old, new| {
        let Some(claim) = new.filter(|claim| claim.str_at(&["status", "phase"]) == "Bound") else { return };
        if old.is_none_or(|old| requested(claim) > requested(old) || capacity(claim) > capacity(old)) {
            changed.add(key_of(claim));
        }
    }));
    let copies = [claims.clone(), volumes.clone()];
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("volume-expand", &queue, 1, &copies, move |key| {
        let (claim, recorder) = (claims.cache().get(&key), recorder.clone());
        let volume = claim.as_ref().and_then(|c| volumes.cache().get(c.str_at(&["spec", "volumeName"])));
        async move {
            if let (Some(claim), Some(volume)) = (claim, volume) {
                tell(&recorder, &claim, &volume);
            }
            Ok(()) as Outcome
        }
    });
}

fn quantity(object: &Value, path: &[&str]) -> Quantity {
    Quantity::parse(object.str_at(path)).unwrap_or_default()
}

fn requested(claim: &Value) -> Quantity {
    quantity(claim, &["spec", "resources", "requests", "storage"])
}

fn capacity(claim: &Value) -> Quantity {
    quantity(claim, &["status", "capacity", "storage"])
}

fn tell(recorder: &Recorder, claim: &Value, volume: &Value) {
    let is_its = volume.str_at(&["spec", "claimRef", "uid"]) == claim.str_at(&["metadata", "uid"]);
    if is_its && requested(claim) > capacity(claim) {
        let message = "waiting for an external controller to expand this PVC";
        recorder.normal(CLAIM, claim, "ExternalExpanding", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn sizes_are_compared_as_quantities() {
        let claim = tree!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}, "status": {"capacity": {"storage": "2000Mi"}}});
        assert!(requested(&claim) > capacity(&claim));
    }
}
