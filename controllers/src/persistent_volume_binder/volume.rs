//! One step for a volume: its phase, by whether the claim it is for is there and wants it; and what becomes of it when
//! the claim is gone.

use super::provision::{self, Deleter};
use super::storage::{self, MIGRATED_TO, PROVISIONED_BY};
use super::{Binder, CLAIM, VOLUME};
use crate::reconcile::{Outcome, unless_gone};
use crate::resources;
use api::Value;
use client::Error;
use std::sync::Arc;

impl Binder {
    pub(super) async fn sync_volume(&self, volume: &Arc<Value>) -> Outcome {
        let bound_to = storage::claim_ref(volume).map_or("", |claim| claim.str_at(&["uid"]));
        if bound_to.is_empty() {
            return self.volume_phase(volume, "Available", "").await.map(drop);
        }
        let Some(claim) = self.claim_for(volume, bound_to).await? else {
            return self.release(volume).await;
        };
        let wanted = claim.str_at(&["spec", "volumeName"]);
        if wanted.is_empty() {
            if storage::modes_differ(&claim, volume) {
                self.tell_of_modes(volume, &claim);
            } else {
                self.queue.add(super::claim_key(&claim));
            }
            return Ok(());
        }
        if wanted == volume.str_at(&["metadata", "name"]) {
            return self.volume_phase(volume, "Bound", "").await.map(drop);
        }
        let made_for_it = storage::has_annotation(volume, PROVISIONED_BY)
            && volume.str_at(&["spec", "persistentVolumeReclaimPolicy"]) == "Delete";
        if made_for_it { self.release(volume).await } else { self.untie(volume).await }
    }

    /// The claim that a volume is bound to; the server is asked before it counts as gone.
    async fn claim_for(&self, volume: &Value, uid: &str) -> Result<Option<Arc<Value>>, Error> {
        let is_it = |claim: &Value| claim.str_at(&["metadata", "uid"]) == uid;
        let known = self.claims.cache().get(&storage::claim_key(volume).unwrap_or_default());
        if let Some(known) = known.filter(|claim| is_it(claim)) {
            return Ok(Some(known));
        }
        if matches!(volume.str_at(&["status", "phase"]), "Released" | "Failed") {
            return Ok(None);
        }
        let place = |field: &str| volume.str_at(&["spec", "claimRef", field]);
        let claims = resources::persistent_volume_claims();
        let found = self.client.find(&claims, place("namespace"), place("name")).await?;
        Ok(found.filter(is_it).map(Arc::new))
    }

    fn tell_of_modes(&self, volume: &Value, claim: &Value) {
        let name = |object: &Value| object.str_at(&["metadata", "name"]).to_owned();
        let message = format!(
            "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
            name(claim)
        );
        self.recorder.warning(VOLUME, volume, "VolumeMismatch", &message);
        let message = format!(
            "Cannot bind PersistentVolume {:?} to requested PersistentVolumeClaim due to incompatible volumeMode.",
            name(volume)
        );
        self.recorder.warning(CLAIM, claim, "VolumeMismatch", &message);
    }

    /// The claim is gone: what becomes of the volume is its policy.
    async fn release(&self, volume: &Value) -> Outcome {
        let volume = match volume.str_at(&["status", "phase"]) {
            "Released" | "Failed" => volume.clone(),
            _ => self.volume_phase(volume, "Released", "").await?,
        };
        if !volume.str_at(&["metadata", "annotations", MIGRATED_TO]).is_empty() {
            return Ok(());
        }
        match volume.str_at(&["spec", "persistentVolumeReclaimPolicy"]) {
            "Retain" => Ok(()),
            "Recycle" => self.recycle(&volume).await,
            "Delete" => self.delete(&volume).await,
            _ => {
                let message = "Volume has unrecognized PersistentVolumeReclaimPolicy";
                self.fail_volume(&volume, "VolumeUnknownReclaimPolicy", message).await
            }
        }
    }

