//! What the runtime is told of a pod's sandbox: its name, host name, resolver, namespaces, ports and security.
//!
//! Everything is computed from the pod and the settings; upstream's `kuberuntime_sandbox.go` is the source of names
//! and texts.

mod dns;
mod hostname;
mod namespaces;
mod resources;
mod sysctls;

pub use hostname::{Hostname, hostname};
pub use namespaces::{options, runtime_handler};
pub use sysctls::check as check_sysctls;

use crate::container::{Context, Wait};
use crate::cri;
use crate::pod::spec::{containers, uses_host_network};
use crate::runtime::labels::{POD_NAME, POD_NAMESPACE, POD_UID};
use api::Value;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The reason of a pod whose sandbox cannot be made.
pub const CREATE_POD_SANDBOX: &str = "CreatePodSandboxError";

/// What the runtime is to make for a pod, for the `attempt`th time (from 0).
///
/// # Errors
/// When the pod asks for what cannot be had; the message is upstream's.
pub fn config(ctx: &Context, pod: &Value, attempt: u32) -> Result<cri::PodSandboxConfig, Wait> {
    let fail = |message| Wait::new(CREATE_POD_SANDBOX, message);
    let meta = |field| pod.str_at(&["metadata", field]).to_owned();
    let (dns, warnings) = dns::config(&ctx.settings, pod).map_err(fail)?;
    for warning in warnings {
        ctx.recorder.event(pod, "Warning", warning.reason, &warning.message);
    }
    let hostname = match uses_host_network(pod) {
        true => String::new(),
        false => hostname(pod, &ctx.settings.cluster_domain).and_then(|h| h.of_kernel(pod)).map_err(fail)?,
    };
    Ok(cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: meta("name"),
            uid: meta("uid"),
            namespace: meta("namespace"),
            attempt,
        }),
        hostname,
        log_directory: log_directory(&ctx.settings.log_root, pod).to_string_lossy().into_owned(),
        dns_config: Some(dns),
        port_mappings: pod.list_at(&["spec", "containers"]).iter().flat_map(port_mappings).collect(),
        labels: labels(pod),
        annotations: texts(pod, "annotations"),
        linux: Some(linux(ctx, pod).map_err(fail)?),
        windows: None,
    })
}

/// Where the logs of a pod's containers are: `ROOT/NAMESPACE_NAME_UID`.
pub fn log_directory(root: &Path, pod: &Value) -> PathBuf {
    let meta = |field| pod.str_at(&["metadata", field]);
    root.join(format!("{}_{}_{}", meta("namespace"), meta("name"), meta("uid")))
}

/// The labels that say to which pod something belongs.
pub fn pod_labels(pod: &Value) -> impl Iterator<Item = (String, String)> {
    [(POD_NAME, "name"), (POD_NAMESPACE, "namespace"), (POD_UID, "uid")]
        .map(|(label, field)| (label.to_owned(), pod.str_at(&["metadata", field]).to_owned()))
        .into_iter()
}

fn labels(pod: &Value) -> HashMap<String, String> {
    let mut labels = texts(pod, "labels");
    labels.extend(pod_labels(pod));
    labels
}

fn texts(pod: &Value, field: &str) -> HashMap<String, String> {
    let pairs = pod.map_at(&["metadata", field]).into_iter().flat_map(|map| map.iter());
    pairs.filter_map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned()))).collect()
}

/// The ports of a container, each name once.
fn port_mappings(container: &Value) -> Vec<cri::PortMapping> {
    let mut names = HashSet::new();
    let fresh = |port: &&Value| names.insert(port_key(port));
    container.list_at(&["ports"]).iter().filter(fresh).map(port_mapping).collect()
}

fn port_key(port: &Value) -> String {
    let (name, ip) = (port.str_at(&["name"]), port.str_at(&["hostIP"]));
    if !name.is_empty() {
        return name.to_owned();
    }
    let family = match ip {
        "" => "any",
        ip if ip.contains(':') => "v6",
        _ => "v4",
    };
    let number = |field| port.i64_at(&[field]).unwrap_or(0);
    let protocol = port.str_at(&["protocol"]);
    format!("{family}-{protocol}-{ip}:{}:{}", number("containerPort"), number("hostPort"))
}

fn port_mapping(port: &Value) -> cri::PortMapping {
    let number = |field| port.i64_at(&[field]).and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    let protocol = match port.str_at(&["protocol"]) {
        "UDP" => cri::Protocol::Udp,
        "SCTP" => cri::Protocol::Sctp,
        _ => cri::Protocol::Tcp,
    };
    cri::PortMapping {
        protocol: protocol.into(),
        container_port: number("containerPort"),
        host_port: number("hostPort"),
        host_ip: port.str_at(&["hostIP"]).to_owned(),
    }
}

