//! Checks of a pod's operating system and of Windows' options. Source: `validateOS`, `validateWindows`,
//! `validateWindowsSecurityContextOptions`, `validateWindowsHostProcessPod`.

use super::{each_container, set};
use crate::validation::{one_of, texts};
use api::{Fault, Path, Value, names};

const MAX_CREDENTIAL_SPEC: usize = 64 * 1024;
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;
/// Of a pod's security context and of the spec, what Windows does not have. In upstream's order.
const NOT_FOR_WINDOWS_PODS: [(&str, &str); 14] = [
    ("securityContext", "appArmorProfile"),
    ("securityContext", "seLinuxOptions"),
    ("", "hostUsers"),
    ("", "hostPID"),
    ("", "hostIPC"),
    ("securityContext", "seccompProfile"),
    ("securityContext", "fsGroup"),
    ("securityContext", "fsGroupChangePolicy"),
    ("securityContext", "sysctls"),
    ("", "shareProcessNamespace"),
    ("securityContext", "runAsUser"),
    ("securityContext", "runAsGroup"),
    ("securityContext", "supplementalGroups"),
    ("securityContext", "supplementalGroupsPolicy"),
];
const NOT_FOR_WINDOWS_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// `os`, and what the named system does not have. `path`: the spec's.
pub fn os(spec: &Value, path: &Path) -> Vec<Fault> {
    let Some(os) = set(spec, "os") else { return Vec::new() };
    match os.str_at(&["name"]) {
        "" => vec![Fault::required(path.child("os").child("name"), "")],
        "linux" => linux(spec, path),
        "windows" => windows(spec, path),
        other => one_of(other, &["linux", "windows"], &path.child("os")),
    }
}

fn linux(spec: &Value, path: &Path) -> Vec<Fault> {
    let holders = std::iter::once((path.clone(), spec)).chain(each_container(spec, path));
    holders
        .filter(|(_, holder)| holder.at(&["securityContext", "windowsOptions"]).is_some_and(|o| !o.is_null()))
        .map(|(at, _)| {
            let at = at.child("securityContext").child("windowsOptions");
            Fault::forbidden(at, "windows options cannot be set for a linux pod")
        })
        .collect()
}

fn windows(spec: &Value, path: &Path) -> Vec<Fault> {
    let detail = "cannot be set for a windows pod";
    let mut faults = Vec::new();
    let no_context = Value::map();
    let context = set(spec, "securityContext").unwrap_or(&no_context);
    let last = ("securityContext", "seLinuxChangePolicy");
    for (holder, field) in NOT_FOR_WINDOWS_PODS.into_iter().chain([last]) {
        let (part, at) = if holder.is_empty() { (spec, path.clone()) } else { (context, path.child(holder)) };
        let set = set(part, field).is_some_and(|v| match field {
            "hostPID" | "hostIPC" | "sysctls" => !v.is_empty(),
            _ => true,
        });
        if set {
            faults.push(Fault::forbidden(at.child(field), detail));
        }
    }
    for (at, container) in each_container(spec, path) {
        let Some(context) = set(container, "securityContext") else { continue };
        let present = NOT_FOR_WINDOWS_CONTAINERS.into_iter().filter(|f| set(context, f).is_some());
        faults.extend(present.map(|f| Fault::forbidden(at.child("securityContext").child(f), detail)));
    }
    faults
}

/// `windowsOptions` of a security context.
pub fn options(context: &Value, path: &Path) -> Vec<Fault> {
    let Some(options) = set(context, "windowsOptions") else { return Vec::new() };
    let path = path.child("windowsOptions");
    let text = |field: &str| set(options, field).and_then(Value::as_str);
    let mut faults = Vec::new();
    if let Some(name) = text("gmsaCredentialSpecName") {
        faults.extend(texts(&path.child("gmsaCredentialSpecName"), name, names::is_dns1123_subdomain(name)));
    }
    if let Some(spec) = text("gmsaCredentialSpec") {
        let at = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            faults.push(Fault::invalid(at, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > MAX_CREDENTIAL_SPEC {
            faults.push(Fault::invalid(at, spec, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(name) = text("runAsUserName") {
        let details = user_name(name).into_iter().map(|d| format!("runAsUserName{d}")).collect();
        faults.extend(texts(&path.child("runAsUserName"), name, details));
    }
    faults
}

/// What is wrong with `DOMAIN\USER`, less the name of the field.
fn user_name(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if name.bytes().any(|b| b.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let (domain, user) = match name.split_once('\\') {
        None => (None, name),
        Some((_, user)) if user.contains('\\') => {
            return vec![" cannot contain more than one backslash".to_owned()];
        }
        Some((domain, user)) => (Some(domain), user),
    };
    let mut details = Vec::new();
    if domain.is_some_and(|d| d.len() >= MAX_DOMAIN) {
        details.push(format!("'s Domain length must be under {MAX_DOMAIN} characters"));
    }
    if domain.is_some_and(|d| !is_net_bios(d) && !is_dns(d)) {
        details.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        details.push("'s User cannot be empty".to_owned());
    } else if user.len() > MAX_USER {
        details.push(format!("'s User length must not be longer than {MAX_USER} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        details.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c: char| r#""/\:;|=,+*?<>@[]"#.contains(c)) {
        details.push(r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#.to_owned());
    }
    details
}

fn is_net_bios(domain: &str) -> bool {
    let good = |c: char| !r#"\/:*?"<>|"#.contains(c);
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && domain.chars().all(good)
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Pods of processes of the host: all containers or none, and only on the host's network.
pub fn host_process(spec: &Value, path: &Path) -> Vec<Fault> {
    let of = |holder: &Value| {
        holder.at(&["securityContext", "windowsOptions", "hostProcess"]).and_then(Value::as_bool)
    };
    let pod = of(spec);
    let (mut faults, mut count, mut total) = (Vec::new(), 0, 0);
    for (at, container) in each_container(spec, path) {
        total += 1;
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let at = at.child("securityContext").child("windowsOptions").child("hostProcess");
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            faults.push(Fault::invalid(at, own, detail));
        }
        count += usize::from(own.or(pod).unwrap_or_default());
    }
    if count > 0 && count != total {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        faults.push(Fault::invalid(path, "", detail));
    }
    if count > 0 && !spec.bool_at(&["hostNetwork"]) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        faults.push(Fault::invalid(path.child("hostNetwork"), false, detail));
    }
    faults
}
