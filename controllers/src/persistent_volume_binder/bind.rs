//! The writes of the binder: what ties a volume and a claim together or apart, and the phases of both. Each waits
//! until the local copy shows it, so that no volume is given away twice.

use super::Binder;
use super::storage::{self, BIND_COMPLETED, BOUND_BY_CONTROLLER};
use crate::reconcile::Outcome;
use crate::resources;
use api::Value;
use client::{Error, reference};

/// The capacity that a claim had before its volume grew, until the node has done its part.
const BEFORE_RESIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

impl Binder {
    pub async fn put_volume(&self, volume: &Value) -> Result<Value, Error> {
        let written = self.client.update(&resources::persistent_volumes(), "", volume).await?;
        self.volumes.caught_up(&written).await;
        Ok(written)
    }

    pub async fn put_claim(&self, claim: &Value) -> Result<Value, Error> {
        let namespace = claim.str_at(&["metadata", "namespace"]);
        let written = self.client.update(&resources::persistent_volume_claims(), namespace, claim).await?;
        self.claims.caught_up(&written).await;
        Ok(written)
    }

    /// Ties a volume and a claim together and marks both as bound; does nothing where that is done.
    pub async fn bind(&self, volume: &Value, claim: &Value) -> Outcome {
        let volume = self.tie_volume(volume, claim).await?;
        let volume = self.volume_phase(&volume, "Bound", "").await?;
        let claim = self.tie_claim(claim, &volume).await?;
        self.claim_phase(&claim, "Bound", Some(&volume)).await.map(drop)
    }

    async fn tie_volume(&self, volume: &Value, claim: &Value) -> Result<Value, Error> {
        let mut wanted = volume.clone();
        let uid = claim.str_at(&["metadata", "uid"]);
        if !storage::is_for(volume, claim) {
            wanted.set(&["metadata", "annotations", BOUND_BY_CONTROLLER], "yes");
        }
        if !storage::is_for(volume, claim) || volume.str_at(&["spec", "claimRef", "uid"]) != uid {
            wanted.set(&["spec", "claimRef"], reference(("v1", "PersistentVolumeClaim"), claim));
        }
        if wanted == *volume { Ok(wanted) } else { self.put_volume(&wanted).await }
    }

    async fn tie_claim(&self, claim: &Value, volume: &Value) -> Result<Value, Error> {
        let mut wanted = claim.clone();
        let name = volume.str_at(&["metadata", "name"]);
        if claim.str_at(&["spec", "volumeName"]) != name {
            wanted.set(&["spec", "volumeName"], name);
            if !storage::has_annotation(claim, BOUND_BY_CONTROLLER) {
                wanted.set(&["metadata", "annotations", BOUND_BY_CONTROLLER], "yes");
            }
        }
        if !storage::has_annotation(claim, BIND_COMPLETED) {
            wanted.set(&["metadata", "annotations", BIND_COMPLETED], "yes");
        }
        if wanted == *claim { Ok(wanted) } else { self.put_claim(&wanted).await }
    }

    /// Takes back that a volume is for a claim. One that somebody reserved stays reserved.
    pub async fn untie(&self, volume: &Value) -> Outcome {
        let mut wanted = volume.clone();
        if storage::has_annotation(volume, BOUND_BY_CONTROLLER) {
            wanted.unset(&["spec", "claimRef"]);
            wanted.unset(&["metadata", "annotations", BOUND_BY_CONTROLLER]);
        } else {
            wanted.unset(&["spec", "claimRef", "uid"]);
        }
        let written = self.put_volume(&wanted).await?;
        self.volume_phase(&written, "Available", "").await.map(drop)
    }

