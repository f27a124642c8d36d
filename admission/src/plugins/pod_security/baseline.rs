//! The checks of the level `baseline`: what would give a pod power over its node. Pure. Source:
//! pod-security-admission's `policy/check_*.go`.

use super::checks::{Check, Subject, Violation, bad_profiles, containers, plural, quoted, setters, setting};
use api::Value;
use std::collections::BTreeSet;

/// In upstream's order, which is that of their ids.
pub const CHECKS: &[Check] = &[
    Check::new(&[(0, app_armor_profile)]),
    Check { versions: &[(0, capabilities)], replaced: 22 },
    Check::new(&[(0, host_namespaces)]),
    Check { versions: &[(0, host_path_volumes)], replaced: 0 },
    Check::new(&[(0, host_ports)]),
    Check::new(&[(34, host_probes)]),
    Check::new(&[(0, privileged)]),
    Check { versions: &[(0, proc_mount), (35, relaxed_proc_mount)], replaced: 35 },
    Check::new(&[
        (0, |s| se_linux_options(s, &SE_LINUX_TYPES[..4])),
        (31, |s| se_linux_options(s, &SE_LINUX_TYPES)),
    ]),
    Check { versions: &[(0, seccomp_annotations), (19, seccomp_profile)], replaced: 19 },
    Check::new(&[
        (0, |s| sysctls(s, &SYSCTLS[..5])),
        (27, |s| sysctls(s, &SYSCTLS[..6])),
        (29, |s| sysctls(s, &SYSCTLS[..10])),
        (32, |s| sysctls(s, &SYSCTLS)),
    ]),
    Check::new(&[(0, windows_host_process)]),
];

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The last is of 1.31.
const SE_LINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
/// In the order in which releases added them.
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn app_armor_profile(subject: Subject<'_>) -> Option<Violation> {
    let is_bad = |ty: &str| !matches!(ty, "RuntimeDefault" | "Localhost");
    let (pod, names, types) = bad_profiles(subject, "appArmorProfile", is_bad);
    let is_fine = |value: &str| matches!(value, "" | "runtime/default") || value.starts_with("localhost/");
    let mut annotations: Vec<String> = subject
        .annotations()
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !is_fine(value))
        .map(|(key, value)| format!("{key}={}", api::quote(value)))
        .collect();
    annotations.sort();
    let noun = plural(annotations.len(), "annotation", "annotations");
    let who = [setters(pod, &names), (!annotations.is_empty()).then(|| noun.to_owned())];
    let who: Vec<String> = who.into_iter().flatten().collect();
    if who.is_empty() {
        return None;
    }
    let values: Vec<&str> = types.into_iter().chain(annotations.iter().map(String::as_str)).collect();
    let reason = plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    let who = who.join(" and ");
    Violation::new(reason, format!("{who} must not set AppArmor profile type to {}", quoted(values)))
}

fn capabilities(subject: Subject<'_>) -> Option<Violation> {
    let mut others = BTreeSet::new();
    let names = subject.bad_containers(|container| {
        let bad = added(container).filter(|name| !CAPABILITIES.contains(name));
        bad.fold(false, |_, name| {
            others.insert(name);
            true
        })
    });
    if names.is_empty() {
        return None;
    }
    let detail = not_added(&names, others);
    Violation::new("non-default capabilities", detail)
}

/// The capabilities that a container wants besides its runtime's.
pub fn added(container: &Value) -> impl Iterator<Item = &str> {
    let list = setting(container, &["capabilities", "add"]).and_then(Value::as_list);
    list.into_iter().flatten().filter_map(Value::as_str)
}

pub fn not_added(names: &[&str], capabilities: BTreeSet<&str>) -> String {
    let (who, which) = (containers(names), quoted(capabilities));
    format!("{who} must not include {which} in securityContext.capabilities.add")
}

fn host_namespaces(subject: Subject<'_>) -> Option<Violation> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"].into_iter();
    let shared: Vec<String> =
        fields.filter(|field| subject.spec.bool_at(&[field])).map(|field| format!("{field}=true")).collect();
    if shared.is_empty() {
        return None;
    }
    Violation::new("host namespaces", shared.join(", "))
}

fn host_path_volumes(subject: Subject<'_>) -> Option<Violation> {
    let volumes = subject.spec.list_at(&["volumes"]).iter();
    let names: Vec<&str> =
        volumes.filter(|v| v.get("hostPath").is_some()).map(|v| v.str_at(&["name"])).collect();
    if names.is_empty() {
        return None;
    }
    let noun = plural(names.len(), "volume", "volumes");
    Violation::new("hostPath volumes", format!("{noun} {}", quoted(names)))
}

fn host_ports(subject: Subject<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let names = subject.bad_containers(|container| {
        let taken = container.list_at(&["ports"]).iter().filter_map(|p| p.i64_at(&["hostPort"]));
        taken.filter(|port| *port != 0).fold(false, |_, port| {
            ports.insert(port.to_string());
            true
        })
    });
    if names.is_empty() {
        return None;
    }
    let (use_, noun) = (plural(names.len(), "uses", "use"), plural(ports.len(), "hostPort", "hostPorts"));
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("hostPort", format!("{} {use_} {noun} {ports}", containers(&names)))
}

