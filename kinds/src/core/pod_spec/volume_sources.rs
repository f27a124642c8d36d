//! Checks of single kinds of volumes. Source: `validate…VolumeSource`.

use super::{containers, env, paths, set};
use crate::core::persistent_volume_claim::spec_faults;
use crate::validation::{dns_label, dns_subdomain, one_of, required, texts};
use api::{Fault, Map, Path, Value, names, selector::label_faults};

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATHS: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Text fields that must not be empty.
pub fn needs(source: &Value, fields: &[&str], path: &Path) -> Vec<Fault> {
    fields.iter().flat_map(|f| required(source.str_at(&[f]), &path.child(f))).collect()
}

/// A list that must not be empty.
fn needs_items(source: &Value, field: &str, path: &Path) -> Vec<Fault> {
    if source.list_at(&[field]).is_empty() {
        vec![Fault::required(path.child(field), "")]
    } else {
        Vec::new()
    }
}

/// A secret's reference, where there is one, needs a name.
fn secret_name(source: &Value, path: &Path) -> Vec<Fault> {
    set(source, "secretRef").map(|r| needs(r, &["name"], &path.child("secretRef"))).unwrap_or_default()
}

fn in_range(value: Option<i64>, (lo, hi): (i64, i64), path: &Path) -> Option<Fault> {
    let value = value.unwrap_or_default();
    let text = names::inclusive_range_error(lo, hi);
    (!(lo..=hi).contains(&value)).then(|| Fault::invalid(path, value, text))
}

/// A file mode, where there is one.
pub fn mode(holder: &Value, field: &str, path: &Path) -> Option<Fault> {
    let mode = holder.i64_at(&[field])?;
    (!(0..=0o777).contains(&mode)).then(|| Fault::invalid(path.child(field), mode, FILE_MODE))
}

pub fn host_path(source: &Value, path: &Path) -> Vec<Fault> {
    let target = source.str_at(&["path"]);
    if target.is_empty() {
        return vec![Fault::required(path.child("path"), "")];
    }
    let mut faults = paths::without_backsteps(target, &path.child("path"));
    faults.extend(one_of(source.str_at(&["type"]), &HOST_PATHS, &path.child("type")));
    faults
}

pub fn git_repo(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &["repository"], path);
    faults.extend(paths::descending(source.str_at(&["directory"]), &path.child("directory")));
    faults
}

/// A cloud's disk, named by a field. (Upstream accepts partition 0 and says otherwise.)
pub fn disk(source: &Value, name: &str, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &[name], path);
    let partition = source.i64_at(&["partition"]).unwrap_or_default();
    if !(0..=255).contains(&partition) {
        let detail = names::inclusive_range_error(1, 255);
        faults.push(Fault::invalid(path.child("partition"), partition, detail));
    }
    faults
}

/// Secrets and config maps as files: named by a field, with a mode and items.
pub fn files(source: &Value, name: &str, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &[name], path);
    faults.extend(mode(source, "defaultMode", path));
    for (i, item) in source.list_at(&["items"]).iter().enumerate() {
        faults.extend(key_to_path(item, &path.child("items").index(i)));
    }
    faults
}

/// One file of a secret or config map.
pub fn key_to_path(item: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(item, &["key", "path"], path);
    faults.extend(paths::not_reserved(item.str_at(&["path"]), &path.child("path")));
    faults.extend(mode(item, "mode", path));
    faults
}

pub fn nfs(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &["server", "path"], path);
    let target = source.str_at(&["path"]);
    if !target.starts_with('/') {
        faults.push(Fault::invalid(path.child("path"), target, "must be an absolute path"));
    }
    faults
}

pub fn iscsi(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &["targetPortal", "iqn"], path);
    let iqn = source.str_at(&["iqn"]);
    if !iqn.is_empty() {
        faults.extend(iscsi_name(iqn, &path.child("iqn")));
    }
    faults.extend(in_range(source.i64_at(&["lun"]), (0, 255), &path.child("lun")));
    let authenticates = source.bool_at(&["chapAuthDiscovery"]) || source.bool_at(&["chapAuthSession"]);
    if authenticates && set(source, "secretRef").is_none() {
        faults.push(Fault::required(path.child("secretRef"), ""));
    }
    if let Some(initiator) = set(source, "initiatorName").and_then(Value::as_str) {
        faults.extend(iscsi_name(initiator, &path.child("initiatorname")));
    }
    faults
}

