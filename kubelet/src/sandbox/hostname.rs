//! The host name of a pod, and its domain.

use api::Value;
use api::names::{is_dns1123_label, is_dns1123_subdomain};

/// What a kernel takes as a host name.
const HOSTNAME_MAX: usize = 63;
const FQDN_MAX: usize = 64;

/// The short host name of a pod, and its domain ("" when it has none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    pub name: String,
    pub domain: String,
}

/// The names of a pod, as its spec says or after its own name.
///
/// # Errors
/// Upstream's texts, for names that are none.
pub fn hostname(pod: &Value, cluster_domain: &str) -> Result<Hostname, String> {
    let (spec, pod_name) = (|field| pod.str_at(&["spec", field]), pod.str_at(&["metadata", "name"]));
    let valid = |what: &str, name: &str, kind: &str, faults: Vec<String>| match faults.as_slice() {
        [] => Ok(()),
        faults => Err(format!("pod {what} {name:?} is not a valid {kind}: {}", faults.join(";"))),
    };
    if let Some(name) = pod.at(&["spec", "hostnameOverride"]).and_then(Value::as_str) {
        valid("HostnameOverride", name, "DNS subdomain", is_dns1123_subdomain(name))?;
        return Ok(Hostname { name: truncate(pod_name, name)?, domain: String::new() });
    }
    let (own, subdomain) = (spec("hostname"), spec("subdomain"));
    if !own.is_empty() {
        valid("Hostname", own, "DNS label", is_dns1123_label(own))?;
    }
    let name = truncate(pod_name, if own.is_empty() { pod_name } else { own })?;
    if subdomain.is_empty() {
        return Ok(Hostname { name, domain: String::new() });
    }
    valid("Subdomain", subdomain, "DNS label", is_dns1123_label(subdomain))?;
    let namespace = pod.str_at(&["metadata", "namespace"]);
    Ok(Hostname { name, domain: format!("{subdomain}.{namespace}.svc.{cluster_domain}") })
}

impl Hostname {
    /// What the kernel is told: the whole name where the pod asks for it (`setHostnameAsFQDN`).
    pub fn of_kernel(self, pod: &Value) -> Result<String, String> {
        if self.domain.is_empty() || !pod.bool_at(&["spec", "setHostnameAsFQDN"]) {
            return Ok(self.name);
        }
        let whole = format!("{}.{}", self.name, self.domain);
        if whole.len() > FQDN_MAX {
            return Err(format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long \
                 ({FQDN_MAX} characters is the max, {} characters requested)",
                whole.len()
            ));
        }
        Ok(whole)
    }
}

fn truncate(pod_name: &str, name: &str) -> Result<String, String> {
    let Some(cut) = name.get(..HOSTNAME_MAX).filter(|_| name.len() > HOSTNAME_MAX) else {
        return Ok(name.to_owned());
    };
    match cut.trim_end_matches(['-', '.']) {
        "" => Err(format!("hostname for pod {pod_name:?} was invalid: {name:?}")),
        cut => Ok(cut.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(spec: Value) -> Value {
        tree!({"metadata": {"name": "web-0", "namespace": "n"}, "spec": (spec)})
    }

    fn kernel(spec: Value) -> Result<String, String> {
        let pod = pod(spec);
        hostname(&pod, "cluster.local")?.of_kernel(&pod)
    }

    #[test]
    fn a_pod_is_called_after_itself_or_as_its_spec_says() {
        assert_eq!(kernel(tree!({})).unwrap(), "web-0");
        assert_eq!(kernel(tree!({"hostname": "a"})).unwrap(), "a");
        assert_eq!(kernel(tree!({"hostname": "a", "hostnameOverride": "b.c"})).unwrap(), "b.c");
        let named = hostname(&pod(tree!({"hostname": "a", "subdomain": "s"})), "cluster.local").unwrap();
        assert_eq!(named.domain, "s.n.svc.cluster.local");
    }

    #[test]
    fn the_whole_name_is_used_where_it_is_asked_for_and_fits() {
        let spec = tree!({"hostname": "a", "subdomain": "s", "setHostnameAsFQDN": true});
        assert_eq!(kernel(spec).unwrap(), "a.s.n.svc.cluster.local");
        let spec = tree!({"hostname": ("a".repeat(60)), "subdomain": "s", "setHostnameAsFQDN": true});
        assert!(kernel(spec).unwrap_err().ends_with("(64 characters is the max, 82 characters requested)"));
    }

    #[test]
    fn long_names_are_cut_and_do_not_end_in_a_dash() {
        let pod =
            tree!({"metadata": {"name": (format!("{}-{}", "a".repeat(62), "b".repeat(9)))}, "spec": {}});
        assert_eq!(hostname(&pod, "c").unwrap().name, "a".repeat(62));
    }
}
