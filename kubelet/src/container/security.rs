//! As whom a container runs and what it may do: the security contexts of pod and container in one.

use super::{ContainerFacts, Context, profiles};
use crate::cri::{self, Int64Value, LinuxContainerSecurityContext, NamespaceMode};
use crate::pod::spec::full_name;
use crate::sandbox;
use api::Value;
use std::sync::LazyLock;

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The largest number of a user that the API takes.
const LARGEST_ID: i64 = 2_147_483_647;

/// A field of the container's context, or else of the pod's.
fn effective<'a>(pod: &'a Value, container: &'a Value, field: &str) -> Option<&'a Value> {
    let of = |context: Option<&'a Value>| context?.get(field).filter(|v| !v.is_null());
    of(container.get("securityContext")).or_else(|| of(pod.at(&["spec", "securityContext"])))
}

/// Refuses a container that must not run as root and would, or may.
///
/// # Errors
/// Upstream's texts.
pub fn check_non_root(pod: &Value, container: &Value, facts: &ContainerFacts) -> Result<(), String> {
    if effective(pod, container, "runAsNonRoot").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    let of = format!("(pod: {:?}, container: {})", full_name(pod), container.str_at(&["name"]));
    match effective(pod, container, "runAsUser").and_then(Value::as_i64) {
        Some(0) => return Err(format!("container's runAsUser breaks non-root policy {of}")),
        Some(_) => return Ok(()),
        None => {}
    }
    match (facts.image_uid, facts.image_user.as_str()) {
        (None, user) if !user.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root {of}"
        )),
        (None | Some(0), _) => Err(format!("container has runAsNonRoot and image will run as root {of}")),
        (Some(uid), _) if !(0..=LARGEST_ID).contains(&uid) => Err(format!(
            "container has runAsNonRoot and image has an invalid user id ({uid}). (Must be 1-({LARGEST_ID})): must \
             be between 0 and {LARGEST_ID}, inclusive {of}"
        )),
        _ => Ok(()),
    }
}

