//! The resolver configuration of a pod: that of the cluster, of the machine or its own (`dnsPolicy`, `dnsConfig`),
//! within the limits of resolvers.

use crate::pod::spec::{full_name, uses_host_network};
use crate::{Settings, cri};
use api::Value;
use std::path::Path;

const MAX_SEARCH_PATHS: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_SEARCH_PATH_CHARS: usize = 253;
const MAX_NAMESERVERS: usize = 3;

/// Something about the pod that somebody should see as an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Warning {
    pub reason: &'static str,
    pub message: String,
}

/// The resolver configuration, and what had to be left out.
///
/// # Errors
/// When the machine's configuration cannot be read.
pub fn config(settings: &Settings, pod: &Value) -> Result<(cri::DnsConfig, Vec<Warning>), String> {
    let mut warnings = Vec::new();
    let host = || of_machine(&settings.resolv_conf);
    let host_network = uses_host_network(pod);
    let mut dns = match pod.str_at(&["spec", "dnsPolicy"]) {
        "None" => cri::DnsConfig::default(),
        "Default" => host()?,
        "ClusterFirst" if host_network => host()?,
        _ if settings.cluster_dns.is_empty() => {
            warnings.push(missing(pod));
            host()?
        }
        _ => of_cluster(settings, pod, host()?),
    };
    if let Some(own) = pod.at(&["spec", "dnsConfig"]) {
        merge(&mut dns, own);
    }
    limit(&mut dns, &mut warnings);
    Ok((dns, warnings))
}

fn missing(pod: &Value) -> Warning {
    let message = format!(
        "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" \
         policy. Falling back to \"Default\" policy.",
        full_name(pod)
    );
    Warning { reason: "MissingClusterDNS", message }
}

fn of_cluster(settings: &Settings, pod: &Value, host: cri::DnsConfig) -> cri::DnsConfig {
    let mut searches = host.searches;
    let domain = &settings.cluster_domain;
    if !domain.is_empty() {
        let namespace = pod.str_at(&["metadata", "namespace"]);
        searches.splice(0..0, [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()]);
        searches = once_each(searches);
    }
    let servers = settings.cluster_dns.iter().map(ToString::to_string).collect();
    cri::DnsConfig { servers, searches, options: vec!["ndots:5".to_owned()] }
}

