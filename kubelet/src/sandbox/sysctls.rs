//! Kernel parameters of a pod: those that are its own and can do others no harm.

use crate::container::Wait;
use crate::pod::spec::uses_host_network;
use api::Value;

/// What pods may set, and the namespace that it belongs to.
const SAFE: [(&str, &str); 12] = [
    ("kernel.shm_rmid_forced", "IPC"),
    ("net.ipv4.ip_local_port_range", "Net"),
    ("net.ipv4.tcp_syncookies", "Net"),
    ("net.ipv4.ping_group_range", "Net"),
    ("net.ipv4.ip_unprivileged_port_start", "Net"),
    ("net.ipv4.ip_local_reserved_ports", "Net"),
    ("net.ipv4.tcp_keepalive_time", "Net"),
    ("net.ipv4.tcp_fin_timeout", "Net"),
    ("net.ipv4.tcp_keepalive_intvl", "Net"),
    ("net.ipv4.tcp_keepalive_probes", "Net"),
    ("net.ipv4.tcp_rmem", "Net"),
    ("net.ipv4.tcp_wmem", "Net"),
];

/// The parameters of a pod, names with dots.
pub fn of(pod: &Value) -> impl Iterator<Item = (String, String)> {
    let given = pod.list_at(&["spec", "securityContext", "sysctls"]).iter();
    given.map(|sysctl| (normal(sysctl.str_at(&["name"])), sysctl.str_at(&["value"]).to_owned()))
}

/// Refuses a pod that sets what it must not.
///
/// # Errors
/// Upstream's reason and text, with which the pod fails.
pub fn check(pod: &Value) -> Result<(), Wait> {
    let forbidden = |why: String| Err(Wait::new("SysctlForbidden", format!("forbidden sysctl: {why}")));
    for (name, _) in of(pod) {
        let namespace = SAFE.iter().find(|(safe, _)| *safe == name).map(|(_, namespace)| *namespace);
        let of_host = match namespace {
            None => return forbidden(format!("{name:?} not allowlisted")),
            Some("IPC") => pod.bool_at(&["spec", "hostIPC"]),
            Some(_) => uses_host_network(pod),
        };
        if of_host {
            return forbidden(format!(
                "{name:?} not allowed with host {} enabled",
                namespace.unwrap_or_default()
            ));
        }
    }
    Ok(())
}

/// `net/ipv4/conf/eth0.1/x` is `net.ipv4.conf.eth0/1.x`: what comes first tells apart.
fn normal(name: &str) -> String {
    match name.chars().find(|c| matches!(c, '.' | '/')) {
        Some('/') => name
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

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn refused(name: &str, spec: Value) -> Option<String> {
        let mut pod = tree!({"spec": (spec)});
        pod.set(&["spec", "securityContext", "sysctls"], vec![tree!({"name": name, "value": "1"})]);
        check(&pod).err().map(|wait| wait.message)
    }

    #[test]
    fn only_what_is_the_pods_own_may_be_set() {
        assert_eq!(refused("net.ipv4.tcp_syncookies", tree!({})), None);
        assert_eq!(refused("net/ipv4/tcp_syncookies", tree!({})), None);
        assert_eq!(
            refused("vm.swappiness", tree!({})).unwrap(),
            "forbidden sysctl: \"vm.swappiness\" not allowlisted"
        );
        let host = refused("net.ipv4.tcp_syncookies", tree!({"hostNetwork": true})).unwrap();
        assert_eq!(host, "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host Net enabled");
        assert!(refused("kernel.shm_rmid_forced", tree!({"hostIPC": true})).is_some());
    }

    #[test]
    fn names_with_slashes_are_names_with_dots() {
        assert_eq!(normal("net/ipv4/conf/eth0.1/x"), "net.ipv4.conf.eth0/1.x");
        assert_eq!(normal("net.ipv4.x"), "net.ipv4.x");
    }
}
