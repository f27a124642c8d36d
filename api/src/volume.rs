//! What a volume of a pod needs of the API: pods that nodes run by themselves may need nothing.

use crate::{Value, quote};

/// Volumes that need nothing from the API server.
const SELF_CONTAINED: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];
/// Volumes that refer to other objects, and what upstream calls these.
const REFERRING: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];
const PROJECTED: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

fn has(object: &Value, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}

/// The kind of objects of the API that a volume needs, as upstream calls it.
///
/// # Errors
/// Upstream's text for a volume of no known kind.
pub fn reference(volume: &Value) -> Result<Option<&'static str>, String> {
    if SELF_CONTAINED.iter().any(|kind| has(volume, kind)) {
        return Ok(None);
    }
    if let Some((_, what)) = REFERRING.iter().find(|(kind, _)| has(volume, kind)) {
        return Ok(Some(what));
    }
    let name = quote(volume.str_at(&["name"]));
    if !has(volume, "projected") {
        return Err(format!("unknown volume type for volume  {name}"));
    }
    for source in volume.list_at(&["projected", "sources"]) {
        if let Some((_, what)) = PROJECTED.iter().find(|(kind, _)| has(source, kind)) {
            return Ok(Some(what));
        }
        if !has(source, "downwardAPI") {
            return Err(format!("unknown source for projected volume {name}"));
        }
    }
    Ok(None)
}
