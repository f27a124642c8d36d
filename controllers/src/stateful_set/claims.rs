//! The claims of a stateful set's pods: made from templates with the pods, and kept, or gone with the set or with pods
//! that it no longer has, as persistentVolumeClaimRetentionPolicy says: the garbage collector sees to that by owners.

use super::{Controller, KIND, first_ordinal, ordinal, replicas};
use crate::owner;
use crate::reconcile::{Outcome, unless_gone};
use crate::resources;
use api::Value;
use client::{Error, key_of};
use std::sync::Arc;

const POD: (&str, &str) = ("v1", "Pod");

pub(super) fn claim_name(set: &Value, template: &Value, n: i64) -> String {
    format!("{}-{}-{n}", template.str_at(&["metadata", "name"]), set.str_at(&["metadata", "name"]))
}

/// The owners that a claim is to have: others as they are, and the set or the pod as the policy says. Nothing when they
/// are so already, or when somebody else controls the claim.
fn wanted_owners(set: &Value, pod: &Value, claim: &Value) -> Option<Value> {
    let n = ordinal(set, pod)?;
    let deletes =
        |when: &str| set.str_at(&["spec", "persistentVolumeClaimRetentionPolicy", when]) == "Delete";
    let is_surplus = n < first_ordinal(set) || n >= first_ordinal(set) + replicas(set);
    let pod_name = pod.str_at(&["metadata", "name"]);
    let is_ours = |reference: &Value| {
        let kind = reference.str_at(&["kind"]);
        (kind == KIND.1 && reference.str_at(&["uid"]) == owner::uid(set))
            || (kind == POD.1 && reference.str_at(&["name"]) == pod_name)
    };
    let held = claim.list_at(&["metadata", "ownerReferences"]);
    let mut owners: Vec<Value> = held.iter().filter(|reference| !is_ours(reference)).cloned().collect();
    if owners.iter().any(|reference| reference.bool_at(&["controller"])) {
        return None;
    }
    if deletes("whenScaled") && is_surplus {
        owners.push(owner::controller_ref(pod, POD));
    } else if deletes("whenDeleted") {
        owners.push(owner::controller_ref(set, KIND));
    }
    (owners.as_slice() != held).then(|| owners.into())
}

/// Whether a claim is to go with the pod of this name that was there before, and is none for the next.
fn is_stale(set: &Value, pod: &str, claim: &Value) -> bool {
    let belongs = |owner: &Value| owner.str_at(&["kind"]) == POD.1 && owner.str_at(&["name"]) == pod;
    set.str_at(&["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"]) == "Delete"
        && claim.list_at(&["metadata", "ownerReferences"]).iter().any(belongs)
}

impl Controller {
    /// A claim is gone: who waited for its name may make it again.
    pub(super) fn claim_gone(&self, claim: &Value) {
        for set in self.sets.cache().list(claim.str_at(&["metadata", "namespace"])) {
            if super::selector(&set).matches(claim.map_at(&["metadata", "labels"])) {
                self.queue.add(key_of(&set));
            }
        }
    }

    /// Gives the claims of pods the owners that they are to have.
    pub(super) async fn keep_claims(&self, set: &Value, pods: &[Arc<Value>]) -> Outcome {
        let namespace = set.str_at(&["metadata", "namespace"]);
        for pod in pods {
            let Some(n) = ordinal(set, pod) else { continue };
            for template in set.list_at(&["spec", "volumeClaimTemplates"]) {
                let name = claim_name(set, template, n);
                let Some(claim) = self.claims.cache().get(&format!("{namespace}/{name}")) else { continue };
                let Some(owners) = wanted_owners(set, pod, &claim) else { continue };
                let mut wanted = (*claim).clone();
                wanted.set(&["metadata", "ownerReferences"], owners);
                let claims = resources::persistent_volume_claims();
                if let Some(written) = unless_gone(self.client.update(&claims, namespace, &wanted).await)? {
                    self.claims.caught_up(&written).await;
                }
            }
        }
        Ok(())
    }

