//! Checks of security contexts of pods and containers. Source: `ValidateSecurityContext`,
//! `validatePodSpecSecurityContext`.

use super::{internal, paths, set, windows};
use crate::validation::one_of;
use api::{Fault, Path, Value, names};
use std::collections::BTreeSet;

/// Ids of users and groups.
const MAX_ID: i64 = i32::MAX as i64;
const MAX_SYSCTL: usize = 253;
const SYSCTL_REGEX: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
/// The longest path less one.
const MAX_PROFILE: usize = 4095;
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn id(context: &Value, field: &str, path: &Path) -> Option<Fault> {
    let id = set(context, field)?.as_i64()?;
    id_in_range(id, &path.child(field))
}

fn id_in_range(id: i64, path: &Path) -> Option<Fault> {
    let detail = names::inclusive_range_error(0, MAX_ID);
    (!(0..=MAX_ID).contains(&id)).then(|| Fault::invalid(path, id, detail))
}

/// `securityContext` of a container.
pub fn container(context: &Value, host_users: bool, path: &Path) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    faults.extend(id(context, "runAsUser", path));
    faults.extend(id(context, "runAsGroup", path));
    if let Some(mount) = set(context, "procMount").and_then(Value::as_str) {
        let path = path.child("procMount");
        faults.extend(one_of(mount, &["Default", "Unmasked"], &path));
        if host_users && mount == "Unmasked" {
            faults.push(Fault::invalid(path, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    faults.extend(seccomp(context, path));
    if set(context, "allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        let shown = || internal::form(Some(context), "SecurityContext");
        if context.bool_at(&["privileged"]) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            faults.push(Fault::invalid(path, shown(), detail));
        }
        for capability in context.list_at(&["capabilities", "add"]) {
            if capability.as_str() == Some("CAP_SYS_ADMIN") {
                let detail =
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
                faults.push(Fault::invalid(path, shown(), detail));
            }
        }
    }
    faults.extend(windows::options(context, path));
    faults.extend(app_armor(context, path));
    faults
}

/// `securityContext` of a pod; what the host shares stands in the spec itself.
pub fn pod(spec: &Value, path: &Path) -> Vec<Fault> {
    let Some(context) = set(spec, "securityContext") else { return Vec::new() };
    let mut faults: Vec<Fault> = Vec::new();
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        faults.extend(id(context, field, path));
    }
    for (i, group) in context.list_at(&["supplementalGroups"]).iter().enumerate() {
        let at = path.child("supplementalGroups").index(i);
        faults.extend(group.as_i64().and_then(|g| id_in_range(g, &at)));
    }
    if spec.bool_at(&["shareProcessNamespace"]) && spec.bool_at(&["hostPID"]) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        faults.push(Fault::invalid(path.child("shareProcessNamespace"), true, detail));
    }
    faults.extend(sysctls(spec, context.list_at(&["sysctls"]), &path.child("sysctls")));
    let choice = |field: &str, allowed: &[&str]| {
        let value = set(context, field).and_then(Value::as_str);
        value.map(|v| one_of(v, allowed, &path.child(field))).unwrap_or_default()
    };
    faults.extend(choice("fsGroupChangePolicy", &["Always", "OnRootMismatch"]));
    faults.extend(seccomp(context, path));
    faults.extend(windows::options(context, path));
    faults.extend(app_armor(context, path));
    faults.extend(choice("supplementalGroupsPolicy", &["Merge", "Strict"]));
    faults.extend(choice("seLinuxChangePolicy", &["MountOption", "Recursive"]));
    faults
}

fn sysctls(spec: &Value, list: &[Value], path: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, sysctl) in list.iter().enumerate() {
        let (at, name) = (path.index(i).child("name"), sysctl.str_at(&["name"]));
        if name.is_empty() {
            faults.push(Fault::required(&at, ""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most {MAX_SYSCTL} characters and match regex {SYSCTL_REGEX}");
            faults.push(Fault::invalid(&at, name, detail));
        } else if seen.contains(name) {
            faults.push(Fault::duplicate(&at, name));
        }
        for (field, owned) in [("hostNetwork", is_of_network(name)), ("hostIPC", is_of_ipc(name))] {
            if owned && spec.bool_at(&[field]) {
                faults.push(Fault::invalid(
                    &at,
                    name,
                    format!("may not be specified when '{field}' is true"),
                ));
            }
        }
        seen.insert(name);
    }
    faults
}

/// Segments of lower-case letters, digits, dashes and underscores with dots or slashes between.
fn is_sysctl(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |s: &str| {
        let bytes = s.as_bytes();
        bytes.first().is_some_and(|b| word(*b))
            && bytes.last().is_some_and(|b| word(*b))
            && bytes.iter().all(|b| word(*b) || *b == b'-' || *b == b'_')
    };
    name.len() <= MAX_SYSCTL && name.split(['.', '/']).all(segment)
}

fn is_of_network(name: &str) -> bool {
    dotted(name).starts_with("net.")
}

fn is_of_ipc(name: &str) -> bool {
    let name = dotted(name);
    let prefixed = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p));
    name == "kernel.sem" || prefixed
}

/// With dots as separators, also when the first separator is a slash.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b'/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// `seccompProfile` of a security context.
fn seccomp(context: &Value, path: &Path) -> Vec<Fault> {
    let Some(profile) = set(context, "seccompProfile") else { return Vec::new() };
    let path = path.child("seccompProfile");
    let kind = profile.str_at(&["type"]);
    let mut faults = match kind {
        "" => vec![Fault::required(path.child("type"), "type is required when seccompProfile is set")],
        kind => one_of(kind, &PROFILES, &path.child("type")),
    };
    let at = path.child("localhostProfile");
    match set(profile, "localhostProfile").and_then(Value::as_str) {
        None if kind == "Localhost" => {
            faults.push(Fault::required(at, "must be set when seccomp type is Localhost"));
        }
        Some(file) if kind == "Localhost" => faults.extend(paths::descending(file, &at)),
        Some(_) => {
            let shown = internal::form(Some(profile), "SeccompProfile");
            faults.push(Fault::invalid(at, shown, "can only be set when seccomp type is Localhost"));
        }
        None => {}
    }
    faults
}

/// `appArmorProfile` of a security context.
fn app_armor(context: &Value, path: &Path) -> Vec<Fault> {
    set(context, "appArmorProfile")
        .map(|profile| app_armor_profile(profile, &path.child("appArmorProfile")))
        .unwrap_or_default()
}

/// A profile of AppArmor.
pub fn app_armor_profile(profile: &Value, path: &Path) -> Vec<Fault> {
    let at = path.child("localhostProfile");
    let file = set(profile, "localhostProfile").and_then(Value::as_str);
    let missing = || Fault::required(&at, "must be set when AppArmor type is Localhost");
    let mut faults = Vec::new();
    match (profile.str_at(&["type"]), file) {
        ("Localhost", None) => faults.push(missing()),
        ("Localhost", Some(file)) => {
            if file.trim() != file {
                faults.push(Fault::invalid(&at, file, "must not be padded with whitespace"));
            } else if file.is_empty() {
                faults.push(missing());
            }
            if file.len() > MAX_PROFILE {
                faults.push(Fault::too_long(&at, MAX_PROFILE));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            faults.push(Fault::invalid(&at, file, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            faults.push(Fault::required(path.child("type"), "type is required when appArmorProfile is set"));
        }
        (kind, _) => faults.push(Fault::not_supported(path.child("type"), kind, &PROFILES)),
    }
    faults
}