fn linux(ctx: &Context, pod: &Value) -> Result<cri::LinuxPodSandboxConfig, String> {
    Ok(cri::LinuxPodSandboxConfig {
        cgroup_parent: ctx.cgroups.pod_parent(pod),
        security_context: Some(security_context(pod, supplemental_groups(ctx, pod))?),
        sysctls: sysctls::of(pod).collect(),
        overhead: Some(resources::overhead(pod)),
        resources: Some(resources::of_pod(pod)),
    })
}

fn security_context(pod: &Value, groups: Vec<i64>) -> Result<cri::LinuxSandboxSecurityContext, String> {
    let empty = Value::map();
    let own = pod.at(&["spec", "securityContext"]).unwrap_or(&empty);
    let privileged = |c: &Value| c.bool_at(&["securityContext", "privileged"]);
    Ok(cri::LinuxSandboxSecurityContext {
        namespace_options: Some(options(pod)?),
        selinux_options: selinux_options(own),
        run_as_user: own.i64_at(&["runAsUser"]).map(|value| cri::Int64Value { value }),
        run_as_group: own.i64_at(&["runAsGroup"]).map(|value| cri::Int64Value { value }),
        supplemental_groups: groups,
        supplemental_groups_policy: supplemental_groups_policy(own)?,
        privileged: containers(pod).any(|(_, container)| privileged(container)),
        // The sandbox itself needs no more than the runtime's own profile, whatever its containers ask for.
        seccomp: Some(cri::SecurityProfile::default()),
        ..Default::default()
    })
}

/// The SELinux label of a security context, of a pod or a container.
pub fn selinux_options(security_context: &Value) -> Option<cri::SeLinuxOption> {
    let options = security_context.get("seLinuxOptions").filter(|o| !o.is_null())?;
    let text = |field| options.str_at(&[field]).to_owned();
    Some(cri::SeLinuxOption {
        user: text("user"),
        role: text("role"),
        r#type: text("type"),
        level: text("level"),
    })
}

/// The groups that the processes of a pod are in besides their own: `fsGroup`, `supplementalGroups`, and those that its
/// volumes ask for.
pub fn supplemental_groups(ctx: &Context, pod: &Value) -> Vec<i64> {
    let own = |field| pod.at(&["spec", "securityContext", field]);
    let listed = own("supplementalGroups").and_then(Value::as_list).unwrap_or_default();
    let mounted = ctx.volumes.mounted(pod.str_at(&["metadata", "uid"]));
    let of_volumes = mounted.into_values().filter_map(|volume| volume.gid);
    let mut groups: Vec<i64> = own("fsGroup").and_then(Value::as_i64).into_iter().collect();
    groups.extend(listed.iter().filter_map(Value::as_i64));
    groups.extend(of_volumes);
    groups
}

/// Whether groups of the image's `/etc/group` count as well.
pub fn supplemental_groups_policy(security_context: &Value) -> Result<i32, String> {
    match security_context.str_at(&["supplementalGroupsPolicy"]) {
        "" | "Merge" => Ok(cri::SupplementalGroupsPolicy::Merge.into()),
        "Strict" => Ok(cri::SupplementalGroupsPolicy::Strict.into()),
        other => Err(format!("unsupported supplementalGroupsPolicy: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_port_counts_once_by_name_or_by_what_it_is() {
        let container = tree!({"ports": [
            {"name": "web", "containerPort": 80, "hostPort": 8080, "protocol": "TCP"},
            {"name": "web", "containerPort": 81, "protocol": "TCP"},
            {"containerPort": 53, "protocol": "UDP"},
            {"containerPort": 53, "protocol": "UDP"},
            {"containerPort": 53, "protocol": "UDP", "hostIP": "::1"}
        ]});
        let ports = port_mappings(&container);
        assert_eq!(ports.iter().map(|p| p.container_port).collect::<Vec<_>>(), [80, 53, 53]);
        assert_eq!(ports[0].host_port, 8080);
        assert_eq!(ports[1].protocol, i32::from(cri::Protocol::Udp));
        assert_eq!(ports[2].host_ip, "::1");
    }

    #[test]
    fn a_sandbox_is_privileged_when_one_container_is() {
        let pod = tree!({"spec": {
            "containers": [{"name": "a"}], "initContainers": [{"name": "i", "securityContext": {"privileged": true}}],
            "securityContext": {"runAsUser": 3}
        }});
        let context = security_context(&pod, vec![7, 8]).unwrap();
        assert!(context.privileged);
        assert_eq!(context.supplemental_groups, [7, 8]);
        assert_eq!(context.run_as_user.unwrap().value, 3);
        assert_eq!(
            context.seccomp.unwrap().profile_type(),
            cri::security_profile::ProfileType::RuntimeDefault
        );
    }

    #[test]
    fn labels_say_whose_a_sandbox_is() {
        let pod = tree!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}}});
        let labels = labels(&pod);
        assert_eq!(labels["a"], "b");
        assert_eq!((&*labels[POD_NAME], &*labels[POD_NAMESPACE], &*labels[POD_UID]), ("p", "n", "u"));
        assert_eq!(log_directory(Path::new("/l"), &pod), Path::new("/l/n_p_u"));
    }
}
