//! Checks of `volumeMounts` and `volumeDevices`. Source: `ValidateVolumeMounts`, `ValidateVolumeDevices`.

use super::{Scope, paths, set};
use crate::validation::one_of;
use api::{Fault, Path, Value};
use std::collections::BTreeSet;

/// `volumeMounts` of a container. (Faults of sub-paths and propagation are at the list's path, as upstream has it.)
pub fn volume_mounts(scope: &Scope<'_>, container: &Value, path: &Path) -> Vec<Fault> {
    let devices = container.list_at(&["volumeDevices"]);
    let (mut faults, mut points) = (Vec::new(), BTreeSet::new());
    for (i, mount) in container.list_at(&["volumeMounts"]).iter().enumerate() {
        let at = path.index(i);
        let (name, point) = (mount.str_at(&["name"]), mount.str_at(&["mountPath"]));
        if name.is_empty() {
            faults.push(Fault::required(at.child("name"), ""));
        }
        if !scope.volumes.contains_key(name) {
            faults.push(Fault::not_found(at.child("name"), name));
        }
        if point.is_empty() {
            faults.push(Fault::required(at.child("mountPath"), ""));
        }
        if !points.insert(point) {
            faults.push(Fault::invalid(at.child("mountPath"), point, "must be unique"));
        }
        if devices.iter().any(|d| d.str_at(&["name"]) == name) {
            faults.push(Fault::invalid(at.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|d| d.str_at(&["devicePath"]) == point) {
            let detail = "must not already exist as a path in volumeDevices";
            faults.push(Fault::invalid(at.child("mountPath"), point, detail));
        }
        faults.extend(sub_paths(mount, path, &at));
        faults.extend(propagation(mount, container, &path.child("mountPropagation")));
        faults.extend(recursive_read_only(mount, &path.child("recursiveReadOnly")));
    }
    faults
}

fn sub_paths(mount: &Value, path: &Path, at: &Path) -> Vec<Fault> {
    let (sub, expression) = (mount.str_at(&["subPath"]), mount.str_at(&["subPathExpr"]));
    let mut faults = Vec::new();
    if !sub.is_empty() {
        faults.extend(paths::descending(sub, &path.child("subPath")));
    }
    if !expression.is_empty() {
        if !sub.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            faults.push(Fault::invalid(at.child("subPathExpr"), expression, detail));
        }
        faults.extend(paths::descending(expression, &path.child("subPathExpr")));
    }
    faults
}

fn propagation(mount: &Value, container: &Value, path: &Path) -> Vec<Fault> {
    let Some(mode) = set(mount, "mountPropagation").and_then(Value::as_str) else { return Vec::new() };
    let mut faults = one_of(mode, &["Bidirectional", "HostToContainer", "None"], path);
    if mode == "Bidirectional" && !container.bool_at(&["securityContext", "privileged"]) {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        faults.push(Fault::forbidden(path, detail));
    }
    faults
}

fn recursive_read_only(mount: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    match set(mount, "recursiveReadOnly").and_then(Value::as_str) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.bool_at(&["readOnly"]) {
                faults.push(Fault::forbidden(path, "may only be specified when readOnly is true"));
            }
            if !matches!(mount.str_at(&["mountPropagation"]), "" | "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                faults.push(Fault::forbidden(path, detail));
            }
        }
        Some(other) => faults.push(Fault::not_supported(path, other, &["Disabled", "Enabled", "IfPossible"])),
    }
    faults
}

/// `volumeDevices` of a container.
pub fn volume_devices(scope: &Scope<'_>, container: &Value, path: &Path) -> Vec<Fault> {
    let mounts = container.list_at(&["volumeMounts"]);
    let (mut faults, mut device_paths, mut device_names) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (i, device) in container.list_at(&["volumeDevices"]).iter().enumerate() {
        let (name, place) = (device.str_at(&["name"]), device.str_at(&["devicePath"]));
        let (name_at, path_at) = (path.index(i).child("name"), path.index(i).child("devicePath"));
        if name.is_empty() {
            faults.push(Fault::required(&name_at, ""));
        }
        if device_names.contains(name) {
            faults.push(Fault::invalid(&name_at, name, "must be unique"));
        }
        match scope.volumes.get(name) {
            None => faults.push(Fault::not_found(&name_at, name)),
            Some(volume) if set(volume, "persistentVolumeClaim").or(set(volume, "ephemeral")).is_none() => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                faults.push(Fault::invalid(&name_at, name, detail));
            }
            Some(_) => {}
        }
        if place.is_empty() {
            faults.push(Fault::required(&path_at, ""));
        }
        if device_paths.contains(place) {
            faults.push(Fault::invalid(&path_at, place, "must be unique"));
        }
        if !paths::without_backsteps(place, path).is_empty() {
            faults.push(Fault::invalid(&path_at, place, "can not contain backsteps ('..')"));
        } else {
            device_paths.insert(place);
        }
        if mounts.iter().any(|m| m.str_at(&["name"]) == name) {
            faults.push(Fault::invalid(&name_at, name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|m| m.str_at(&["mountPath"]) == place) {
            let detail = "must not already exist as a path in volumeMounts";
            faults.push(Fault::invalid(&path_at, place, detail));
        }
        if !name.is_empty() {
            device_names.insert(name);
        }
    }
    faults
}
