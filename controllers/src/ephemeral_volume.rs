//! ephemeral-volume-controller: makes the claims of pods whose volumes are made with them and go with them.

use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, owner, pods, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, WorkQueue, key_of};
use std::sync::Arc;

const WORKERS: usize = 5;
const POD: (&str, &str) = ("v1", "Pod");

#[derive(Clone)]
struct Controller {
    client: Client,
    pods: Informer,
    claims: Informer,
    recorder: Recorder,
}

fn has_ephemeral(pod: &Value) -> bool {
    pod.list_at(&["spec", "volumes"]).iter().any(|volume| volume.get("ephemeral").is_some())
}

/// Whether the claim has the name of one that is to be made for the pod.
fn wants(pod: &Value, claim: &Value) -> bool {
    let is_it = |volume: &Value| {
        volume.get("ephemeral").is_some()
            && pods::ephemeral_claim(pod, volume) == claim.str_at(&["metadata", "name"])
    };
    pod.list_at(&["spec", "volumes"]).iter().any(is_it)
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller = Controller {
        client: context.client.clone(),
        pods: context.informer(&resources::pods()),
        claims: context.informer(&resources::persistent_volume_claims()),
        recorder: Recorder::new(context.client.clone(), "ephemeral_volume", context.clock()),
    };
    let changed = queue.clone();
    controller.pods.on_change(Arc::new(move |old, new| {
        let is_new = |pod: &Value| old.is_none_or(|old| owner::uid(old) != owner::uid(pod));
        if let Some(pod) = new.filter(|pod| is_new(pod) && has_ephemeral(pod)) {
            changed.add(key_of(pod));
        }
    }));
    // A claim that somebody deleted is made again, or for the first time if it was another's.
    let (changed, pods) = (queue.clone(), controller.pods.clone());
    controller.claims.on_change(Arc::new(move |old, new| {
        if let (Some(claim), None) = (old, new) {
            let all = pods.cache().list(claim.str_at(&["metadata", "namespace"]));
            all.iter().filter(|pod| wants(pod, claim)).for_each(|pod| changed.add(key_of(pod)));
        }
    }));
    let copies = [controller.pods.clone(), controller.claims.clone()];
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("ephemeral-volume", &queue, WORKERS, &copies, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(pod) = self.pods.cache().get(key).filter(|pod| !owner::is_leaving(pod)) else {
            return Ok(());
        };
        let namespace = pod.str_at(&["metadata", "namespace"]);
        let is_ephemeral = |volume: &&Value| volume.get("ephemeral").is_some();
        for volume in pod.list_at(&["spec", "volumes"]).iter().filter(is_ephemeral) {
            let wanted = claim(&pod, volume);
            let name = wanted.str_at(&["metadata", "name"]);
            let found = self.claims.cache().get(&format!("{namespace}/{name}"));
            if let Some(found) = found {
                if owner::controller_uid(&found) != owner::uid(&pod) {
                    let why =
                        format!("PVC {namespace}/{name} was not created for pod {key} (pod is not owner)");
                    self.tell(&pod, volume, &why);
                    return Err(Error::Broken(why));
                }
                continue;
            }
            let claims = resources::persistent_volume_claims();
            match self.client.create(&claims, namespace, &wanted).await {
                Ok(made) => self.claims.caught_up(&made).await,
                Err(error) => {
                    self.tell(&pod, volume, &format!("create PVC {name}: {error}"));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn tell(&self, pod: &Value, volume: &Value, why: &str) {
        let message = format!("ephemeral volume {}: {why}", volume.str_at(&["name"]));
        self.recorder.warning(POD, pod, "FailedBinding", &message);
    }
}

/// The claim of a pod's volume.
fn claim(pod: &Value, volume: &Value) -> Value {
    let template = |path: &[&str]| volume.at(&["ephemeral", "volumeClaimTemplate"]).and_then(|t| t.at(path));
    let mut claim = tree!({
        "metadata": {
            "name": (pods::ephemeral_claim(pod, volume)), "ownerReferences": [(owner::controller_ref(pod, POD))]
        },
        "spec": (template(&["spec"]).cloned().unwrap_or_default())
    });
    for field in ["labels", "annotations"] {
        if let Some(value) = template(&["metadata", field]) {
            claim.set(&["metadata", field], value.clone());
        }
    }
    claim
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_made_after_the_template_and_belongs_to_the_pod() {
        let pod = tree!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        let volume = tree!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}}});
        let claim = claim(&pod, &volume);
        assert_eq!(claim.str_at(&["metadata", "name"]), "p-scratch");
        assert_eq!(owner::controller_uid(&claim), "u");
        assert_eq!(claim.str_at(&["metadata", "labels", "a"]), "b");
        assert_eq!(claim.list_at(&["spec", "accessModes"]).len(), 1);
    }

    #[test]
    fn a_pod_waits_for_the_name_of_its_claim_whoever_has_it() {
        let pod = tree!({"metadata": {"name": "p"}, "spec": {"volumes": [
            {"name": "scratch", "ephemeral": {}}, {"name": "other", "emptyDir": {}}]}});
        let claim = |name: &str| tree!({"metadata": {"name": name}});
        assert!(wants(&pod, &claim("p-scratch")));
        assert!(!wants(&pod, &claim("p-other")) && !wants(&pod, &claim("scratch")));
    }
}
