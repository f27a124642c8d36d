//! Recycling: a pod empties the volume, which then is available again. The pod is the only memory of how far that is.

use super::{Binder, VOLUME};
use crate::reconcile::{Outcome, unless_gone};
use crate::{owner, pods, resources};
use api::{Value, tree};

pub const NAMESPACE: &str = "default";
pub const PREFIX: &str = "recycler-for-";
const IMAGE: &str = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6";
const SCRUB: &str =
    "test -e /scrub && find /scrub -mindepth 1 -delete && test -z \"$(ls -A /scrub)\" || exit 1";
const GIB: i64 = 1 << 30;

/// What can be recycled, by field: the least time that takes, and how much more for each GiB.
const RECYCLABLE: [(&str, i64, i64); 2] = [("hostPath", 60, 30), ("nfs", 300, 30)];

impl Binder {
    pub(super) async fn recycle(&self, volume: &Value) -> Outcome {
        let Some(wanted) = recycler(volume) else {
            let message = "No recycler plugin found for the volume!";
            return self.fail_volume(volume, "VolumeFailedRecycle", message).await;
        };
        let name = wanted.str_at(&["metadata", "name"]);
        let Some(pod) = self.pods.cache().get(&format!("{NAMESPACE}/{name}")) else {
            if let Some(users) = self.users_of(volume) {
                self.look_again_at_volume(volume);
                let message = format!("Volume is used by pods: {users}");
                self.recorder.normal(VOLUME, volume, "VolumeFailedRecycle", &message);
                return Ok(());
            }
            if !self.is_still_released(volume).await? {
                return Ok(());
            }
            let created = self.client.create(&resources::pods(), NAMESPACE, &wanted).await?;
            self.pods.caught_up(&created).await;
            return Ok(());
        };
        if owner::is_leaving(&pod) || !pods::is_finished(&pod) {
            return Ok(());
        }
        let options = tree!({"preconditions": {"uid": (owner::uid(&pod))}});
        unless_gone(self.client.delete(&resources::pods(), NAMESPACE, name, &options).await)?;
        if pods::phase(&pod) == "Succeeded" {
            return self.make_available(volume).await;
        }
        let why = match pod.str_at(&["status", "message"]) {
            "" => "pod failed, pod.Status.Message unknown.",
            why => why,
        };
        let message = format!("Recycle failed: failed to recycle volume: {why}");
        self.fail_volume(volume, "VolumeFailedRecycle", &message).await
    }

    /// The pods that still use the claim that a volume was for; nothing when the claim is there again, with another
    /// volume.
    fn users_of(&self, volume: &Value) -> Option<String> {
        let key = super::storage::claim_key(volume)?;
        if self.claims.cache().get(&key).is_some() {
            return None;
        }
        let (namespace, claim) = crate::reconcile::split(&key);
        let all = self.pods.cache().list(namespace);
        let users = all
            .iter()
            .filter(|pod| !pods::is_finished(pod) && pods::claims_of(pod).iter().any(|used| used == claim));
        let users: Vec<String> = users.map(|pod| client::key_of(pod)).collect();
        (!users.is_empty()).then(|| users.join(","))
    }
}

/// The pod that empties a volume; nothing for volumes that no pod can empty.
fn recycler(volume: &Value) -> Option<Value> {
    let (source, least, more) =
        RECYCLABLE.iter().find(|(source, ..)| volume.at(&["spec", source]).is_some())?;
    let gib = super::storage::capacity(volume).value() / GIB;
    let timeout = gib.saturating_mul(*more).max(*least);
    let mut mounted = tree!({"name": "vol"});
    mounted.set(&[source], volume.at(&["spec", source])?.clone());
    if *source == "hostPath" {
        mounted.set(&[source], tree!({"path": (volume.str_at(&["spec", source, "path"]))}));
    }
    Some(tree!({
        "metadata": {"name": (format!("{PREFIX}{}", volume.str_at(&["metadata", "name"]))), "namespace": NAMESPACE},
        "spec": {
            "activeDeadlineSeconds": timeout, "restartPolicy": "Never", "volumes": [mounted],
            "containers": [{
                "name": "pv-recycler", "image": IMAGE, "command": ["/bin/sh"], "args": ["-c", SCRUB],
                "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}]
            }]
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycler_gets_time_by_the_size_of_the_volume() {
        let mut volume = tree!({"metadata": {"name": "v"}, "spec": {"hostPath": {"path": "/x", "type": ""}}});
        volume.set(&["spec", "capacity", "storage"], "1Gi");
        let deadline = |volume: &Value| recycler(volume).unwrap().i64_at(&["spec", "activeDeadlineSeconds"]);
        assert_eq!(deadline(&volume), Some(60));
        volume.set(&["spec", "capacity", "storage"], "10Gi");
        assert_eq!(deadline(&volume), Some(300));
        let pod = recycler(&volume).unwrap();
        assert_eq!(pod.list_at(&["spec", "volumes"])[0], tree!({"name": "vol", "hostPath": {"path": "/x"}}));
        assert!(recycler(&tree!({"spec": {"local": {}}})).is_none());
    }
}
