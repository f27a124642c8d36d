//! Checks of annotations that mean something to pods: mirrors of static pods, cost of deletion, and the old places of
//! seccomp and AppArmor profiles. Source: `ValidatePodSpecificAnnotations` and its like.

use super::{each_container, paths, set};
use api::{Fault, Map, Path, Value};

pub const MIRROR: &str = "kubernetes.io/config.mirror";
pub const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
pub const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The annotations of a pod or template in order of keys.
fn all(obj: &Value) -> impl Iterator<Item = (&str, &str)> {
    let map = obj.map_at(&["metadata", "annotations"]);
    map.into_iter().flat_map(Map::iter).map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))
}

/// An annotation of a pod or template.
pub fn get<'v>(obj: &'v Value, key: &str) -> Option<&'v str> {
    obj.at(&["metadata", "annotations", key]).and_then(Value::as_str)
}

/// What annotations of a pod or template must look like. `path`: that of the annotations.
pub fn check(obj: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let no_spec = Value::Null;
    let spec = obj.get("spec").unwrap_or(&no_spec);
    if let Some(value) = get(obj, MIRROR).filter(|_| spec.str_at(&["nodeName"]).is_empty()) {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        faults.push(Fault::invalid(path.key(MIRROR), value, detail));
    }
    if let Some(cost) = get(obj, DELETION_COST).filter(|cost| !is_int32(cost)) {
        faults.push(Fault::invalid(path.key(DELETION_COST), cost, "must be a 32bit integer"));
    }
    if let Some(profile) = get(obj, SECCOMP_POD) {
        faults.extend(seccomp_profile(profile, &path.child(SECCOMP_POD)));
    }
    for (key, profile) in all(obj).filter(|(k, _)| k.starts_with(SECCOMP_CONTAINER)) {
        faults.extend(seccomp_profile(profile, &path.child(key)));
    }
    for (key, profile) in all(obj) {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        if !each_container(spec, path).any(|(_, c)| c.str_at(&["name"]) == name) {
            faults.push(Fault::invalid(path.key(key), name, "container not found"));
        }
        let known = matches!(profile, "" | "runtime/default" | "unconfined");
        if !known && !profile.starts_with("localhost/") {
            let detail = format!("invalid AppArmor profile name: {}", api::quote(profile));
            faults.push(Fault::invalid(path.key(key), profile, detail));
        }
    }
    faults
}

/// A number of 32 bits without a plus sign or leading zeros.
fn is_int32(text: &str) -> bool {
    let first = text.bytes().next().unwrap_or_default();
    (first == b'-' || text == "0" || (b'1'..=b'9').contains(&first)) && text.parse::<i32>().is_ok()
}

fn seccomp_profile(profile: &str, path: &Path) -> Vec<Fault> {
    match profile.strip_prefix("localhost/") {
        Some(file) => paths::descending(file, path),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => Vec::new(),
        None => vec![Fault::invalid(path, profile, "must be a valid seccomp profile")],
    }
}

/// Profiles in annotations must agree with those in fields.
pub fn match_fields(obj: &Value, path: &Path) -> Vec<Fault> {
    let no_spec = Value::Null;
    let spec = obj.get("spec").unwrap_or(&no_spec);
    let mut faults = Vec::new();
    if let Some(annotation) = get(obj, SECCOMP_POD) {
        faults.extend(matches_profile(spec, annotation, "seccomp", path));
    }
    for (at, container) in each_container(spec, path) {
        let key = format!("{SECCOMP_CONTAINER}{}", container.str_at(&["name"]));
        if let Some(annotation) = get(obj, &key) {
            faults.extend(matches_profile(container, annotation, "seccomp", &at));
        }
    }
    if spec.str_at(&["os", "name"]) == "windows" {
        return faults;
    }
    for (at, container) in each_container(spec, path) {
        let key = format!("{APP_ARMOR}{}", container.str_at(&["name"]));
        let own = container.at(&["securityContext", "appArmorProfile"]).filter(|p| !p.is_null());
        if let Some(annotation) = get(obj, &key) {
            let holder = if own.is_some() { container } else { spec };
            faults.extend(matches_profile(holder, annotation, "apparmor", &at));
        }
    }
    faults
}

/// `holder`: what has the `securityContext`; `path`: whose field is named in the fault.
fn matches_profile(holder: &Value, annotation: &str, what: &str, path: &Path) -> Option<Fault> {
    let field = if what == "seccomp" { "seccompProfile" } else { "appArmorProfile" };
    let profile = set(holder.get("securityContext")?, field)?;
    let path = path.child("securityContext").child(field);
    let file = annotation.strip_prefix("localhost/");
    let agrees = match profile.str_at(&["type"]) {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => {
            let same = set(profile, "localhostProfile").and_then(Value::as_str) == file;
            if file.is_some() && !same {
                let detail = format!("{what} profile in annotation and field must match");
                return Some(Fault::forbidden(path.child("localhostProfile"), detail));
            }
            file.is_some()
        }
        _ => true,
    };
    let detail = format!("{what} type in annotation and field must match");
    (!agrees).then(|| Fault::forbidden(path.child("type"), detail))
}

/// What of the annotations of a pod may not change.
pub fn check_update(new: &Value, old: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut forbid = |key: &str, app_armor: &str, mirror: &str| {
        if key.starts_with(APP_ARMOR) {
            faults.push(Fault::forbidden(path.key(key), format!("may not {app_armor} AppArmor annotations")));
        }
        if key == MIRROR {
            faults.push(Fault::forbidden(path.key(key), format!("may not {mirror} mirror pod annotation")));
        }
    };
    for (key, _) in all(old).filter(|(key, value)| get(new, key) != Some(value)) {
        forbid(key, "remove or update", "remove or update");
    }
    for (key, _) in all(new).filter(|(key, _)| get(old, key).is_none()) {
        forbid(key, "add", "add");
    }
    faults.extend(check(new, path));
    faults
}