/// `iqn.YYYY-MM.domain:id`, `eui.` with 16 or `naa.` with 32 alphanumerics.
fn iscsi_name(name: &str, path: &Path) -> Option<Fault> {
    let alphanumerics = |rest: &str, n| {
        let mut chars = rest.chars();
        chars.next().is_some() && chars.as_str().len() == n && chars.all(|c| c.is_ascii_alphanumeric())
    };
    let good = match name.get(..3) {
        Some("iqn") => is_iqn(name),
        Some("eui") => alphanumerics(&name[3..], 16),
        Some("naa") => alphanumerics(&name[3..], 32),
        _ => {
            let detail = "must be valid format starting with iqn, eui, or naa";
            return Some(Fault::invalid(path, name, detail));
        }
    };
    (!good).then(|| Fault::invalid(path, name, "must be valid format"))
}

fn is_iqn(name: &str) -> bool {
    let Some((date, rest)) = name.strip_prefix("iqn.").and_then(|r| r.split_at_checked(7)) else {
        return false;
    };
    let date_good =
        date.bytes().enumerate().all(|(i, b)| if i == 4 { b == b'-' } else { b.is_ascii_digit() });
    let Some((domain, id)) = rest.strip_prefix('.').and_then(|r| r.split_once(':')) else { return false };
    let domain_good = domain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let id_good = |c: char| !",;*&$|".contains(c) && !c.is_whitespace();
    date_good && !domain.is_empty() && domain_good && !id.is_empty() && id.chars().all(id_good)
}

pub fn flocker(source: &Value, path: &Path) -> Vec<Fault> {
    let (name, uuid) = (source.str_at(&["datasetName"]), source.str_at(&["datasetUUID"]));
    let mut faults = Vec::new();
    if name.is_empty() && uuid.is_empty() {
        faults.push(Fault::required(path, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        faults.push(Fault::invalid(path, "resource", detail));
    }
    if name.contains('/') {
        faults.push(Fault::invalid(path.child("datasetName"), name, "must not contain '/'"));
    }
    faults
}

pub fn monitors(source: &Value, path: &Path) -> Vec<Fault> {
    needs_items(source, "monitors", path)
}

pub fn rbd(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = monitors(source, path);
    faults.extend(needs(source, &["image"], path));
    faults
}

pub fn cinder(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &["volumeID"], path);
    faults.extend(secret_name(source, path));
    faults
}

pub fn quobyte(source: &Value, path: &Path) -> Vec<Fault> {
    let pairs = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.str_at(&["registry"]);
    let mut faults = Vec::new();
    if registry.is_empty() {
        faults.push(Fault::required(path.child("registry"), pairs));
    } else if source.str_at(&["tenant"]).len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        faults.push(Fault::required(path.child("tenant"), detail));
    } else {
        let bad = registry.split(',').filter(|pair| pair.matches(':').count() != 1).count();
        faults.extend((0..bad).map(|_| Fault::invalid(path.child("registry"), registry, pairs)));
    }
    faults.extend(needs(source, &["volume"], path));
    faults
}

pub fn downward_api(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults: Vec<Fault> = mode(source, "defaultMode", path).into_iter().collect();
    faults.extend(source.list_at(&["items"]).iter().flat_map(|file| downward_file(file, path)));
    faults
}

/// One file of the downward API. (Faults stand at the volume's path, as upstream has it.)
pub fn downward_file(file: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(file, &["path"], path);
    faults.extend(paths::not_reserved(file.str_at(&["path"]), &path.child("path")));
    match (set(file, "fieldRef"), set(file, "resourceFieldRef")) {
        (Some(field), resource) => {
            faults.extend(env::field_ref(field, &env::FILE_FIELDS, &path.child("fieldRef")));
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                faults.push(Fault::invalid(path, "resource", detail));
            }
        }
        (None, Some(resource)) => {
            faults.extend(env::resource_ref(resource, true, &path.child("resourceFieldRef")));
        }
        (None, None) => {
            faults.push(Fault::required(path, "one of fieldRef and resourceFieldRef is required"))
        }
    }
    faults.extend(mode(file, "mode", path));
    faults
}

