//! Who makes and unmakes volumes: always somebody outside, except that volumes in a folder of the host, which are for
//! tests, are emptied here.

use super::storage::{MIGRATED_TO, PROVISIONED_BY, has_annotation};
use api::Value;

const PROVISIONER: [&str; 2] =
    ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];
/// Former built-in kinds of volumes, and the drivers that took them over.
const TAKEN_OVER: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
];
/// The built-in kinds of volumes that are left, by their field, with their names.
const BUILT_IN: [(&str, &str); 4] = [
    ("hostPath", "kubernetes.io/host-path"),
    ("nfs", "kubernetes.io/nfs"),
    ("fc", "kubernetes.io/fc"),
    ("iscsi", "kubernetes.io/iscsi"),
];
const HOST_PATH: &str = "kubernetes.io/host-path";

/// The program outside that makes volumes of a class, or why there cannot be one.
pub fn external(provisioner: &str) -> Result<String, String> {
    if let Some((_, driver)) = TAKEN_OVER.iter().find(|(name, _)| *name == provisioner) {
        return Ok((*driver).to_owned());
    }
    if provisioner == HOST_PATH {
        let why = format!("provisioning in volume plugin {HOST_PATH:?} is disabled");
        return Err(format!("Failed to create provisioner: {why}"));
    }
    if BUILT_IN.iter().any(|(_, name)| *name == provisioner) {
        return Err("no provisionable volume plugin matched".to_owned());
    }
    if provisioner.starts_with("kubernetes.io/") {
        return Err(format!("no volume plugin matched name: {provisioner}"));
    }
    Ok(provisioner.to_owned())
}

/// The claim with the annotations by which the provisioner knows that it is asked.
pub fn told(claim: &Value, provisioner: &str) -> Value {
    let mut told = claim.clone();
    for annotation in PROVISIONER {
        told.set(&["metadata", "annotations", annotation], provisioner);
    }
    told
}

/// Who deletes what a volume holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Deleter {
    /// Somebody outside.
    External,
    /// We do: everything at this path.
    HostPath(String),
}

/// Who deletes a volume, or why nobody can.
pub fn deleter(volume: &Value) -> Result<Deleter, String> {
    let provisioned_by = volume.str_at(&["metadata", "annotations", PROVISIONED_BY]);
    let host_path = || Deleter::HostPath(volume.str_at(&["spec", "hostPath", "path"]).to_owned());
    match provisioned_by {
        "" => {}
        HOST_PATH => return Ok(host_path()),
        name if BUILT_IN.iter().any(|(_, built_in)| *built_in == name) => {
            return Err("no deletable volume plugin matched".to_owned());
        }
        name if name.starts_with("kubernetes.io/") => {
            return Err(format!("no volume plugin matched name: {name}"));
        }
        _ => return Ok(Deleter::External),
    }
    if has_annotation(volume, MIGRATED_TO) || volume.at(&["spec", "csi"]).is_some() {
        return Ok(Deleter::External);
    }
    let name = volume.str_at(&["metadata", "name"]);
    let error = |why: &str| Err(format!("error getting deleter volume plugin for volume {name:?}: {why}"));
    match BUILT_IN.iter().find(|(field, _)| volume.at(&["spec", field]).is_some()) {
        Some((_, HOST_PATH)) => Ok(host_path()),
        Some(_) => error("no deletable volume plugin matched"),
        None => error("no volume plugin matched"),
    }
}

/// Deletes a folder of the host that was a volume: only what really is below /tmp.
pub fn delete_host_path(path: &str) -> Result<(), String> {
    let refused = || format!("host_path deleter only supports /tmp/.+ but received provided {path}");
    let wanted = std::path::Path::new(path);
    let below = |path: &std::path::Path| path.starts_with("/tmp");
    let (Some(folder), true) = (wanted.parent(), below(wanted)) else { return Err(refused()) };
    if wanted.file_name().is_none() || wanted.components().any(|c| c == std::path::Component::ParentDir) {
        return Err(refused());
    }
    match folder.canonicalize() {
        Ok(real) if !below(&real) => return Err(refused()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    }
    let is_folder = wanted.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let gone = if is_folder { std::fs::remove_dir_all(wanted) } else { std::fs::remove_file(wanted) };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn provisioners_are_outside_or_unknown() {
        assert_eq!(external("example.com/disks").as_deref(), Ok("example.com/disks"));
        assert_eq!(external("kubernetes.io/aws-ebs").as_deref(), Ok("ebs.csi.aws.com"));
        let none = "no volume plugin matched name: kubernetes.io/no-provisioner";
        assert_eq!(external("kubernetes.io/no-provisioner"), Err(none.to_owned()));
    }

    #[test]
    fn the_deleter_follows_from_who_made_the_volume_and_what_it_is() {
        let volume = tree!({"metadata": {"name": "v"}, "spec": {"local": {"path": "/x"}}});
        let error = "error getting deleter volume plugin for volume \"v\": no volume plugin matched";
        assert_eq!(deleter(&volume), Err(error.to_owned()));
        let mut made = volume.clone();
        made.set(&["metadata", "annotations", PROVISIONED_BY], "example.com/disks");
        assert_eq!(deleter(&made), Ok(Deleter::External));
        let path = tree!({"metadata": {"name": "v"}, "spec": {"hostPath": {"path": "/data"}}});
        assert_eq!(deleter(&path), Ok(Deleter::HostPath("/data".into())));
    }

    #[test]
    fn only_what_is_below_tmp_is_deleted() {
        for path in ["/", "/data", "/tmp", "/tmp/../etc", "/tmp/a/..", "tmp/x"] {
            let error = delete_host_path(path).unwrap_err();
            assert_eq!(
                error,
                format!("host_path deleter only supports /tmp/.+ but received provided {path}")
            );
        }
        let folder = format!("/tmp/pintle-delete-{}", stdx::Ids::system().letters(12));
        std::fs::create_dir_all(format!("{folder}/a/b")).unwrap();
        std::os::unix::fs::symlink("/usr", format!("{folder}/link")).unwrap();
        assert!(delete_host_path(&format!("{folder}/link/share")).is_err(), "leads out of /tmp");
        delete_host_path(&folder).unwrap();
        assert!(!std::path::Path::new(&folder).exists());
        delete_host_path(&folder).unwrap();
    }
}
