//! The checks of a Service. Source: `validateService`, `ValidateServiceUpdate`, `ValidateLoadBalancerStatus`.

use super::pod_spec::set;
use super::service::{HINTS, TOPOLOGY_MODE, externally_accessible, needs_health_check, type_of};
use super::service_families::{self, is_headless};
use crate::networking::address::endpoint_faults;
use crate::validation::{
    cidr_legacy, dns_label, dns_subdomain, ip_legacy, one_of, parse_ip_sloppy, port_number,
    port_number_or_name, qualified_name,
};
use api::{Fault, Path, Value, selector, tree};
use std::collections::BTreeSet;

const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCERS_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const MAX_STICKY_SECS: i64 = 86_400;

/// What may not change.
pub fn validate_change(new: &Value, old: &Value) -> Vec<Fault> {
    let mut faults = service_families::changes(new, old);
    faults.extend(service_families::class_change(new, old));
    let class = set(new.get("spec").unwrap_or(&Value::Null), "loadBalancerClass");
    faults.extend(balancer_class(new, class.and_then(Value::as_str)));
    let port = |s: &Value| s.i64_at(&["spec", "healthCheckNodePort"]).unwrap_or_default();
    if needs_health_check(old) && needs_health_check(new) && port(old) != port(new) {
        faults.push(Fault::forbidden(Path::new("spec").child("healthCheckNodePort"), "field is immutable"));
    }
    faults
}

/// The whole Service. `old`: what it replaces.
pub fn validate(service: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (path, empty) = (Path::new("spec"), Value::map());
    let spec = service.get("spec").unwrap_or(&empty);
    let mut faults: Vec<Fault> = topology(service).into_iter().collect();
    faults.extend(by_type(service, spec, &path));
    faults.extend(ports(spec, &path.child("ports")));
    faults.extend(selector::label_faults(spec.map_at(&["selector"]), &path.child("selector")));
    faults.extend(affinity(spec, &path));
    faults.extend(service_families::cluster_ips(service, old));
    faults.extend(external_ips(service, old, &path.child("externalIPs")));
    match type_of(service) {
        "" => faults.push(Fault::required(path.child("type"), "")),
        kind => {
            let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
            faults.extend(one_of(kind, &known, &path.child("type")));
        }
    }
    faults.extend(unique_ports(service, &path.child("ports")));
    faults.extend(source_ranges(service, old, &path));
    let allocate = path.child("allocateLoadBalancerNodePorts");
    match (set(spec, "allocateLoadBalancerNodePorts"), type_of(service) == "LoadBalancer") {
        (Some(_), false) => faults.push(Fault::forbidden(allocate, BALANCERS_ONLY)),
        (None, true) => faults.push(Fault::required("allocateLoadBalancerNodePorts", "")),
        _ => {}
    }
    faults.extend(balancer_class(service, set(spec, "loadBalancerClass").and_then(Value::as_str)));
    faults.extend(traffic(service, spec, &path));
    faults
}

fn topology(service: &Value) -> Option<Fault> {
    let annotation = |key: &str| service.at(&["metadata", "annotations", key]).and_then(Value::as_str);
    let (mode, hints) = (annotation(TOPOLOGY_MODE)?, annotation(HINTS)?);
    let at = Path::new("metadata").child("annotations").key(TOPOLOGY_MODE);
    let detail = format!("must match annotations[{HINTS}] when both are specified");
    (mode != hints).then(|| Fault::invalid(at, mode, detail))
}

fn by_type(service: &Value, spec: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (kind, headless) = (type_of(service), is_headless(service));
    if spec.list_at(&["ports"]).is_empty() && !headless && kind != "ExternalName" {
        faults.push(Fault::required(path.child("ports"), ""));
    }
    if matches!(kind, "LoadBalancer" | "NodePort") && headless {
        let detail = format!("may not be set to 'None' for {kind} services");
        faults.push(Fault::invalid(path.child("clusterIPs").index(0), "None", detail));
    }
    if kind != "ExternalName" {
        return faults;
    }
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if spec.get(field).is_some_and(|v| !v.is_empty()) {
            faults.push(Fault::forbidden(path.child(field), "may not be set for ExternalName services"));
        }
    }
    let name = spec.str_at(&["externalName"]);
    match name.strip_suffix('.').unwrap_or(name) {
        "" => faults.push(Fault::required(path.child("externalName"), "")),
        name => faults.extend(dns_subdomain(name, &path.child("externalName"))),
    }
    faults
}

