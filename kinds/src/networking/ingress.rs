//! Ingress: which hosts and paths lead from outside to which services.

use super::{GROUP, address, reference};
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, names};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const BAD_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_SUFFIXES: [&str; 2] = ["/..", "/."];
/// How many hosts a table's cell shows, and how wide the cell of addresses is.
const MAX_HOSTS: usize = 3;
const ADDRESSES_WIDTH: usize = 16;

pub struct Ingress(Info);

impl Ingress {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "Ingress", "ingresses").short(&["ing"]);
        Ingress(info.prefix("ingress").with_status().with_generation())
    }
}

/// What an update takes over from the stored object although it is wrong.
#[derive(Default)]
struct Leniency {
    secret_names: bool,
    wildcard_rules: bool,
}

fn faults(obj: &Value, lenient: &Leniency) -> Vec<Fault> {
    let at = Path::new("spec");
    let rules = obj.list_at(&["spec", "rules"]);
    let default = obj.at(&["spec", "defaultBackend"]).filter(|b| !b.is_null());
    let mut faults = Vec::new();
    if rules.is_empty() && default.is_none() {
        let shown = obj.at(&["spec", "rules"]).cloned().unwrap_or_default();
        faults.push(Fault::invalid(&at, shown, "either `defaultBackend` or `rules` must be specified"));
    }
    if let Some(backend) = default {
        faults.extend(backend_faults(backend, &at.child("defaultBackend")));
    }
    for (i, rule) in rules.iter().enumerate() {
        faults.extend(rule_faults(rule, lenient, &at.child("rules").index(i)));
    }
    for (i, tls) in obj.list_at(&["spec", "tls"]).iter().enumerate() {
        faults.extend(tls_faults(tls, lenient, &at.child("tls").index(i)));
    }
    if let Some(class) = obj.at(&["spec", "ingressClassName"]).and_then(Value::as_str) {
        faults.extend(validation::dns_subdomain(class, &at.child("ingressClassName")));
    }
    faults
}

/// A host's name, maybe with a wildcard.
fn host_faults(host: &str, at: &Path) -> Vec<Fault> {
    if host.contains('*') {
        validation::texts(at, host, names::is_wildcard_dns1123_subdomain(host))
    } else {
        validation::dns_subdomain(host, at)
    }
}

fn tls_faults(tls: &Value, lenient: &Leniency, at: &Path) -> Vec<Fault> {
    let hosts = tls.list_at(&["hosts"]).iter().filter_map(Value::as_str).enumerate();
    let mut faults: Vec<Fault> =
        hosts.flat_map(|(i, host)| host_faults(host, &at.child("hosts").index(i))).collect();
    let secret = tls.str_at(&["secretName"]);
    if !lenient.secret_names && !secret.is_empty() {
        faults.extend(validation::dns_subdomain(secret, &at.child("secretName")));
    }
    faults
}

fn rule_faults(rule: &Value, lenient: &Leniency, at: &Path) -> Vec<Fault> {
    let host = rule.str_at(&["host"]);
    let path = at.child("host");
    let mut faults = Vec::new();
    if !host.is_empty() {
        if validation::parse_ip_sloppy(host).is_some() {
            faults.push(Fault::invalid(&path, host, "must be a DNS name, not an IP address"));
        }
        faults.extend(host_faults(host, &path));
    }
    if !(lenient.wildcard_rules && host.contains('*')) {
        faults.extend(http_faults(rule, at));
    }
    faults
}

fn http_faults(rule: &Value, at: &Path) -> Vec<Fault> {
    let Some(http) = rule.get("http").filter(|h| !h.is_null()) else { return Vec::new() };
    let at = at.child("http").child("paths");
    let paths = http.list_at(&["paths"]);
    if paths.is_empty() {
        return vec![Fault::required(at, "")];
    }
    paths.iter().enumerate().flat_map(|(i, path)| path_faults(path, &at.index(i))).collect()
}

