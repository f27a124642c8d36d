//! The checks of the level `restricted`, besides those of `baseline`: what a hardened pod says. Pure. Source:
//! pod-security-admission's `policy/check_*.go`.

use super::baseline::{added, is_bad_seccomp, not_added, proc_mount, seccomp_profile};
use super::checks::{Check, Subject, Violation, containers, plural, quoted, setters, setting};
use api::Value;
use std::collections::BTreeSet;

/// In upstream's order, which is that of their ids.
pub const CHECKS: &[Check] = &[
    Check::new(&[
        (8, privilege_escalation),
        (25, |s| if s.is_windows() { None } else { privilege_escalation(s) }),
    ]),
    Check::new(&[(22, capabilities), (25, |s| if s.is_windows() { None } else { capabilities(s) })]),
    Check::new(&[(35, proc_mount)]),
    Check::new(&[(0, volumes)]),
    Check::new(&[(0, run_as_non_root), (35, |s| if s.is_relaxed() { None } else { run_as_non_root(s) })]),
    Check::new(&[(23, run_as_user), (35, |s| if s.is_relaxed() { None } else { run_as_user(s) })]),
    Check::new(&[(19, seccomp), (25, |s| if s.is_windows() { None } else { seccomp(s) })]),
];

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// In the order in which they are looked for.
const OTHER_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn privilege_escalation(subject: Subject<'_>) -> Option<Violation> {
    let names =
        subject.bad_containers(|c| setting(c, &["allowPrivilegeEscalation"]) != Some(&Value::Bool(false)));
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

fn capabilities(subject: Subject<'_>) -> Option<Violation> {
    let drops_all = |container| {
        let list = setting(container, &["capabilities", "drop"]).and_then(Value::as_list);
        list.into_iter().flatten().any(|name| name.as_str() == Some("ALL"))
    };
    let keeping = subject.bad_containers(|container| !drops_all(container));
    let mut others = BTreeSet::new();
    let adding = subject.bad_containers(|container| {
        added(container).filter(|name| *name != "NET_BIND_SERVICE").fold(false, |_, name| {
            others.insert(name);
            true
        })
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details
            .push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        details.push(not_added(&adding, others));
    }
    if details.is_empty() {
        return None;
    }
    Violation::new("unrestricted capabilities", details.join("; "))
}

fn volumes(subject: Subject<'_>) -> Option<Violation> {
    let (mut names, mut types) = (Vec::new(), BTreeSet::new());
    for volume in subject.spec.list_at(&["volumes"]) {
        let has = |ty: &&str| volume.get(ty).is_some();
        if !VOLUMES.iter().any(has) {
            names.push(volume.str_at(&["name"]));
            types.insert(OTHER_VOLUMES.iter().copied().find(has).unwrap_or("unknown"));
        }
    }
    if names.is_empty() {
        return None;
    }
    let (noun, use_) = (plural(names.len(), "volume", "volumes"), plural(names.len(), "uses", "use"));
    let what = plural(types.len(), "restricted volume type", "restricted volume types");
    let detail = format!("{noun} {} {use_} {what} {}", quoted(names), quoted(types));
    Violation::new("restricted volume types", detail)
}

fn run_as_non_root(subject: Subject<'_>) -> Option<Violation> {
    let reason = "runAsNonRoot != true";
    let of = |value: Option<&Value>| value.and_then(Value::as_bool);
    let pod = of(subject.setting(&["runAsNonRoot"]));
    let own = |container| of(setting(container, &["runAsNonRoot"]));
    let explicit = subject.bad_containers(|container| own(container) == Some(false));
    if let Some(who) = setters(pod == Some(false), &explicit) {
        return Violation::new(reason, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = subject.bad_containers(|container| own(container).is_none() && pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
    Violation::new(reason, detail)
}

fn run_as_user(subject: Subject<'_>) -> Option<Violation> {
    let is_root = |value: Option<&Value>| value.and_then(Value::as_i64) == Some(0);
    let names = subject.bad_containers(|container| is_root(setting(container, &["runAsUser"])));
    let who = setters(is_root(subject.setting(&["runAsUser"])), &names)?;
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

fn seccomp(subject: Subject<'_>) -> Option<Violation> {
    if let Some(violation) = seccomp_profile(subject) {
        return Some(violation);
    }
    let is_set = |of: Option<&Value>| of.is_some_and(|profile| !is_bad_seccomp(profile.str_at(&["type"])));
    if is_set(subject.setting(&["seccompProfile"])) {
        return None;
    }
    let silent = subject.bad_containers(|container| setting(container, &["seccompProfile"]).is_none());
    if silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers(&silent)
    );
    Violation::new("seccompProfile", detail)
}
