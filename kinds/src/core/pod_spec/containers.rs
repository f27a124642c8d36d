//! Checks of the three lists of containers. Source: `validateContainers`, `validateInitContainers`,
//! `validateEphemeralContainers`.

use super::{Scope, env, is_sidecar, mounts, ports, probes, requirements, security, set};
use crate::validation::{dns_label, one_of, required};
use api::{Fault, Path, Value};
use std::collections::BTreeSet;

/// What an ephemeral container may not have.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
/// Rules of restarting at most, and exit codes in a rule.
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// `containers`, of which there must be one.
pub fn regular(scope: &Scope<'_>, path: &Path) -> Vec<Fault> {
    let containers = scope.spec.list_at(&["containers"]);
    if containers.is_empty() {
        return vec![Fault::required(path, "")];
    }
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    for (i, container) in containers.iter().enumerate() {
        let at = path.index(i);
        faults.extend(common(scope, container, &at));
        let name = container.str_at(&["name"]);
        if !names.insert(name) {
            faults.push(Fault::duplicate(at.child("name"), name));
        }
        faults.extend(probes::all(scope, container, &at));
        faults.extend(restart_policy(container, &at));
    }
    faults.extend(ports::host_conflicts(containers.iter().enumerate(), path));
    faults
}

/// `initContainers`, plain ones and sidecars.
pub fn init(scope: &Scope<'_>, path: &Path) -> Vec<Fault> {
    let mut names = scope.names(&["containers"]);
    let mut faults = Vec::new();
    for (i, container) in scope.spec.list_at(&["initContainers"]).iter().enumerate() {
        let at = path.index(i);
        faults.extend(common(scope, container, &at));
        faults.extend(restart_policy(container, &at));
        let name = container.str_at(&["name"]);
        if names.contains(name) {
            faults.push(Fault::duplicate(at.child("name"), name));
        } else if !name.is_empty() {
            names.insert(name);
        }
        faults.extend(ports::host_conflicts(std::iter::once((0, container)), path));
        if is_sidecar(container) {
            faults.extend(probes::all(scope, container, &at));
        } else {
            faults.extend(only_for_sidecars(container, &at));
        }
    }
    faults
}

fn only_for_sidecars(container: &Value, at: &Path) -> Vec<Fault> {
    let present = std::iter::once("lifecycle").chain(PROBES).filter(|f| set(container, f).is_some());
    let detail = "may not be set for init containers without restartPolicy=Always";
    let mut faults: Vec<Fault> = present.map(|f| Fault::forbidden(at.child(f), detail)).collect();
    for (j, policy) in container.list_at(&["resizePolicy"]).iter().enumerate() {
        if policy.str_at(&["restartPolicy"]) == "RestartContainer" {
            let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            let at = at.child("resizePolicy").index(j).child("restartPolicy");
            faults.push(Fault::invalid(at, "RestartContainer", detail));
        }
    }
    faults
}

/// `ephemeralContainers`.
pub fn ephemeral(scope: &Scope<'_>, path: &Path) -> Vec<Fault> {
    let others = scope.names(&["containers", "initContainers"]);
    let (mut names, mut faults) = (others.clone(), Vec::new());
    for (i, container) in scope.spec.list_at(&["ephemeralContainers"]).iter().enumerate() {
        let at = path.index(i);
        faults.extend(common(scope, container, &at));
        faults.extend(image_of_pod(container, &at));
        let name = container.str_at(&["name"]);
        if !names.insert(name) {
            faults.push(Fault::duplicate(at.child("name"), name));
        }
        let target = container.str_at(&["targetContainerName"]);
        if !target.is_empty() && !others.contains(target) {
            faults.push(Fault::not_found(at.child("targetContainerName"), target));
        }
        let detail = "cannot be set for an Ephemeral Container";
        let present = |f: &&&str| container.get(f).is_some_and(|v| !v.is_empty());
        faults.extend(NOT_EPHEMERAL.iter().filter(present).map(|f| Fault::forbidden(at.child(f), detail)));
        for (j, mount) in container.list_at(&["volumeMounts"]).iter().enumerate() {
            let present = ["subPath", "subPathExpr"].into_iter().filter(|f| !mount.str_at(&[f]).is_empty());
            let at = at.child("volumeMounts").index(j);
            faults.extend(present.map(|f| Fault::forbidden(at.child(f), detail)));
        }
    }
    faults
}

