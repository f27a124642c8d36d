//! One step for a claim: find its volume and bind it, wait, or have one made; or see that it still has what it had.

use super::storage::{self, BIND_COMPLETED, BOUND_BY_CONTROLLER};
use super::{Binder, CLAIM, provision};
use crate::pods;
use crate::reconcile::Outcome;
use api::Value;
use client::{Error, key_of};
use std::sync::Arc;

impl Binder {
    pub(super) async fn sync_claim(&self, claim: &Arc<Value>) -> Outcome {
        if storage::has_annotation(claim, BIND_COMPLETED) {
            return self.sync_bound_claim(claim).await;
        }
        match claim.str_at(&["spec", "volumeName"]) {
            "" => self.sync_free_claim(claim).await,
            volume => self.sync_choosy_claim(claim, volume).await,
        }
    }

    /// A claim that does not say which volume it wants.
    async fn sync_free_claim(&self, claim: &Value) -> Outcome {
        let class = self.classes.cache().get(storage::class_of(claim));
        let waits = storage::waits_for_consumer(class.as_deref());
        if let Some(volume) = storage::best_match(claim, &self.volumes.cache().list(""), waits) {
            return self.bind(&volume, claim).await;
        }
        if !storage::has_class(claim)
            && let Some(class) = storage::default_class(&self.classes.cache().list(""))
        {
            let mut wanted = claim.clone();
            wanted.set(&["spec", "storageClassName"], class.str_at(&["metadata", "name"]));
            return self.put_claim(&wanted).await.map(drop);
        }
        self.look_again(claim);
        if waits && !storage::has_node(claim) {
            self.tell_of_waiting(claim);
        } else if !storage::class_of(claim).is_empty() {
            return self.provision(claim, class.as_deref()).await;
        } else {
            let message = "no persistent volumes available for this claim and no storage class is set";
            self.recorder.normal(CLAIM, claim, "FailedBinding", message);
        }
        self.claim_phase(claim, "Pending", None).await.map(drop)
    }

    fn tell_of_waiting(&self, claim: &Value) {
        let name = claim.str_at(&["metadata", "name"]);
        let all = self.pods.cache().list(claim.str_at(&["metadata", "namespace"]));
        let waiting = all.iter().filter(|pod| {
            pod.str_at(&["spec", "nodeName"]).is_empty()
                && !pods::is_finished(pod)
                && pods::claims_of(pod).iter().any(|claim| claim == name)
        });
        let waiting: Vec<&str> = waiting.map(|pod| pod.str_at(&["metadata", "name"])).collect();
        let (reason, message) = match waiting.as_slice() {
            [] => {
                ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned())
            }
            [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
            pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
        };
        self.recorder.normal(CLAIM, claim, reason, &message);
    }

    async fn provision(&self, claim: &Value, class: Option<&Value>) -> Outcome {
        let Some(class) = class else {
            let message = format!("storageclass.storage.k8s.io {:?} not found", storage::class_of(claim));
            self.recorder.warning(CLAIM, claim, "ProvisioningFailed", &message);
            return Ok(());
        };
        let provisioner = match provision::external(class.str_at(&["provisioner"])) {
            Ok(provisioner) => provisioner,
            Err(message) => {
                self.recorder.warning(CLAIM, claim, "ProvisioningFailed", &message);
                return Ok(());
            }
        };
        let told = provision::told(claim, &provisioner);
        let claim = if told == *claim { told } else { self.put_claim(&told).await? };
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by \
             the system administrator. If volume creation is delayed, please verify that the provisioner is running \
             and correctly registered."
        );
        self.recorder.normal(CLAIM, &claim, "ExternalProvisioning", &message);
        Ok(())
    }

    /// A claim that names its volume.
    async fn sync_choosy_claim(&self, claim: &Value, name: &str) -> Outcome {
        let Some(volume) = self.volumes.cache().get(name) else { return self.wait(claim).await };
        if storage::is_for(&volume, claim) {
            return self.bind(&volume, claim).await;
        }
        if storage::claim_ref(&volume).is_none() {
            let Some(why) = storage::mismatch(&volume, claim) else {
                return self.bind(&volume, claim).await;
            };
            let message = format!("Cannot bind to requested volume {name:?}: {why}");
            self.recorder.warning(CLAIM, claim, "VolumeMismatch", &message);
            return self.wait(claim).await;
        }
        let message = format!("volume {name:?} already bound to a different claim.");
        self.recorder.warning(CLAIM, claim, "FailedBinding", &message);
        if storage::has_annotation(claim, BOUND_BY_CONTROLLER) {
            let other = storage::claim_key(&volume).unwrap_or_default();
            let key = key_of(claim);
            return Err(Error::Broken(format!(
                "invalid binding of claim {key:?} to volume {name:?}: volume already claimed by {other:?}"
            )));
        }
        self.wait(claim).await
    }

    async fn wait(&self, claim: &Value) -> Outcome {
        self.look_again(claim);
        self.claim_phase(claim, "Pending", None).await.map(drop)
    }

    /// A claim that had a volume: it has it still, or has lost it for good.
    async fn sync_bound_claim(&self, claim: &Value) -> Outcome {
        let name = claim.str_at(&["spec", "volumeName"]);
        if name.is_empty() {
            let message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
            return self.lose_claim(claim, "ClaimLost", message).await;
        }
        let Some(volume) = self.volumes.cache().get(name) else {
            let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
            return self.lose_claim(claim, "ClaimLost", message).await;
        };
        match storage::claim_ref(&volume).map(|claim| claim.str_at(&["uid"])) {
            Some(uid) if uid != claim.str_at(&["metadata", "uid"]) => {
                let message = "Two claims are bound to the same volume, this one is bound incorrectly";
                self.lose_claim(claim, "ClaimMisbound", message).await
            }
            _ => self.bind(&volume, claim).await,
        }
    }
}