fn path_faults(entry: &Value, at: &Path) -> Vec<Fault> {
    let Some(path_type) = entry.get("pathType").and_then(Value::as_str) else {
        return vec![Fault::required(at.child("pathType"), "pathType must be specified")];
    };
    let path = entry.str_at(&["path"]);
    let fault = |text: String| Fault::invalid(at.child("path"), path, text);
    let mut faults = Vec::new();
    let exact = matches!(path_type, "Exact" | "Prefix");
    if !PATH_TYPES.contains(&path_type) {
        faults.push(Fault::not_supported(at.child("pathType"), path_type, &PATH_TYPES));
    } else if !path.starts_with('/') && (exact || !path.is_empty()) {
        faults.push(fault("must be an absolute path".to_owned()));
    }
    if exact {
        let sequences = BAD_SEQUENCES.iter().filter(|s| path.contains(**s));
        faults.extend(sequences.map(|s| fault(format!("must not contain '{s}'"))));
        let suffixes = BAD_SUFFIXES.iter().filter(|s| path.ends_with(**s));
        faults.extend(suffixes.map(|s| fault(format!("cannot end with '{s}'"))));
    }
    let empty = Value::map();
    faults.extend(backend_faults(entry.get("backend").unwrap_or(&empty), &at.child("backend")));
    faults
}

fn backend_faults(backend: &Value, at: &Path) -> Vec<Fault> {
    let resource = backend.get("resource").filter(|r| !r.is_null());
    let service = backend.get("service").filter(|s| !s.is_null());
    match (resource, service) {
        (Some(_), Some(_)) => vec![Fault::invalid(at, "", "cannot set both resource and service backends")],
        (Some(resource), None) => reference::faults(resource, &at.child("resource")),
        (None, Some(service)) => service_faults(service, at),
        (None, None) => vec![Fault::invalid(at, "", "resource or service backend is required")],
    }
}

fn service_faults(service: &Value, at: &Path) -> Vec<Fault> {
    let path = at.child("service");
    let name = service.str_at(&["name"]);
    let mut faults = match name {
        "" => vec![Fault::required(path.child("name"), "")],
        _ => validation::dns_label(name, &path.child("name")),
    };
    let port = path.child("port");
    let port_name = service.str_at(&["port", "name"]);
    match (port_name, service.i64_at(&["port", "number"]).unwrap_or_default()) {
        ("", 0) => faults.push(Fault::required(at, "port name or number is required")),
        ("", number) => faults.extend(validation::port_number(number, &port.child("number"))),
        (name, 0) => faults.extend(validation::texts(&port.child("name"), name, names::is_port_name(name))),
        _ => faults.push(Fault::invalid(at, "", "cannot set both port name & port number")),
    }
    faults
}

/// Addresses of the load balancer, sorted and once each.
fn addresses(obj: &Value) -> String {
    let points = obj.list_at(&["status", "loadBalancer", "ingress"]).iter();
    let address = |p: &Value| match p.str_at(&["ip"]) {
        "" => p.str_at(&["hostname"]).to_owned(),
        ip => ip.to_owned(),
    };
    let all: std::collections::BTreeSet<String> = points.map(address).filter(|a| !a.is_empty()).collect();
    let mut text = all.into_iter().collect::<Vec<_>>().join(",");
    if text.len() > ADDRESSES_WIDTH && text.is_char_boundary(ADDRESSES_WIDTH - 3) {
        text.truncate(ADDRESSES_WIDTH - 3);
        text.push_str("...");
    }
    text
}

/// The hosts of the first rules: `*` for none; rules without a host count among the rest.
fn hosts(rules: &[Value]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= shown.len() == MAX_HOSTS;
        let host = rule.str_at(&["host"]);
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, true) => format!("{} + {} more...", shown.join(","), rules.len() - MAX_HOSTS),
        (false, false) => shown.join(","),
    }
}