/// What holds for pods and not for templates of pods.
pub fn only_for_pods(spec: &Value, list: &str, path: &Path) -> Vec<Fault> {
    let containers = spec.list_at(&[list]).iter().enumerate();
    containers.flat_map(|(i, container)| image_of_pod(container, &path.index(i))).collect()
}

/// No white space around the image's name.
pub fn image_of_pod(container: &Value, at: &Path) -> Option<Fault> {
    let image = container.str_at(&["image"]);
    let detail = "must not have leading or trailing whitespace";
    (image.trim() != image).then(|| Fault::invalid(at.child("image"), image, detail))
}

fn common(scope: &Scope<'_>, container: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| container.str_at(&[field]);
    let mut faults = match text("name") {
        "" => vec![Fault::required(at.child("name"), "")],
        name => dns_label(name, &at.child("name")),
    };
    faults.extend(required(text("image"), &at.child("image")));
    let policies = ["File", "FallbackToLogsOnError"];
    faults.extend(choice(text("terminationMessagePolicy"), &policies, &at.child("terminationMessagePolicy")));
    faults.extend(ports::container(container.list_at(&["ports"]), &at.child("ports")));
    faults.extend(env::variables(container.list_at(&["env"]), &at.child("env")));
    faults.extend(env::sources(container.list_at(&["envFrom"]), &at.child("envFrom")));
    faults.extend(mounts::volume_mounts(scope, container, &at.child("volumeMounts")));
    faults.extend(mounts::volume_devices(scope, container, &at.child("volumeDevices")));
    faults.extend(pull_policy(text("imagePullPolicy"), &at.child("imagePullPolicy")));
    if let Some(resources) = set(container, "resources") {
        faults.extend(requirements::container(resources, &scope.claims, &at.child("resources")));
    }
    faults.extend(resize_policy(scope, container, &at.child("resizePolicy")));
    if let Some(context) = set(container, "securityContext") {
        faults.extend(security::container(context, scope.host_users(), &at.child("securityContext")));
    }
    faults
}

/// A text that must be there and one of a set.
pub fn choice(value: &str, allowed: &[&str], path: &Path) -> Vec<Fault> {
    if value.is_empty() { vec![Fault::required(path, "")] } else { one_of(value, allowed, path) }
}

/// `imagePullPolicy`.
pub fn pull_policy(policy: &str, path: &Path) -> Vec<Fault> {
    choice(policy, &["Always", "IfNotPresent", "Never"], path)
}

fn resize_policy(scope: &Scope<'_>, container: &Value, path: &Path) -> Vec<Fault> {
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    for (i, policy) in container.list_at(&["resizePolicy"]).iter().enumerate() {
        let (name, restart) = (policy.str_at(&["resourceName"]), policy.str_at(&["restartPolicy"]));
        if !names.insert(name) {
            faults.push(Fault::duplicate(path.index(i), name));
        }
        faults.extend(choice(name, &["cpu", "memory"], path));
        faults.extend(choice(restart, &["NotRequired", "RestartContainer"], path));
        if scope.spec.str_at(&["restartPolicy"]) == "Never" && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            faults.push(Fault::invalid(path, restart, detail));
        }
    }
    faults
}

/// `restartPolicy` of a container and its rules.
fn restart_policy(container: &Value, at: &Path) -> Vec<Fault> {
    let rules = container.list_at(&["restartPolicyRules"]);
    let path = at.child("restartPolicy");
    let mut faults = match set(container, "restartPolicy").and_then(Value::as_str) {
        None if rules.is_empty() => Vec::new(),
        None => vec![Fault::required(path, "must specify restartPolicy when restart rules are used")],
        Some(policy) => one_of(policy, &["Always", "Never", "OnFailure"], &path),
    };
    if rules.len() > MAX_RULES {
        faults.push(Fault::too_many(at.child("restartPolicyRules"), rules.len(), MAX_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.child("restartPolicyRules").index(i);
        faults.extend(one_of(
            rule.str_at(&["action"]),
            &["Restart", "RestartAllContainers"],
            &at.child("action"),
        ));
        let codes = at.child("exitCodes");
        let Some(exit_codes) = set(rule, "exitCodes") else {
            faults.push(Fault::required(codes, "must be specified"));
            continue;
        };
        faults.extend(one_of(exit_codes.str_at(&["operator"]), &["In", "NotIn"], &codes.child("operator")));
        let values = exit_codes.list_at(&["values"]).len();
        if values > MAX_EXIT_CODES {
            faults.push(Fault::too_many(codes.child("values"), values, MAX_EXIT_CODES));
        }
    }
    faults
}
