//! Volumes behind claims: the claim must be bound, its volume must be one of this machine.

use super::Inner;
use super::local::Local;
use super::plan::{Wanted, What};
use crate::resources;
use api::Value;
use api::node_selection::NodeTerm;

/// The group that a volume says its users should be in.
const GID: &str = "pv.beta.kubernetes.io/gid";
const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The claim that a volume of a pod names or has made for it.
pub fn claim_name(pod: &Value, volume: &Value) -> Option<String> {
    if volume.get("ephemeral").is_some_and(|e| !e.is_null()) {
        return Some(format!("{}-{}", pod.str_at(&["metadata", "name"]), volume.str_at(&["name"])));
    }
    let claim = volume.str_at(&["persistentVolumeClaim", "claimName"]);
    (!claim.is_empty()).then(|| claim.to_owned())
}

/// Why a volume behind a claim cannot be had: the whole text of the event.
pub fn unprocessed(volume: &str, why: &str) -> String {
    format!(
        "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process \
         volumes=[{volume}]: {why}"
    )
}

/// The volume behind a claim. `as_device` tells how containers use it.
///
/// # Errors
/// The whole text of an event.
pub async fn find(
    volumes: &Inner,
    pod: &Value,
    volume: &Value,
    claim: &str,
    as_device: bool,
) -> Result<Wanted, String> {
    let name = volume.str_at(&["name"]);
    let found = bound(volumes, pod, volume, claim).await.map_err(|why| unprocessed(name, &why))?;
    let mode = match found.str_at(&["spec", "volumeMode"]) {
        "" => "Filesystem",
        mode => mode,
    };
    let wanted_mode = if as_device { ("Block", "volumeDevices") } else { ("Filesystem", "volumeMounts") };
    if mode != wanted_mode.0 {
        let why = format!("volume {name} has volumeMode {mode}, but is specified in {}", wanted_mode.1);
        return Err(unprocessed(name, &why));
    }
    let label = found.str_at(&["metadata", "name"]).to_owned();
    let step = if as_device { "MapVolume" } else { "MountVolume" };
    if !fits(volumes, &found) {
        return Err(format!(
            "{step}.NodeAffinity check failed for volume {label:?} : no matching NodeSelectorTerms"
        ));
    }
    let read_only = volume.bool_at(&["persistentVolumeClaim", "readOnly"]);
    let spec = found.get("spec").unwrap_or(&Value::Null);
    let what = if let Some(local) = Local::of(spec, read_only, as_device) {
        What::Local(local)
    } else if let Some(host_path) = spec.get("hostPath").filter(|h| !h.is_null()) {
        if !spec.list_at(&["mountOptions"]).is_empty() {
            let why = "mount options are not supported for this volume type";
            return Err(format!("MountVolume.MountOptionSupport check failed for volume {label:?} : {why}"));
        }
        let text = |field| host_path.str_at(&[field]).to_owned();
        What::HostPath { path: text("path"), ty: text("type"), read_only }
    } else {
        return Err(foreign(&label, spec));
    };
    let gid = found.str_at(&["metadata", "annotations", GID]).parse().ok();
    Ok(Wanted { name: name.to_owned(), label, what, gid })
}

/// What is said of volumes that need a driver.
pub fn foreign(label: &str, source: &Value) -> String {
    match source.str_at(&["csi", "driver"]) {
        "" => format!("MountVolume.SetUp failed for volume {label:?} : no volume plugin matched"),
        driver => format!(
            "MountVolume.SetUp failed for volume {label:?} : kubernetes.io/csi: mounter.SetUpAt failed to get CSI \
             client: driver name {driver} not found in the list of registered CSI drivers"
        ),
    }
}

async fn bound(volumes: &Inner, pod: &Value, volume: &Value, name: &str) -> Result<Value, String> {
    let namespace = pod.str_at(&["metadata", "namespace"]);
    let of_claim = |why: String| format!("error processing PVC {namespace}/{name}: {why}");
    let claim = volumes.client.get(&resources::persistent_volume_claims(), namespace, name).await;
    let claim = claim.map_err(|why| of_claim(format!("failed to fetch PVC from API server: {why}")))?;
    check(&claim).map_err(|why| of_claim(why.to_owned()))?;
    let uid = pod.str_at(&["metadata", "uid"]);
    let owned = || {
        let owners = claim.list_at(&["metadata", "ownerReferences"]);
        owners.iter().any(|o| o.bool_at(&["controller"]) && o.str_at(&["uid"]) == uid)
    };
    if volume.get("ephemeral").is_some_and(|e| !e.is_null()) && !owned() {
        let pod = pod.str_at(&["metadata", "name"]);
        return Err(format!(
            "PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"
        ));
    }
    let pv = claim.str_at(&["spec", "volumeName"]);
    let found = volumes.client.get(&resources::persistent_volumes(), "", pv).await;
    let found = found.map_err(|why| of_claim(format!("failed to fetch PV {pv} from API server: {why}")))?;
    let (claimed, claim) = (found.str_at(&["spec", "claimRef", "uid"]), claim.str_at(&["metadata", "uid"]));
    match claimed {
        claimed if claimed == claim => Ok(found),
        "" => Err(of_claim(format!(
            "found PV object {pv} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        ))),
        claimed => Err(of_claim(format!(
            "found PV object {pv} but its pv.Spec.ClaimRef.UID {claimed} does not point to claim.UID {claim}"
        ))),
    }
}

fn check(claim: &Value) -> Result<(), &'static str> {
    let protected =
        || claim.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(PROTECTION));
    if !claim.str_at(&["metadata", "deletionTimestamp"]).is_empty() && !protected() {
        return Err("PVC is being deleted");
    }
    if claim.str_at(&["status", "phase"]) != "Bound" {
        return Err("PVC is not bound");
    }
    match claim.str_at(&["spec", "volumeName"]) {
        "" => Err("PVC has empty pvc.Spec.VolumeName"),
        _ => Ok(()),
    }
}

/// Whether the volume can be had on this node.
fn fits(volumes: &Inner, found: &Value) -> bool {
    let Some(required) = found.at(&["spec", "nodeAffinity", "required"]).filter(|r| !r.is_null()) else {
        return true;
    };
    let node = (volumes.node)();
    let labels = node.as_ref().and_then(|n| n.map_at(&["metadata", "labels"])).cloned().unwrap_or_default();
    let terms = required.list_at(&["nodeSelectorTerms"]).iter();
    terms.map(NodeTerm::of).any(|term| term.matches(&volumes.settings.node_name, &labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_claim_must_be_bound_and_stay() {
        let mut claim = tree!({"metadata": {}, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
        assert_eq!(check(&claim), Ok(()));
        claim.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(check(&claim), Err("PVC is being deleted"));
        claim.set(&["metadata", "finalizers"], vec![Value::from(PROTECTION)]);
        assert_eq!(check(&claim), Ok(()));
        claim.set(&["status", "phase"], "Pending");
        assert_eq!(check(&claim), Err("PVC is not bound"));
    }

    #[test]
    fn an_ephemeral_volume_has_a_claim_named_after_pod_and_volume() {
        let pod = tree!({"metadata": {"name": "p"}});
        assert_eq!(claim_name(&pod, &tree!({"name": "v", "ephemeral": {}})).unwrap(), "p-v");
        let named = tree!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        assert_eq!(claim_name(&pod, &named).unwrap(), "c");
        assert_eq!(claim_name(&pod, &tree!({"name": "v", "emptyDir": {}})), None);
    }
}