/// What `/etc/resolv.conf` says; without such a file, a resolver on the pod's own machine.
fn of_machine(path: &Path) -> Result<cri::DnsConfig, String> {
    if path.as_os_str().is_empty() {
        let servers = vec!["127.0.0.1".to_owned()];
        return Ok(cri::DnsConfig { servers, searches: vec![".".to_owned()], options: Vec::new() });
    }
    let text = std::fs::read_to_string(path).map_err(|why| format!("open {}: {why}", path.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<cri::DnsConfig, String> {
    let mut dns = cri::DnsConfig::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let mut fields = line.split_whitespace();
        match fields.next() {
            Some("nameserver") => {
                let missing =
                    "Encountered error while parsing resolv conf file. Error: nameserver list is empty ";
                dns.servers.push(fields.next().ok_or(missing)?.to_owned());
            }
            // The last line wins.
            Some("search") => {
                let one = |s: &str| s.strip_suffix('.').unwrap_or(s).to_owned();
                dns.searches = fields.filter(|s| *s != ".").map(one).collect();
            }
            Some("options") => fields.for_each(|option| set_option(&mut dns.options, option.to_owned())),
            _ => {}
        }
    }
    Ok(dns)
}

/// Adds an option (`ndots:5`), or replaces that of the same name.
fn set_option(options: &mut Vec<String>, option: String) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    match options.iter_mut().find(|o| name(o) == name(&option)) {
        Some(there) => *there = option,
        None => options.push(option),
    }
}

/// Adds what the pod says itself.
fn merge(dns: &mut cri::DnsConfig, own: &Value) {
    let texts = |field| own.list_at(&[field]).iter().filter_map(Value::as_str).map(str::to_owned);
    dns.servers = once_each(dns.servers.drain(..).chain(texts("nameservers")).collect());
    dns.searches = once_each(dns.searches.drain(..).chain(texts("searches")).collect());
    for option in own.list_at(&["options"]) {
        let (name, value) = (option.str_at(&["name"]), option.str_at(&["value"]));
        let option = if value.is_empty() { name.to_owned() } else { format!("{name}:{value}") };
        set_option(&mut dns.options, option);
    }
}

fn once_each(mut texts: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts
}

/// Leaves out what resolvers do not take.
fn limit(dns: &mut cri::DnsConfig, warnings: &mut Vec<Warning>) {
    if dns.servers.len() > MAX_NAMESERVERS {
        dns.servers.truncate(MAX_NAMESERVERS);
        let message = format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            dns.servers.join(" ")
        );
        warnings.push(Warning { reason: "DNSConfigForming", message });
    }
    let before = dns.searches.len();
    dns.searches.truncate(MAX_SEARCH_PATHS);
    dns.searches.retain(|search| search.len() <= MAX_SEARCH_PATH_CHARS);
    while dns.searches.join(" ").len() > MAX_SEARCH_CHARS {
        dns.searches.pop();
    }
    if dns.searches.len() < before {
        let message = format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            dns.searches.join(" ")
        );
        warnings.push(Warning { reason: "DNSConfigForming", message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn settings() -> (Settings, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        std::fs::write(
            &path,
            "# x\nnameserver 9.9.9.9\nsearch corp. .\noptions ndots:1 edns0\noptions ndots:2\n",
        )
        .unwrap();
        let mut settings = crate::container::fixture::settings(dir.path());
        settings.resolv_conf = path;
        settings.cluster_dns = vec!["10.96.0.10".parse().unwrap()];
        (settings, dir)
    }

    fn dns(spec: Value) -> (cri::DnsConfig, Vec<Warning>) {
        let (settings, _dir) = settings();
        config(&settings, &tree!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": (spec)}))
            .unwrap()
    }

    #[test]
    fn cluster_first_asks_the_cluster_and_searches_it_first() {
        let (dns, warnings) = dns(tree!({"dnsPolicy": "ClusterFirst"}));
        assert_eq!(dns.servers, ["10.96.0.10"]);
        assert_eq!(dns.searches, ["n.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp"]);
        assert_eq!(dns.options, ["ndots:5"]);
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_pod_of_the_hosts_network_asks_as_the_host_unless_it_says_otherwise() {
        let (host, _) = dns(tree!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}));
        assert_eq!((host.servers, host.searches), (vec!["9.9.9.9".to_owned()], vec!["corp".to_owned()]));
        assert_eq!(host.options, ["ndots:2", "edns0"]);
        let (cluster, _) = dns(tree!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}));
        assert_eq!(cluster.servers, ["10.96.0.10"]);
    }

    #[test]
    fn a_pods_own_configuration_is_added_and_its_options_win() {
        let own = tree!({"nameservers": ["1.1.1.1"], "searches": ["corp", "x"], "options": [
            {"name": "ndots", "value": "3"}, {"name": "rotate"}]});
        let (dns, _) = dns(tree!({"dnsPolicy": "Default", "dnsConfig": (own.clone())}));
        assert_eq!(dns.servers, ["9.9.9.9", "1.1.1.1"]);
        assert_eq!(dns.searches, ["corp", "x"]);
        assert_eq!(dns.options, ["ndots:3", "edns0", "rotate"]);
        let (none, _) = super::tests::dns(tree!({"dnsPolicy": "None", "dnsConfig": (own)}));
        assert_eq!(none.servers, ["1.1.1.1"]);
    }

    #[test]
    fn what_resolvers_do_not_take_is_left_out_with_a_warning() {
        let own = tree!({"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"], "searches": [("x".repeat(254))]});
        let (dns, warnings) = dns(tree!({"dnsPolicy": "None", "dnsConfig": (own)}));
        assert_eq!(dns.servers.len(), 3);
        assert!(dns.searches.is_empty());
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].message.ends_with("nameserver line is: 1.1.1.1 1.1.1.2 1.1.1.3"));
    }

    #[test]
    fn without_a_cluster_dns_a_pod_asks_as_the_host_and_an_event_says_so() {
        let (mut settings, _dir) = settings();
        settings.cluster_dns.clear();
        let pod = tree!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"dnsPolicy": "ClusterFirst"}});
        let (dns, warnings) = config(&settings, &pod).unwrap();
        assert_eq!(dns.servers, ["9.9.9.9"]);
        assert_eq!(warnings[0].reason, "MissingClusterDNS");
        assert!(warnings[0].message.starts_with("pod: \"p_n(u)\". kubelet does not have ClusterDNS IP"));
    }
}