pub fn fc(source: &Value, path: &Path) -> Vec<Fault> {
    let (targets, ids) = (source.list_at(&["targetWWNs"]), source.list_at(&["wwids"]));
    let at = path.child("targetWWNs");
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => {
            return vec![Fault::required(at, "must specify either targetWWNs or wwids, but not both")];
        }
        (true, false) => return Vec::new(),
        _ => {}
    }
    let mut faults = Vec::new();
    if !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        faults.push(Fault::invalid(at, targets.to_vec(), detail));
    }
    match source.i64_at(&["lun"]) {
        None => faults.push(Fault::required(path.child("lun"), "lun is required if targetWWNs is specified")),
        lun => faults.extend(in_range(lun, (0, 255), &path.child("lun"))),
    }
    faults
}

pub fn flex_volume(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &["driver"], path);
    for key in source.map_at(&["options"]).into_iter().flat_map(|m| m.keys()) {
        let namespace = key.split_once('/').map_or(key.as_str(), |(namespace, _)| namespace);
        let dotted = format!(".{}", namespace.to_lowercase());
        if dotted.ends_with(".kubernetes.io") || dotted.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            faults.push(Fault::invalid(path.child("options").key(key), key, detail));
        }
    }
    faults
}

pub fn azure_disk(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = needs(source, &["diskName", "diskURI"], path);
    let (kind, uri) = (source.str_at(&["kind"]), source.str_at(&["diskURI"]));
    let caching = source.str_at(&["cachingMode"]);
    if !caching.is_empty() {
        faults.extend(one_of(caching, &["None", "ReadOnly", "ReadWrite"], &path.child("cachingMode")));
    }
    if !kind.is_empty() {
        faults.extend(one_of(kind, &["Dedicated", "Managed", "Shared"], &path.child("kind")));
    }
    let managed =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    let blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    if kind == "Managed" && !uri.starts_with("/subscriptions/") {
        faults.push(Fault::not_supported(path.child("diskURI"), uri, &[managed]));
    }
    if !kind.is_empty() && kind != "Managed" && !uri.starts_with("https://") {
        faults.push(Fault::not_supported(path.child("diskURI"), uri, &[blob]));
    }
    faults
}

pub fn storage_os(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = match source.str_at(&["volumeName"]) {
        "" => vec![Fault::required(path.child("volumeName"), "")],
        name => dns_label(name, &path.child("volumeName")),
    };
    let namespace = source.str_at(&["volumeNamespace"]);
    if !namespace.is_empty() {
        faults.extend(dns_label(namespace, &path.child("volumeNamespace")));
    }
    faults.extend(secret_name(source, path));
    faults
}

/// The name of a CSI driver.
pub fn csi_driver_name(driver: &str, path: &Path) -> Vec<Fault> {
    if driver.is_empty() {
        return vec![Fault::required(path, "")];
    }
    let mut faults = Vec::new();
    if driver.len() > 63 {
        faults.push(Fault::too_long(path, 63));
    }
    faults.extend(texts(path, driver, names::is_dns1123_subdomain(&driver.to_lowercase())));
    faults
}

pub fn csi(source: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = csi_driver_name(source.str_at(&["driver"]), &path.child("driver"));
    if let Some(secret) = set(source, "nodePublishSecretRef") {
        match secret.str_at(&["name"]) {
            "" => faults.push(Fault::required(path.child("nodePublishSecretRef").child("name"), "")),
            name => faults.extend(dns_subdomain(name, &path.child("name"))),
        }
    }
    faults
}

/// The template of a claim: its metadata may have labels and annotations only, its spec is that of a claim.
pub fn ephemeral(source: &Value, path: &Path) -> Vec<Fault> {
    let path = path.child("volumeClaimTemplate");
    let Some(template) = set(source, "volumeClaimTemplate") else { return vec![Fault::required(path, "")] };
    let at = path.child("metadata");
    let mut faults = label_faults(template.map_at(&["metadata", "labels"]), &at.child("labels"));
    let fields =
        template.map_at(&["metadata"]).into_iter().flat_map(Map::iter).filter(|(_, v)| !v.is_empty());
    let others = fields.filter(|(k, _)| *k != "labels" && *k != "annotations");
    faults.extend(others.map(|(k, _)| Fault::forbidden(at.child(k), "cannot be set")));
    let empty = Value::map();
    faults.extend(spec_faults(template.get("spec").unwrap_or(&empty), &path.child("spec")));
    faults
}

pub fn image(source: &Value, path: &Path, in_pod: bool) -> Vec<Fault> {
    let mut faults = if in_pod { needs(source, &["reference"], path) } else { Vec::new() };
    faults.extend(containers::pull_policy(source.str_at(&["pullPolicy"]), &path.child("pullPolicy")));
    faults
}