impl Kind for Ingress {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = faults(obj, &Leniency::default());
        let annotation = obj.at(&["metadata", "annotations", CLASS_ANNOTATION]).and_then(Value::as_str);
        let class = obj.at(&["spec", "ingressClassName"]).and_then(Value::as_str);
        if let (Some(annotation), Some(class)) = (annotation, class)
            && annotation != class
        {
            let text = "must match `ingressClassName` when both are specified";
            faults.push(Fault::invalid(Path::new("annotations").child(CLASS_ANNOTATION), annotation, text));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let bad_secret = |tls: &Value| {
            let name = tls.str_at(&["secretName"]);
            !name.is_empty() && !names::is_dns1123_subdomain(name).is_empty()
        };
        let bad_wildcard = |rule: &Value| {
            rule.str_at(&["host"]).contains('*') && !http_faults(rule, &Path::default()).is_empty()
        };
        let lenient = Leniency {
            secret_names: old.list_at(&["spec", "tls"]).iter().any(bad_secret),
            wildcard_rules: old.list_at(&["spec", "rules"]).iter().any(bad_wildcard),
        };
        faults(new, &lenient)
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        const POINTS: [&str; 3] = ["status", "loadBalancer", "ingress"];
        let at = Path::new("status").child("loadBalancer").child("ingress");
        let known = |ip: &str| old.list_at(&POINTS).iter().any(|p| p.str_at(&["ip"]) == ip);
        let mut faults = Vec::new();
        for (i, point) in new.list_at(&POINTS).iter().enumerate() {
            let (ip, hostname) = (point.str_at(&["ip"]), point.str_at(&["hostname"]));
            if !ip.is_empty() && !known(ip) {
                faults.extend(validation::ip_legacy(ip, &at.index(i).child("ip")));
            }
            if !hostname.is_empty() {
                let path = at.index(i).child("hostname");
                faults.extend(validation::dns_subdomain(hostname, &path));
                if validation::parse_ip_sloppy(hostname).is_some() {
                    faults.push(Fault::invalid(path, hostname, "must be a DNS name, not an IP address"));
                }
            }
        }
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if cx.subresource == "status" {
            let at = Path::new("status").child("loadBalancer").child("ingress");
            let points = new.list_at(&["status", "loadBalancer", "ingress"]).iter().enumerate();
            return points.flat_map(|(i, p)| address::ip_warnings(p.str_at(&["ip"]), &at.index(i))).collect();
        }
        let annotated = new.at(&["metadata", "annotations", CLASS_ANNOTATION]).is_some();
        let named = new.at(&["spec", "ingressClassName"]).is_some_and(|c| !c.is_null());
        if old.is_some() || !annotated || named {
            return Vec::new();
        }
        let annotation = api::quote(CLASS_ANNOTATION);
        vec![format!("annotation {annotation} is deprecated, please use 'spec.ingressClassName' instead")]
    }

    fn columns(&self) -> Vec<Column> {
        let class = "The name of the IngressClass resource that should be used for additional configuration";
        vec![
            Column::name(),
            Column::text("Class", "string", class),
            Column::text(
                "Hosts",
                "string",
                "Hosts that incoming requests are matched against before the ingress rule",
            ),
            Column::text(
                "Address",
                "string",
                "Address is a list containing ingress points for the load-balancer",
            ),
            Column::text("Ports", "string", "Ports of TLS configurations that open"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let class = obj.at(&["spec", "ingressClassName"]).and_then(Value::as_str).unwrap_or("<none>");
        let tls = !obj.list_at(&["spec", "tls"]).is_empty();
        vec![
            print::name(obj),
            class.into(),
            hosts(obj.list_at(&["spec", "rules"])).into(),
            addresses(obj).into(),
            if tls { "80, 443" } else { "80" }.into(),
            print::age(obj, now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_table_shows_three_hosts_and_counts_the_rest() {
        let rules = tree!([{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]);
        assert_eq!(hosts(rules.as_list().unwrap()), "a,b,c + 1 more...");
        assert_eq!(hosts(&[]), "*");
    }

    #[test]
    fn an_ingress_needs_a_backend_or_rules() {
        let texts =
            |v: Value| faults(&v, &Leniency::default()).iter().map(|f| f.to_string()).collect::<Vec<_>>();
        assert_eq!(
            texts(tree!({"spec": {}})),
            ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]
        );
        let path = tree!({"path": "a//b/.", "pathType": "Exact", "backend": {"service": {"name": "s"}}});
        assert_eq!(
            texts(tree!({"spec": {"rules": [{"http": {"paths": [path]}}]}})),
            [
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/.\": must be an absolute path",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/.\": must not contain '//'",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/.\": cannot end with '/.'",
                "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
            ]
        );
    }
}