fn ports(spec: &Value, path: &Path) -> Vec<Fault> {
    let list = spec.list_at(&["ports"]);
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    for (i, port) in list.iter().enumerate() {
        let (at, name, protocol) = (path.index(i), port.str_at(&["name"]), port.str_at(&["protocol"]));
        if !name.is_empty() {
            faults.extend(dns_label(name, &at.child("name")));
            if !names.insert(name) {
                faults.push(Fault::duplicate(at.child("name"), name));
            }
        } else if list.len() > 1 {
            faults.push(Fault::required(at.child("name"), ""));
        }
        faults.extend(port_number(port.i64_at(&["port"]).unwrap_or_default(), &at.child("port")));
        faults.extend(self::protocol(protocol, &at.child("protocol")));
        let target = port.get("targetPort").cloned().unwrap_or(Value::Int(0));
        faults.extend(port_number_or_name(&target, &at.child("targetPort")));
        if let Some(protocol) = set(port, "appProtocol").and_then(Value::as_str) {
            faults.extend(qualified_name(protocol, &at.child("appProtocol")));
        }
    }
    faults
}

/// `TCP`, `UDP` or `SCTP`.
pub fn protocol(protocol: &str, path: &Path) -> Vec<Fault> {
    match protocol {
        "" => vec![Fault::required(path, "")],
        protocol => one_of(protocol, &["SCTP", "TCP", "UDP"], path),
    }
}

fn affinity(spec: &Value, path: &Path) -> Vec<Fault> {
    let kind = spec.str_at(&["sessionAffinity"]);
    let mut faults = match kind {
        "" => vec![Fault::required(path.child("sessionAffinity"), "")],
        kind => one_of(kind, &["ClientIP", "None"], &path.child("sessionAffinity")),
    };
    let (config, at) = (set(spec, "sessionAffinityConfig"), path.child("sessionAffinityConfig"));
    if kind == "None" && config.is_some() {
        faults.push(Fault::forbidden(&at, "must not be set when session affinity is None"));
    }
    if kind != "ClientIP" {
        return faults;
    }
    let detail = "when session affinity type is ClientIP";
    let client_ip = config.and_then(|c| set(c, "clientIP"));
    let at_secs = at.child("clientIP").child("timeoutSeconds");
    match (config, client_ip, client_ip.and_then(|c| c.i64_at(&["timeoutSeconds"]))) {
        (None, ..) => faults.push(Fault::required(at, detail)),
        (_, None, _) => faults.push(Fault::required(at.child("clientIP"), detail)),
        (_, _, None) => faults.push(Fault::required(at_secs, detail)),
        (_, _, Some(secs)) if !(1..=MAX_STICKY_SECS).contains(&secs) => {
            let detail = format!("must be greater than 0 and less than {MAX_STICKY_SECS}");
            faults.push(Fault::invalid(at_secs, secs, detail));
        }
        _ => {}
    }
    faults
}

fn external_ips(service: &Value, old: Option<&Value>, path: &Path) -> Vec<Fault> {
    let before = old.map(|o| o.list_at(&["spec", "externalIPs"])).unwrap_or_default();
    let mut faults = Vec::new();
    for (i, ip) in service.list_at(&["spec", "externalIPs"]).iter().enumerate() {
        let (at, text) = (path.index(i), ip.as_str().unwrap_or_default());
        let wrong = if before.contains(ip) { Vec::new() } else { ip_legacy(text, &at) };
        faults.extend(match parse_ip_sloppy(text) {
            Some(ip) if wrong.is_empty() => endpoint_faults(ip, text, &at),
            _ => wrong,
        });
    }
    faults
}

fn unique_ports(service: &Value, path: &Path) -> Vec<Fault> {
    let list = service.list_at(&["spec", "ports"]);
    let number = |port: &Value, field: &str| port.i64_at(&[field]).unwrap_or_default();
    let mut faults = Vec::new();
    for (i, port) in list.iter().enumerate() {
        if type_of(service) == "ClusterIP" && number(port, "nodePort") != 0 {
            let detail = "may not be used when `type` is 'ClusterIP'";
            faults.push(Fault::forbidden(path.index(i).child("nodePort"), detail));
        }
    }
    let mut taken = BTreeSet::new();
    for (i, port) in list.iter().enumerate().filter(|(_, p)| number(p, "nodePort") != 0) {
        let node_port = number(port, "nodePort");
        if !taken.insert((port.str_at(&["protocol"]), node_port)) {
            faults.push(Fault::duplicate(path.index(i).child("nodePort"), node_port));
        }
    }
    taken.clear();
    for (i, port) in list.iter().enumerate() {
        let (protocol, number) = (port.str_at(&["protocol"]), number(port, "port"));
        if !taken.insert((protocol, number)) {
            let shown = tree!({"Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number,
                "TargetPort": 0, "NodePort": 0});
            faults.push(Fault::duplicate(path.index(i), shown));
        }
    }
    faults
}