/// What the runtime is told.
///
/// # Errors
/// When the contexts ask for what cannot be.
pub fn context(
    ctx: &Context,
    pod: &Value,
    container: &Value,
    facts: &ContainerFacts,
) -> Result<LinuxContainerSecurityContext, String> {
    let empty = Value::map();
    let (own, of_pod) = (
        container.get("securityContext").unwrap_or(&empty),
        pod.at(&["spec", "securityContext"]).unwrap_or(&empty),
    );
    let number = |field| effective(pod, container, field).and_then(Value::as_i64);
    let (run_as_user, run_as_username) = user(number("runAsUser"), facts);
    let masked = own.str_at(&["procMount"]) != "Unmasked";
    let (apparmor, apparmor_profile) = profiles::app_armor(pod, container)?.unzip();
    #[allow(deprecated)] // Runtimes of containerd 1 read the older form of the AppArmor profile only.
    Ok(LinuxContainerSecurityContext {
        capabilities: capabilities(own),
        privileged: own.bool_at(&["privileged"]),
        namespace_options: Some(namespaces(pod, facts)?),
        selinux_options: sandbox::selinux_options(own).or_else(|| sandbox::selinux_options(of_pod)),
        run_as_user: run_as_user.map(|value| Int64Value { value }),
        run_as_group: number("runAsGroup").map(|value| Int64Value { value }),
        run_as_username,
        readonly_rootfs: own.bool_at(&["readOnlyRootFilesystem"]),
        supplemental_groups: sandbox::supplemental_groups(ctx, pod),
        supplemental_groups_policy: sandbox::supplemental_groups_policy(of_pod)?,
        no_new_privs: own.get("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false),
        masked_paths: if masked { MASKED_HERE.clone() } else { Vec::new() },
        readonly_paths: if masked { READ_ONLY.map(str::to_owned).to_vec() } else { Vec::new() },
        seccomp: Some(profiles::seccomp(pod, container, &ctx.settings.root.join("seccomp"))?),
        apparmor,
        apparmor_profile: apparmor_profile.unwrap_or_default(),
        ..Default::default()
    })
}

/// The user that the pod asks for, or else that of the image; root when nobody says.
fn user(wanted: Option<i64>, facts: &ContainerFacts) -> (Option<i64>, String) {
    match (wanted, facts.image_uid) {
        (Some(uid), _) => (Some(uid), String::new()),
        (None, Some(uid)) => (Some(uid), String::new()),
        (None, None) if facts.image_user.is_empty() => (Some(0), String::new()),
        (None, None) => (None, facts.image_user.clone()),
    }
}

fn namespaces(pod: &Value, facts: &ContainerFacts) -> Result<cri::NamespaceOption, String> {
    let mut options = sandbox::options(pod)?;
    if let Some(target) = facts.target_id.as_ref().filter(|_| options.pid() == NamespaceMode::Container) {
        options.pid = NamespaceMode::Target.into();
        options.target_id.clone_from(target);
    }
    Ok(options)
}

fn capabilities(own: &Value) -> Option<cri::Capability> {
    let given = own.get("capabilities").filter(|c| !c.is_null())?;
    let texts = |field| given.list_at(&[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Some(cri::Capability {
        add_capabilities: texts("add"),
        drop_capabilities: texts("drop"),
        ..Default::default()
    })
}

/// What containers must not see of this machine.
static MASKED_HERE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let throttles =
        std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten().filter_map(|cpu| {
            let name = cpu.file_name();
            let number = name.to_str()?.strip_prefix("cpu")?.parse::<u32>().ok()?;
            let path = format!("/sys/devices/system/cpu/cpu{number}/thermal_throttle");
            std::fs::exists(&path).unwrap_or(false).then_some(path)
        });
    MASKED.map(str::to_owned).into_iter().chain(throttles).collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn non_root(pod: Value, container: Value, uid: Option<i64>, user: &str) -> Result<(), String> {
        let mut pod = tree!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"securityContext": (pod)}});
        pod.set(&["spec", "x"], 1);
        let container = tree!({"name": "c", "securityContext": (container)});
        let facts = ContainerFacts { image_uid: uid, image_user: user.to_owned(), ..Default::default() };
        check_non_root(&pod, &container, &facts)
    }

    #[test]
    fn a_container_that_must_not_be_root_is_held_back_in_upstreams_words() {
        let must = || tree!({"runAsNonRoot": true});
        let of = "(pod: \"p_n(u)\", container: c)";
        assert_eq!(
            non_root(must(), tree!({}), Some(0), "").unwrap_err(),
            format!("container has runAsNonRoot and image will run as root {of}")
        );
        assert_eq!(
            non_root(must(), tree!({}), None, "www").unwrap_err(),
            format!(
                "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root {of}"
            )
        );
        assert_eq!(
            non_root(must(), tree!({"runAsUser": 0}), Some(5), "").unwrap_err(),
            format!("container's runAsUser breaks non-root policy {of}")
        );
        assert!(non_root(must(), tree!({}), Some(5), "").is_ok());
        assert!(non_root(must(), tree!({"runAsUser": 7}), Some(0), "").is_ok());
        assert!(non_root(must(), tree!({"runAsNonRoot": false}), Some(0), "").is_ok());
        assert!(non_root(tree!({}), tree!({}), Some(0), "").is_ok());
    }

    #[test]
    fn the_user_is_the_pods_the_images_or_root() {
        let facts = |uid, name: &str| ContainerFacts {
            image_uid: uid,
            image_user: name.to_owned(),
            ..Default::default()
        };
        assert_eq!(user(Some(3), &facts(Some(4), "")), (Some(3), String::new()));
        assert_eq!(user(None, &facts(Some(4), "")), (Some(4), String::new()));
        assert_eq!(user(None, &facts(None, "www")), (None, "www".to_owned()));
        assert_eq!(user(None, &facts(None, "")), (Some(0), String::new()));
    }

    #[test]
    fn an_ephemeral_container_sees_the_processes_of_its_target_unless_the_pod_shares_them() {
        let facts = ContainerFacts { target_id: Some("t".to_owned()), ..Default::default() };
        let options = namespaces(&tree!({"spec": {}}), &facts).unwrap();
        assert_eq!((options.pid(), options.target_id.as_str()), (NamespaceMode::Target, "t"));
        let shared = namespaces(&tree!({"spec": {"shareProcessNamespace": true}}), &facts).unwrap();
        assert_eq!((shared.pid(), shared.target_id.as_str()), (NamespaceMode::Pod, ""));
    }
}