    /// Asks the server once more before data is lost: the copy may lag.
    pub(super) async fn is_still_released(&self, volume: &Value) -> Result<bool, Error> {
        let name = volume.str_at(&["metadata", "name"]);
        let Some(now) = self.client.find(&resources::persistent_volumes(), "", name).await? else {
            return Ok(false);
        };
        let claim = self.claims.cache().get(&storage::claim_key(&now).unwrap_or_default());
        Ok(is_same_release(volume, &now, claim.as_deref()))
    }

    async fn delete(&self, volume: &Value) -> Outcome {
        if crate::owner::is_leaving(volume) {
            return Ok(());
        }
        let path = match provision::deleter(volume) {
            Ok(Deleter::External) => return Ok(()),
            Ok(Deleter::HostPath(path)) => path,
            Err(message) => {
                self.look_again_at_volume(volume);
                return self.fail_volume(volume, "VolumeFailedDelete", &message).await;
            }
        };
        if !self.is_still_released(volume).await? {
            return Ok(());
        }
        let deleted = tokio::task::spawn_blocking(move || provision::delete_host_path(&path)).await;
        if let Err(message) = deleted.unwrap_or_else(|broken| Err(broken.to_string())) {
            self.look_again_at_volume(volume);
            return self.fail_volume(volume, "VolumeFailedDelete", &message).await;
        }
        let options = api::tree!({"preconditions": {"uid": (volume.str_at(&["metadata", "uid"]))}});
        let name = volume.str_at(&["metadata", "name"]);
        unless_gone(self.client.delete(&resources::persistent_volumes(), "", name, &options).await)?;
        Ok(())
    }

    /// Takes back the tie of a volume that is clean again.
    pub(super) async fn make_available(&self, volume: &Value) -> Outcome {
        self.recorder.normal(VOLUME, volume, "VolumeRecycled", "Volume recycled");
        self.untie(volume).await
    }
}

/// Whether a volume as it is `now` is to be reclaimed as it `was`: the same volume, for the same claim, with the same
/// policy; and that claim is not there, or has another volume.
fn is_same_release(was: &Value, now: &Value, claim: Option<&Value>) -> bool {
    let bound_to = |volume: &'_ Value| volume.str_at(&["spec", "claimRef", "uid"]).to_owned();
    let same = |path: &[&str]| was.str_at(path) == now.str_at(path);
    let has_it = |claim: &Value| {
        let volume = claim.str_at(&["spec", "volumeName"]);
        let is_its = volume.is_empty() || volume == now.str_at(&["metadata", "name"]);
        is_its && claim.str_at(&["metadata", "uid"]) == bound_to(now)
    };
    let is_it = same(&["metadata", "uid"])
        && same(&["spec", "persistentVolumeReclaimPolicy"])
        && same(&["spec", "claimRef", "uid"]);
    is_it && !bound_to(now).is_empty() && !crate::owner::is_leaving(now) && !claim.is_some_and(has_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_volume_that_changed_since_it_was_seen_is_not_reclaimed() {
        let was = tree!({"metadata": {"name": "v", "uid": "u"}, "spec": {
            "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"uid": "c"}}});
        assert!(is_same_release(&was, &was, None));
        for (path, value) in [
            (["metadata", "uid"].as_slice(), "another"),
            (&["spec", "persistentVolumeReclaimPolicy"], "Retain"),
            (&["spec", "claimRef", "uid"], "another"),
            (&["spec", "claimRef", "uid"], ""),
            (&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z"),
        ] {
            let mut now = was.clone();
            now.set(path, value);
            assert!(!is_same_release(&was, &now, None), "{path:?}");
        }
    }

    #[test]
    fn a_volume_is_not_reclaimed_while_its_claim_has_it() {
        let was = tree!({"metadata": {"name": "v", "uid": "u"}, "spec": {"claimRef": {"uid": "c"}}});
        let claim =
            |uid: &str, volume: &str| tree!({"metadata": {"uid": uid}, "spec": {"volumeName": volume}});
        assert!(!is_same_release(&was, &was, Some(&claim("c", "v"))));
        assert!(!is_same_release(&was, &was, Some(&claim("c", ""))));
        assert!(is_same_release(&was, &was, Some(&claim("c", "w"))));
        assert!(is_same_release(&was, &was, Some(&claim("later", "v"))));
    }
}