fn source_ranges(service: &Value, old: Option<&Value>, path: &Path) -> Vec<Fault> {
    let of = |s: &Value| -> Vec<String> {
        let list = s.list_at(&["spec", "loadBalancerSourceRanges"]).iter();
        list.filter_map(Value::as_str).map(|r| r.trim().to_owned()).collect()
    };
    let annotation = |s: &Value| {
        s.at(&["metadata", "annotations", SOURCE_RANGES]).and_then(Value::as_str).map(str::to_owned)
    };
    let (ranges, before) = (of(service), old.map(of).unwrap_or_default());
    let balancer = type_of(service) == "LoadBalancer";
    let mut faults = Vec::new();
    if !ranges.is_empty() {
        let at = path.child("LoadBalancerSourceRanges");
        if !balancer {
            faults.push(Fault::forbidden(&at, BALANCERS_ONLY));
        }
        for (i, range) in ranges.iter().enumerate().filter(|(_, r)| !before.contains(r)) {
            faults.extend(cidr_legacy(range, &at.index(i)));
        }
    } else if let Some(text) = annotation(service) {
        let at = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
        if !balancer {
            faults.push(Fault::forbidden(&at, BALANCERS_ONLY));
        }
        if old.and_then(annotation).as_ref() != Some(&text) && !text.trim().is_empty() {
            faults.extend(text.split(',').flat_map(|range| cidr_legacy(range.trim(), &at)));
        }
    }
    faults
}

fn balancer_class(service: &Value, class: Option<&str>) -> Vec<Fault> {
    let at = Path::new("spec").child("loadBalancerClass");
    match class {
        Some(class) if type_of(service) == "LoadBalancer" => qualified_name(class, &at),
        Some(_) => vec![Fault::forbidden(at, BALANCERS_ONLY)],
        None => Vec::new(),
    }
}

fn traffic(service: &Value, spec: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (at, policy) = (path.child("externalTrafficPolicy"), spec.str_at(&["externalTrafficPolicy"]));
    match (externally_accessible(service), policy) {
        (false, "") => {}
        (false, policy) => {
            faults.push(Fault::invalid(at, policy, "may only be set for externally-accessible services"));
        }
        (true, "") => faults.push(Fault::required(at, "")),
        (true, policy) => faults.extend(one_of(policy, &["Cluster", "Local"], &at)),
    }
    let (at, port) =
        (path.child("healthCheckNodePort"), spec.i64_at(&["healthCheckNodePort"]).unwrap_or_default());
    match (needs_health_check(service), port) {
        (false, 0) => {}
        (false, port) => {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            faults.push(Fault::invalid(at, port, detail));
        }
        (true, 0) => faults.push(Fault::required(at, "")),
        (true, port) => faults.extend(port_number(port, &at)),
    }
    let at = path.child("internalTrafficPolicy");
    match set(spec, "internalTrafficPolicy").and_then(Value::as_str) {
        Some(policy) => faults.extend(one_of(policy, &["Cluster", "Local"], &at)),
        None if matches!(type_of(service), "NodePort" | "LoadBalancer" | "ClusterIP") => {
            faults.push(Fault::required(at, ""));
        }
        None => {}
    }
    if let Some(distribution) = set(spec, "trafficDistribution").and_then(Value::as_str) {
        let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        faults.extend(one_of(distribution, &known, &path.child("trafficDistribution")));
    }
    faults
}

/// `status.loadBalancer`.
pub fn validate_status(new: &Value, old: &Value) -> Vec<Fault> {
    let field = ["status", "loadBalancer", "ingress"];
    let at = Path::new("status").child("loadBalancer");
    balancer_status(new.list_at(&field), old.list_at(&field), type_of(new) == "LoadBalancer", &at)
}

fn balancer_status(new: &[Value], old: &[Value], balancer: bool, path: &Path) -> Vec<Fault> {
    let path = path.child("ingress");
    if !balancer && !new.is_empty() {
        return vec![Fault::forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    let mut faults = Vec::new();
    for (i, ingress) in new.iter().enumerate() {
        let (at, ip, name) = (path.index(i), ingress.str_at(&["ip"]), ingress.str_at(&["hostname"]));
        if !ip.is_empty() && !old.iter().any(|o| o.str_at(&["ip"]) == ip) {
            faults.extend(ip_legacy(ip, &at.child("ip")));
        }
        let mode = at.child("ipMode");
        match set(ingress, "ipMode").and_then(Value::as_str) {
            None if !ip.is_empty() => {
                faults.push(Fault::required(mode, "must be specified when `ip` is set"));
            }
            Some(_) if ip.is_empty() => {
                faults.push(Fault::forbidden(mode, "may not be specified when `ip` is not set"));
            }
            Some(value) => faults.extend(one_of(value, &["Proxy", "VIP"], &mode)),
            None => {}
        }
        if !name.is_empty() {
            faults.extend(dns_subdomain(name, &at.child("hostname")));
            if parse_ip_sloppy(name).is_some() {
                let detail = "must be a DNS name, not an IP address";
                faults.push(Fault::invalid(at.child("hostname"), name, detail));
            }
        }
    }
    faults
}
