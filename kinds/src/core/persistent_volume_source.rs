//! Types of PersistentVolumes: which there are, and the checks of each. Exactly one stands in a volume's spec.
//! Source: upstream's `ValidatePersistentVolumeSpec`.

use super::pod_spec::{self, volume_sources as source};
use crate::internal_form::internal_form;
use crate::validation::{dns_label, dns_subdomain, same};
use api::{Fault, Path, Str, Value};

const MOUNT_ANNOTATION: &str = "volume.beta.kubernetes.io/mount-options";

/// Checks of a value at a path.
type Check = fn(&Value, &Path) -> Vec<Fault>;

/// Checks of a text at a path.
type TextCheck = fn(&str, &Path) -> Vec<Fault>;

/// A type of volume: its field, its name in Go and in faults, its definition, whether the mount annotation is for
/// it, and its checks.
struct Source {
    field: &'static str,
    go: &'static str,
    /// Where faults of the source stand, and where it is said that there is one too many.
    paths: (&'static str, &'static str),
    definition: &'static str,
    mountable: bool,
    check: Check,
}

const fn plain(
    field: &'static str,
    go: &'static str,
    definition: &'static str,
    mountable: bool,
    check: Check,
) -> Source {
    Source { field, go, paths: (field, field), definition, mountable, check }
}

/// In the order of upstream's in-memory type.
static SOURCES: [Source; 22] = [
    Source {
        paths: ("persistentDisk", "gcePersistentDisk"),
        ..plain("gcePersistentDisk", "GCEPersistentDisk", "GCEPersistentDiskVolumeSource", true, |v, p| {
            source::disk(v, "pdName", p)
        })
    },
    plain(
        "awsElasticBlockStore",
        "AWSElasticBlockStore",
        "AWSElasticBlockStoreVolumeSource",
        true,
        |v, p| source::disk(v, "volumeID", p),
    ),
    plain("hostPath", "HostPath", "HostPathVolumeSource", false, source::host_path),
    plain("glusterfs", "Glusterfs", "GlusterfsPersistentVolumeSource", true, glusterfs),
    plain("nfs", "NFS", "NFSVolumeSource", true, source::nfs),
    plain("rbd", "RBD", "RBDPersistentVolumeSource", true, source::rbd),
    plain("quobyte", "Quobyte", "QuobyteVolumeSource", true, source::quobyte),
    plain("iscsi", "ISCSI", "ISCSIPersistentVolumeSource", true, source::iscsi),
    plain("flexVolume", "FlexVolume", "FlexPersistentVolumeSource", false, source::flex_volume),
    plain("cinder", "Cinder", "CinderPersistentVolumeSource", true, |v, p| {
        [source::needs(v, &["volumeID"], p), secret_faults(v, p)].concat()
    }),
    Source {
        paths: ("cephfs", "cephFS"),
        ..plain("cephfs", "CephFS", "CephFSPersistentVolumeSource", true, source::monitors)
    },
    plain("fc", "FC", "FCVolumeSource", false, source::fc),
    plain("flocker", "Flocker", "FlockerVolumeSource", false, source::flocker),
    plain("azureFile", "AzureFile", "AzureFilePersistentVolumeSource", true, azure_file),
    plain("vsphereVolume", "VsphereVolume", "VsphereVirtualDiskVolumeSource", true, |v, p| {
        source::needs(v, &["volumePath"], p)
    }),
    plain("azureDisk", "AzureDisk", "AzureDiskVolumeSource", true, source::azure_disk),
    plain(
        "photonPersistentDisk",
        "PhotonPersistentDisk",
        "PhotonPersistentDiskVolumeSource",
        true,
        |v, p| source::needs(v, &["pdID"], p),
    ),
    plain("portworxVolume", "PortworxVolume", "PortworxVolumeSource", false, |v, p| {
        source::needs(v, &["volumeID"], p)
    }),
    plain("scaleIO", "ScaleIO", "ScaleIOPersistentVolumeSource", false, |v, p| {
        source::needs(v, &["gateway", "system", "volumeName"], p)
    }),
    plain("local", "Local", "LocalVolumeSource", false, local),
    plain("storageos", "StorageOS", "StorageOSPersistentVolumeSource", false, storage_os),
    plain("csi", "CSI", "CSIPersistentVolumeSource", false, csi),
];