    /// The volume in a phase, as the server then has it.
    pub async fn volume_phase(&self, volume: &Value, phase: &str, message: &str) -> Result<Value, Error> {
        if volume.str_at(&["status", "phase"]) == phase {
            return Ok(volume.clone());
        }
        let mut wanted = volume.clone();
        wanted.set(&["status", "phase"], phase);
        match message {
            "" => drop(wanted.unset(&["status", "message"])),
            message => wanted.set(&["status", "message"], message),
        }
        let volumes = resources::persistent_volumes();
        let written = self.client.update_lens(&volumes, "", "status", &wanted).await?;
        self.volumes.caught_up(&written).await;
        Ok(written)
    }

    /// A volume that failed, told once.
    pub async fn fail_volume(&self, volume: &Value, reason: &str, message: &str) -> Outcome {
        if volume.str_at(&["status", "phase"]) != "Failed" {
            let failed = self.volume_phase(volume, "Failed", message).await?;
            self.recorder.warning(super::VOLUME, &failed, reason, message);
        }
        Ok(())
    }

    /// The claim in a phase; with a volume, of which its capacity and ways of access are.
    pub async fn claim_phase(
        &self,
        claim: &Value,
        phase: &str,
        volume: Option<&Value>,
    ) -> Result<Value, Error> {
        let wanted = claim_status(claim, phase, volume);
        if wanted == *claim {
            return Ok(wanted);
        }
        let (claims, namespace) =
            (resources::persistent_volume_claims(), claim.str_at(&["metadata", "namespace"]));
        let written = self.client.update_lens(&claims, namespace, "status", &wanted).await?;
        self.claims.caught_up(&written).await;
        Ok(written)
    }

    /// A claim that lost what it had, told once.
    pub async fn lose_claim(&self, claim: &Value, reason: &str, message: &str) -> Outcome {
        if claim.str_at(&["status", "phase"]) != "Lost" {
            let lost = self.claim_phase(claim, "Lost", None).await?;
            self.recorder.warning(super::CLAIM, &lost, reason, message);
        }
        Ok(())
    }
}

/// The claim with the status it is to have. Its capacity is set as it becomes bound, and left alone later: the files
/// on a volume may take longer to grow than the volume.
fn claim_status(claim: &Value, phase: &str, volume: Option<&Value>) -> Value {
    let was = claim.str_at(&["status", "phase"]);
    let mut wanted = claim.clone();
    let mut put = |field: &str, value: Option<&Value>| match value.filter(|value| !value.is_empty()) {
        Some(value) => wanted.set(&["status", field], value.clone()),
        None => drop(wanted.unset(&["status", field])),
    };
    put("phase", Some(&Value::from(phase)));
    let Some(volume) = volume else {
        for field in ["accessModes", "capacity", "currentVolumeAttributesClassName"] {
            put(field, None);
        }
        return wanted;
    };
    put("accessModes", volume.at(&["spec", "accessModes"]));
    if was != phase {
        let before = volume.at(&["metadata", "annotations", BEFORE_RESIZE]);
        let capacity = before.map(|size| api::tree!({"storage": (size.clone())}));
        put("capacity", capacity.as_ref().or(volume.at(&["spec", "capacity"])));
    }
    if was == "Pending" && phase == "Bound" {
        let class = volume.at(&["spec", "volumeAttributesClassName"]);
        put("currentVolumeAttributesClassName", class);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_claim_takes_capacity_and_access_from_its_volume_when_it_is_bound() {
        let volume = tree!({"spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]}});
        let claim = tree!({"status": {"phase": "Pending"}});
        let bound = claim_status(&claim, "Bound", Some(&volume));
        let wanted =
            tree!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}});
        assert_eq!(bound.get("status"), Some(&wanted));
        let grown = tree!({"spec": {"capacity": {"storage": "9Gi"}, "accessModes": ["ReadWriteOnce"]}});
        assert_eq!(claim_status(&bound, "Bound", Some(&grown)), bound, "a later size is not ours to tell");
        let lost = claim_status(&bound, "Lost", None);
        assert_eq!(lost.get("status"), Some(&tree!({"phase": "Lost"})));
    }
}