/// The hosts that a probe or a handler of the lifecycle asks instead of the pod.
fn hosts(handler: Option<&Value>) -> impl Iterator<Item = &str> {
    let of = move |action: &str| handler.map(|h| h.str_at(&[action, "host"])).unwrap_or_default();
    [of("httpGet"), of("tcpSocket")].into_iter().filter(|host| !host.is_empty())
}

fn host_probes(subject: Subject<'_>) -> Option<Violation> {
    let mut found = BTreeSet::new();
    let places: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let mut names = subject.bad_containers(|container| {
        places.iter().flat_map(|place| hosts(container.at(place))).fold(false, |_, host| {
            found.insert(host);
            true
        })
    });
    if names.is_empty() {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    let noun = plural(found.len(), "probe or lifecycle host", "probe or lifecycle hosts");
    let use_ = plural(names.len(), "uses", "use");
    let detail = format!("{} {use_} {noun} {}", containers(&names), quoted(found));
    Violation::new("probe or lifecycle host", detail)
}

fn privileged(subject: Subject<'_>) -> Option<Violation> {
    let names = subject.bad_containers(|c| setting(c, &["privileged"]) == Some(&Value::Bool(true)));
    if names.is_empty() {
        return None;
    }
    Violation::new(
        "privileged",
        format!("{} must not set securityContext.privileged=true", containers(&names)),
    )
}

pub fn proc_mount(subject: Subject<'_>) -> Option<Violation> {
    let mut types = BTreeSet::new();
    let names = subject.bad_containers(|container| {
        let mount = setting(container, &["procMount"]).and_then(Value::as_str);
        mount.filter(|mount| *mount != "Default").is_some_and(|mount| {
            types.insert(mount);
            true
        })
    });
    if names.is_empty() {
        return None;
    }
    let (who, types) = (containers(&names), quoted(types));
    Violation::new("procMount", format!("{who} must not set securityContext.procMount to {types}"))
}

fn relaxed_proc_mount(subject: Subject<'_>) -> Option<Violation> {
    if subject.is_relaxed() { None } else { proc_mount(subject) }
}

fn se_linux_options(subject: Subject<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut is_bad = |options: Option<&Value>| {
        let Some(options) = options else { return false };
        let ty = options.str_at(&["type"]);
        let (bad_type, has_user, has_role) = (
            !allowed.contains(&ty),
            !options.str_at(&["user"]).is_empty(),
            !options.str_at(&["role"]).is_empty(),
        );
        if bad_type {
            types.insert(ty.to_owned());
        }
        user |= has_user;
        role |= has_role;
        bad_type || has_user || has_role
    };
    let pod = is_bad(subject.setting(&["seLinuxOptions"]));
    let names = subject.bad_containers(|container| is_bad(setting(container, &["seLinuxOptions"])));
    let who = setters(pod, &names)?;
    let mut bad = Vec::new();
    if !types.is_empty() {
        let noun = plural(types.len(), "type", "types");
        bad.push(format!("{noun} {}", quoted(types.iter().map(String::as_str))));
    }
    bad.extend(user.then(|| "user may not be set".to_owned()));
    bad.extend(role.then(|| "role may not be set".to_owned()));
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", bad.join("; "));
    Violation::new("seLinuxOptions", detail)
}

fn seccomp_annotations(subject: Subject<'_>) -> Option<Violation> {
    let is_fine = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let names =
        subject.containers().map(|c| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", c.str_at(&["name"])));
    let keys: BTreeSet<String> = names.chain([SECCOMP_ANNOTATION.to_owned()]).collect();
    let mut bad: Vec<String> = subject
        .annotations()
        .filter(|(key, value)| keys.contains(*key) && !is_fine(value))
        .map(|(key, value)| format!("{key}={}", api::quote(value)))
        .collect();
    if bad.is_empty() {
        return None;
    }
    bad.sort();
    let noun = plural(bad.len(), "annotation", "annotations");
    Violation::new("seccompProfile", format!("forbidden {noun} {}", bad.join(", ")))
}

pub fn is_bad_seccomp(ty: &str) -> bool {
    !matches!(ty, "RuntimeDefault" | "Localhost")
}

pub fn seccomp_profile(subject: Subject<'_>) -> Option<Violation> {
    let (pod, names, types) = bad_profiles(subject, "seccompProfile", is_bad_seccomp);
    let who = setters(pod, &names)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(types));
    Violation::new("seccompProfile", detail)
}

fn sysctls(subject: Subject<'_>, allowed: &[&str]) -> Option<Violation> {
    let list = subject.setting(&["sysctls"]).and_then(Value::as_list).unwrap_or_default();
    let names = list.iter().map(|sysctl| sysctl.str_at(&["name"]));
    let bad: Vec<&str> = names.filter(|name| !allowed.contains(name)).collect();
    if bad.is_empty() {
        return None;
    }
    Violation::new("forbidden sysctls", bad.join(", "))
}

fn windows_host_process(subject: Subject<'_>) -> Option<Violation> {
    let is_bad = |setting: Option<&Value>| setting == Some(&Value::Bool(true));
    let path = ["windowsOptions", "hostProcess"];
    let names = subject.bad_containers(|container| is_bad(setting(container, &path)));
    let who = setters(is_bad(subject.setting(&path)), &names)?;
    Violation::new(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