    /// Makes the claims of a pod that are not there yet.
    pub(super) async fn make_claims(&self, set: &Value, pod: &Value, n: i64) -> Outcome {
        let namespace = set.str_at(&["metadata", "namespace"]);
        let pod = pod.str_at(&["metadata", "name"]);
        for template in set.list_at(&["spec", "volumeClaimTemplates"]) {
            let name = claim_name(set, template, n);
            if let Some(claim) = self.claims.cache().get(&format!("{namespace}/{name}")) {
                if owner::is_leaving(&claim) || is_stale(set, pod, &claim) {
                    return Err(Error::Broken(format!("pvc {name} is being deleted")));
                }
                continue;
            }
            let claim = new_claim(set, template, &name);
            let set_name = set.str_at(&["metadata", "name"]);
            let about = format!("create Claim {name} Pod {pod} in StatefulSet {set_name}");
            match self.client.create(&resources::persistent_volume_claims(), namespace, &claim).await {
                Err(error) if !error.is_already_exists() => {
                    let message = format!("{about} failed error: {error}");
                    self.recorder.warning(KIND, set, "FailedCreate", &message);
                    return Err(error);
                }
                _ => self.recorder.normal(KIND, set, "SuccessfulCreate", &format!("{about} success")),
            }
        }
        Ok(())
    }
}

fn new_claim(set: &Value, template: &Value, name: &str) -> Value {
    let mut claim = template.clone();
    claim.unset(&["status"]);
    claim.set(&["metadata", "name"], name);
    claim.set(&["metadata", "namespace"], set.str_at(&["metadata", "namespace"]));
    let labels = set.map_at(&["spec", "selector", "matchLabels"]).cloned().unwrap_or_default();
    for (key, value) in labels.iter() {
        claim.set(&["metadata", "labels", key], value.clone());
    }
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn owners(deleted: &str, scaled: &str, n: i64, held: Value) -> Option<Vec<String>> {
        let set = tree!({"metadata": {"name": "s", "uid": "set"}, "spec": {"replicas": 2,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}}});
        let pod = tree!({"metadata": {"name": (format!("s-{n}")), "uid": "pod"}});
        let wanted = wanted_owners(&set, &pod, &tree!({"metadata": {"ownerReferences": held}}))?;
        Some(wanted.as_list()?.iter().map(|o| o.str_at(&["uid"]).to_owned()).collect())
    }

    #[test]
    fn a_claim_that_goes_with_the_pod_before_is_not_used_again() {
        let set =
            |when: &str| tree!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": when}}});
        let claim =
            tree!({"metadata": {"ownerReferences": [{"kind": "Pod", "name": "s-2", "uid": "before"}]}});
        assert!(is_stale(&set("Delete"), "s-2", &claim));
        assert!(!is_stale(&set("Retain"), "s-2", &claim) && !is_stale(&set("Delete"), "s-1", &claim));
        assert!(!is_stale(&set("Delete"), "s-2", &Value::map()));
    }

    #[test]
    fn claims_belong_to_the_set_or_to_a_pod_it_no_longer_wants() {
        let none = || tree!([]);
        assert_eq!(owners("Retain", "Retain", 0, none()), None);
        assert_eq!(owners("Delete", "Retain", 5, none()), Some(vec!["set".into()]));
        assert_eq!(owners("Retain", "Delete", 0, none()), None);
        assert_eq!(owners("Retain", "Delete", 5, none()), Some(vec!["pod".into()]));
        assert_eq!(owners("Delete", "Delete", 0, none()), Some(vec!["set".into()]));
        assert_eq!(owners("Delete", "Delete", 5, none()), Some(vec!["pod".into()]));
        let ours = || tree!([{"kind": "StatefulSet", "name": "s", "uid": "set"}]);
        assert_eq!(owners("Retain", "Retain", 0, ours()), Some(vec![]));
        let other = || tree!([{"kind": "Other", "name": "x", "uid": "x", "controller": true}]);
        assert_eq!(owners("Delete", "Delete", 0, other()), None);
    }
}
