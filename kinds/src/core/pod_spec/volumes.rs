//! Checks of a pod's volumes. Source: `ValidateVolumes`, `validateVolumeSource`.

use super::{Scope, set, volume_sources};
use crate::validation::{dns_label, texts};
use api::{Fault, Path, Value, names, quantity::Quantity};
use std::collections::{BTreeMap, BTreeSet};

/// Checks one source at its path.
type Check = fn(&Value, &Path, bool) -> Vec<Fault>;

/// A kind of volume: its field, where faults of it stand, where the fault of a second kind stands, its check.
/// In upstream's order, with upstream's slips of the pen in the paths.
const SOURCES: [(&str, &str, &str, Check); 29] = [
    ("hostPath", "hostPath", "hostPath", |v, p, _| volume_sources::host_path(v, p)),
    ("gitRepo", "gitRepo", "gitRepo", |v, p, _| volume_sources::git_repo(v, p)),
    ("gcePersistentDisk", "persistentDisk", "gcePersistentDisk", |v, p, _| {
        volume_sources::disk(v, "pdName", p)
    }),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", |v, p, _| {
        volume_sources::disk(v, "volumeID", p)
    }),
    ("secret", "secret", "secret", |v, p, _| volume_sources::files(v, "secretName", p)),
    ("nfs", "nfs", "nfs", |v, p, _| volume_sources::nfs(v, p)),
    ("iscsi", "iscsi", "iscsi", |v, p, _| volume_sources::iscsi(v, p)),
    ("glusterfs", "glusterfs", "glusterfs", |v, p, _| volume_sources::needs(v, &["endpoints", "path"], p)),
    ("flocker", "flocker", "flocker", |v, p, _| volume_sources::flocker(v, p)),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", |v, p, _| {
        volume_sources::needs(v, &["claimName"], p)
    }),
    ("rbd", "rbd", "rbd", |v, p, _| volume_sources::rbd(v, p)),
    ("cinder", "cinder", "cinder", |v, p, _| volume_sources::cinder(v, p)),
    ("cephfs", "cephfs", "cephFS", |v, p, _| volume_sources::monitors(v, p)),
    ("quobyte", "quobyte", "quobyte", |v, p, _| volume_sources::quobyte(v, p)),
    ("downwardAPI", "downwardAPI", "downwarAPI", |v, p, _| volume_sources::downward_api(v, p)),
    ("fc", "fc", "fc", |v, p, _| volume_sources::fc(v, p)),
    ("flexVolume", "flexVolume", "flexVolume", |v, p, _| volume_sources::flex_volume(v, p)),
    ("configMap", "configMap", "configMap", |v, p, _| volume_sources::files(v, "name", p)),
    ("azureFile", "azureFile", "azureFile", |v, p, _| {
        volume_sources::needs(v, &["secretName", "shareName"], p)
    }),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", |v, p, _| {
        volume_sources::needs(v, &["volumePath"], p)
    }),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", |v, p, _| {
        volume_sources::needs(v, &["pdID"], p)
    }),
    ("portworxVolume", "portworxVolume", "portworxVolume", |v, p, _| {
        volume_sources::needs(v, &["volumeID"], p)
    }),
    ("azureDisk", "azureDisk", "azureDisk", |v, p, _| volume_sources::azure_disk(v, p)),
    ("storageos", "storageos", "storageos", |v, p, _| volume_sources::storage_os(v, p)),
    ("projected", "projected", "projected", |v, p, _| super::projected::volume(v, p)),
    ("scaleIO", "scaleIO", "scaleIO", |v, p, _| {
        volume_sources::needs(v, &["gateway", "system", "volumeName"], p)
    }),
    ("csi", "csi", "csi", |v, p, _| volume_sources::csi(v, p)),
    ("ephemeral", "ephemeral", "ephemeral", |v, p, _| volume_sources::ephemeral(v, p)),
    ("image", "image", "image", volume_sources::image),
];

/// `volumes`; the good ones go into the scope, by name.
pub fn all<'v>(scope: &mut Scope<'v>, path: &Path) -> Vec<Fault> {
    let volumes = scope.spec.list_at(&["volumes"]);
    let pod_name = scope.pod_name;
    let created: BTreeSet<String> = volumes
        .iter()
        .filter(|v| !pod_name.is_empty() && set(v, "ephemeral").is_some())
        .map(|v| format!("{pod_name}-{}", v.str_at(&["name"])))
        .collect();
    let mut faults = Vec::new();
    let mut good: BTreeMap<&'v str, &'v Value> = BTreeMap::new();
    for (i, volume) in volumes.iter().enumerate() {
        let (at, name) = (path.index(i), volume.str_at(&["name"]));
        let mut own = source(volume, name, scope, &at);
        own.extend(match name {
            "" => vec![Fault::required(at.child("name"), "")],
            name => dns_label(name, &at.child("name")),
        });
        if good.contains_key(name) {
            own.push(Fault::duplicate(at.child("name"), name));
        }
        if own.is_empty() {
            good.insert(name, volume);
        }
        faults.extend(own);
        let claim = volume.str_at(&["persistentVolumeClaim", "claimName"]);
        if set(volume, "persistentVolumeClaim").is_some() && created.contains(claim) {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            let at = at.child("persistentVolumeClaim").child("claimName");
            faults.push(Fault::invalid(at, claim, detail));
        }
    }
    scope.volumes = good;
    faults
}

fn source(volume: &Value, name: &str, scope: &Scope<'_>, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut found = false;
    if let Some(empty_dir) = set(volume, "emptyDir") {
        found = true;
        let limit = Quantity::parse(empty_dir.str_at(&["sizeLimit"])).unwrap_or_default();
        if limit.sign() < 0 {
            let detail = "SizeLimit field must be a valid resource quantity";
            faults.push(Fault::forbidden(at.child("emptyDir").child("sizeLimit"), detail));
        }
    }
    for (field, path, second, check) in SOURCES {
        let Some(part) = set(volume, field) else { continue };
        if found {
            faults.push(Fault::forbidden(at.child(second), "may not specify more than 1 volume type"));
        } else {
            found = true;
            faults.extend(check(part, &at.child(path), scope.in_pod));
            faults.extend(claim_name(field, name, scope.pod_name, at));
        }
        faults.extend(portal_length(field, name, part, at));
    }
    if !found {
        faults.push(Fault::required(at, "must specify a volume type"));
    }
    faults
}

fn portal_length(field: &str, name: &str, part: &Value, at: &Path) -> Option<Fault> {
    let length = name.len() + 1 + part.str_at(&["targetPortal"]).len();
    let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                  iscsi.initiatorName is specified.";
    (field == "iscsi" && set(part, "initiatorName").is_some() && length > 64)
        .then(|| Fault::invalid(at.child("name"), name, detail))
}

/// The claim of an ephemeral volume is named after pod and volume.
fn claim_name(field: &str, name: &str, pod_name: &str, at: &Path) -> Vec<Fault> {
    if field != "ephemeral" || pod_name.is_empty() || name.is_empty() {
        return Vec::new();
    }
    let claim = format!("{pod_name}-{name}");
    let wrong = names::is_dns1123_subdomain(&claim).into_iter();
    let details = wrong.map(|text| format!("PVC name {}: {text}", api::quote(&claim))).collect();
    texts(&at.child("name"), name, details)
}