/// The order in which upstream checks them.
const CHECK_ORDER: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn present<'a>(spec: &'a Value, field: &str) -> Option<&'a Value> {
    spec.get(field).filter(|v| !v.is_null())
}

/// Faults of the type of a volume's spec, which must be one.
pub fn faults(spec: &Value, at: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for field in CHECK_ORDER {
        let Some(value) = present(spec, field) else { continue };
        let Some(source) = SOURCES.iter().find(|s| s.field == field) else { continue };
        seen += 1;
        if seen > 1 && field != "flexVolume" {
            let detail = "may not specify more than 1 volume type";
            faults.push(Fault::forbidden(at.child(source.paths.1), detail));
            continue;
        }
        faults.extend((source.check)(value, &at.child(source.paths.0)));
        if field == "local" && present(spec, "nodeAffinity").is_none() {
            faults.push(Fault::required(at.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if seen == 0 {
        faults.push(Fault::required(at, "must specify a volume type"));
    }
    faults
}

fn glusterfs(value: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = source::needs(value, &["endpoints", "path"], at);
    let at = at.child("endpointsNamespace");
    match value.get("endpointsNamespace").and_then(Value::as_str) {
        Some("") => {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            faults.push(Fault::invalid(at, "", detail));
        }
        Some(namespace) => faults.extend(dns_label(namespace, &at)),
        None => {}
    }
    faults
}

/// A secret's reference, where there is one, needs name and namespace.
fn secret_faults(value: &Value, at: &Path) -> Vec<Fault> {
    let secret = present(value, "secretRef");
    secret.map(|s| source::needs(s, &["name", "namespace"], &at.child("secretRef"))).unwrap_or_default()
}

fn azure_file(value: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = source::needs(value, &["secretName", "shareName"], at);
    if value.get("secretNamespace").and_then(Value::as_str) == Some("") {
        faults.push(Fault::required(at.child("secretNamespace"), ""));
    }
    faults
}

fn local(value: &Value, at: &Path) -> Vec<Fault> {
    match value.str_at(&["path"]) {
        "" => vec![Fault::required(at.child("path"), "")],
        path => pod_spec::paths::without_backsteps(path, &at.child("path")),
    }
}

fn storage_os(value: &Value, at: &Path) -> Vec<Fault> {
    let mut without_secret = value.clone();
    without_secret.unset(&["secretRef"]);
    [source::storage_os(&without_secret, at), secret_faults(value, at)].concat()
}

fn csi(value: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = pod_spec::csi_driver_name(value.str_at(&["driver"]), &at.child("driver"));
    faults.extend(source::needs(value, &["volumeHandle"], at));
    let secrets = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    for field in secrets {
        if let Some(secret) = present(value, field) {
            faults.extend(secret_reference(secret, &at.child(field)));
        }
    }
    faults
}

fn secret_reference(secret: &Value, at: &Path) -> Vec<Fault> {
    let checks: [(&str, TextCheck); 2] = [("name", dns_subdomain), ("namespace", dns_label)];
    let of = |(field, check): (&str, TextCheck)| match secret.str_at(&[field]) {
        "" => vec![Fault::required(at.child(field), "")],
        value => check(value, &at.child(field)),
    };
    checks.into_iter().flat_map(of).collect()
}

/// Mount options in an annotation are for types that are mounted.
pub fn mount_fault(obj: &Value) -> Option<Fault> {
    let spec = obj.get("spec")?;
    obj.at(&["metadata", "annotations", MOUNT_ANNOTATION])?;
    if SOURCES.iter().any(|source| source.mountable && present(spec, source.field).is_some()) {
        return None;
    }
    let at = Path::new("metadata").child("annotations").child(MOUNT_ANNOTATION);
    Some(Fault::forbidden(at, "may not specify mount options for this volume type"))
}

/// The sources of a spec as upstream's in-memory type prints them.
pub fn form(spec: &Value) -> Value {
    let of = |source: &Source| {
        let definition = format!("io.k8s.api.core.v1.{}", source.definition);
        let form = present(spec, source.field).map(|v| internal_form(Some(v), &definition));
        (Str::from(source.go), form.unwrap_or(Value::Null))
    };
    Value::Map(SOURCES.iter().map(of).collect())
}

/// True when two specs are about different storage.
pub fn differ(new: &Value, old: &Value) -> bool {
    SOURCES.iter().any(|source| !same(new.get(source.field), old.get(source.field)))
}
