//! Checks of names and addresses in a pod's spec. Source: `validatePodDNSConfig`, `ValidateHostAliases`,
//! `validatePodHostName`, `validateHostUsers`.

use super::{each_container, set};
use crate::validation::{dns_subdomain, ip_legacy, texts};
use api::{Fault, Path, Value, names};

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_HOSTNAME: usize = 64;

/// `dnsConfig` along with `dnsPolicy`.
pub fn dns(spec: &Value, path: &Path) -> Vec<Fault> {
    let config = set(spec, "dnsConfig");
    if spec.str_at(&["dnsPolicy"]) == "None" {
        let Some(config) = config else {
            return vec![Fault::required(path, "must provide `dnsConfig` when `dnsPolicy` is None")];
        };
        if config.list_at(&["nameservers"]).is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return vec![Fault::required(path.child("nameservers"), detail)];
        }
    }
    config.map(|config| dns_config(config, path)).unwrap_or_default()
}

fn dns_config(config: &Value, path: &Path) -> Vec<Fault> {
    let strings =
        |field: &str| -> Vec<&str> { config.list_at(&[field]).iter().filter_map(Value::as_str).collect() };
    let (servers, searches) = (strings("nameservers"), strings("searches"));
    let (at_servers, at_searches) = (path.child("nameservers"), path.child("searches"));
    let mut faults = Vec::new();
    if servers.len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        faults.push(Fault::invalid(&at_servers, servers.clone(), detail));
    }
    for (i, server) in servers.iter().enumerate() {
        faults.extend(ip_legacy(server, &at_servers.index(i)));
    }
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        faults.push(Fault::invalid(&at_searches, searches.clone(), detail));
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARS {
        let detail = format!(
            "must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        );
        faults.push(Fault::invalid(&at_searches, searches.clone(), detail));
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, s)| **s != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        let wrong = names::is_dns1123_subdomain_with_underscore(search);
        faults.extend(texts(&at_searches.index(i), search, wrong));
    }
    for (i, option) in config.list_at(&["options"]).iter().enumerate() {
        if option.str_at(&["name"]).is_empty() {
            faults.push(Fault::required(path.child("options").index(i), "must not be empty"));
        }
    }
    faults
}

/// `hostAliases`.
pub fn host_aliases(list: &[Value], path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, alias) in list.iter().enumerate() {
        faults.extend(ip_legacy(alias.str_at(&["ip"]), &path.index(i).child("ip")));
        for (j, name) in alias.list_at(&["hostnames"]).iter().filter_map(Value::as_str).enumerate() {
            faults.extend(dns_subdomain(name, &path.index(i).child("hostnames").index(j)));
        }
    }
    faults
}

/// `hostnameOverride`.
pub fn hostname_override(spec: &Value, path: &Path) -> Vec<Fault> {
    let Some(name) = set(spec, "hostnameOverride").and_then(Value::as_str) else { return Vec::new() };
    let at = path.child("hostnameOverride");
    let mut faults = Vec::new();
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.bool_at(&[field]) {
            faults.push(Fault::forbidden(&at, format!("may not be specified when {field} is true")));
        }
    }
    if name.len() > MAX_HOSTNAME {
        faults.push(Fault::too_long(&at, MAX_HOSTNAME));
    }
    faults.extend(dns_subdomain(name, &at));
    faults
}

/// What a pod with users of its own may not share with the host.
pub fn host_users(spec: &Value, path: &Path) -> Vec<Fault> {
    if spec.at(&["hostUsers"]).and_then(Value::as_bool) != Some(false) {
        return Vec::new();
    }
    let detail = "when `hostUsers` is false";
    let shared = [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")];
    let shared = shared.into_iter().filter(|(field, _)| spec.bool_at(&[field]));
    let mut faults: Vec<Fault> = shared.map(|(_, at)| Fault::forbidden(path.child(at), detail)).collect();
    for (at, container) in each_container(spec, path) {
        if !container.list_at(&["volumeDevices"]).is_empty() {
            faults.push(Fault::forbidden(at.child("volumeDevices"), detail));
        }
    }
    faults
}
