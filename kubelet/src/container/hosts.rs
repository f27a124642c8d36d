//! The `/etc/hosts` of a pod's containers.

use crate::sandbox::Hostname;
use api::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where containers look names up first.
pub const ETC_HOSTS: &str = "/etc/hosts";

/// Writes the file of a pod with these addresses into its folder; the path of the file.
///
/// # Errors
/// When it cannot be written, or, for pods of the host's network, the host's cannot be read.
pub fn write(pod_dir: &Path, pod: &Value, ips: &[String], hostname: &Hostname) -> std::io::Result<PathBuf> {
    let mut text = match pod.bool_at(&["spec", "hostNetwork"]) {
        true => {
            format!(
                "# Kubernetes-managed hosts file (host network).\n{}",
                std::fs::read_to_string(ETC_HOSTS)?
            )
        }
        false => of_pod(ips, hostname),
    };
    text.push_str(&aliases(pod.list_at(&["spec", "hostAliases"])));
    let path = pod_dir.join("etc-hosts");
    std::fs::create_dir_all(pod_dir)?;
    // Kept in place: running containers have this very file mounted.
    if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
        std::fs::write(&path, text)?;
    }
    crate::volumes::set_mode(&path, 0o644)?;
    Ok(path)
}

fn of_pod(ips: &[String], hostname: &Hostname) -> String {
    let mut text = "# Kubernetes-managed hosts file.\n\
                    127.0.0.1\tlocalhost\n\
                    ::1\tlocalhost ip6-localhost ip6-loopback\n\
                    fe00::0\tip6-localnet\n\
                    fe00::0\tip6-mcastprefix\n\
                    fe00::1\tip6-allnodes\n\
                    fe00::2\tip6-allrouters\n"
        .to_owned();
    let Hostname { name, domain } = hostname;
    for ip in ips {
        let _ = match domain.as_str() {
            "" => writeln!(text, "{ip}\t{name}"),
            domain => writeln!(text, "{ip}\t{name}.{domain}\t{name}"),
        };
    }
    text
}

fn aliases(aliases: &[Value]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut text = "\n# Entries added by HostAliases.\n".to_owned();
    for alias in aliases {
        let names: Vec<&str> = alias.list_at(&["hostnames"]).iter().filter_map(Value::as_str).collect();
        let _ = writeln!(text, "{}\t{}", alias.str_at(&["ip"]), names.join("\t"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_file_names_the_pod_and_its_aliases() {
        let dir = tempfile::tempdir().unwrap();
        let pod = tree!({"spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}});
        let hostname = Hostname { name: "p".into(), domain: "s.n.svc.cluster.local".into() };
        let path = write(dir.path(), &pod, &["10.0.0.9".to_owned()], &hostname).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{text}");
        let end = "10.0.0.9\tp.s.n.svc.cluster.local\tp\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_pod_of_the_hosts_network_has_the_hosts_file() {
        let dir = tempfile::tempdir().unwrap();
        let hostname = Hostname { name: "p".into(), domain: String::new() };
        let path = write(dir.path(), &tree!({"spec": {"hostNetwork": true}}), &[], &hostname).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# Kubernetes-managed hosts file (host network).\n"));
        assert!(text.ends_with(&std::fs::read_to_string(ETC_HOSTS).unwrap()));
    }
}
