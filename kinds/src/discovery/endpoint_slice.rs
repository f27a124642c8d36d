//! EndpointSlice: some of the addresses behind a service, with the ports they serve.

use crate::networking::address;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, names, selector};

const DEFINITION: &str = "io.k8s.api.discovery.v1.EndpointSlice";
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_TOPOLOGY_LABELS: usize = 16;
const MAX_HINTS: usize = 8;
/// Slices of these controllers are not warned about.
const CONTROLLERS: [&str; 2] =
    ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
/// How many ports and addresses a table's cell shows.
const MAX_SHOWN: usize = 3;

pub struct EndpointSlice(Info);

impl EndpointSlice {
    pub fn new() -> Self {
        let info = Info::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
        EndpointSlice(info.with_generation())
    }
}

fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let address_type = obj.str_at(&["addressType"]);
    let at = Path::new("addressType");
    let mut faults = match address_type {
        "" => vec![Fault::required(&at, "")],
        _ => validation::one_of(address_type, &ADDRESS_TYPES, &at),
    };
    faults.extend(port_faults(obj.list_at(&["ports"])));
    let unchanged = old.is_some_and(|old| validation::same(obj.get("endpoints"), old.get("endpoints")));
    if !unchanged {
        faults.extend(endpoints_faults(obj.list_at(&["endpoints"]), address_type));
    }
    faults
}

fn port_faults(ports: &[Value]) -> Vec<Fault> {
    let at = Path::new("ports");
    if ports.len() > MAX_PORTS {
        return vec![Fault::too_many(at, ports.len(), MAX_PORTS)];
    }
    let mut faults = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (name, path) = (port.str_at(&["name"]), at.index(i));
        if !name.is_empty() {
            faults.extend(validation::dns_label(name, &path.child("name")));
        }
        if !seen.insert(name) {
            faults.push(Fault::duplicate(path.child("name"), name));
        }
        faults.extend(validation::one_of(port.str_at(&["protocol"]), &PROTOCOLS, &path.child("protocol")));
        if let Some(protocol) = port.get("appProtocol").and_then(Value::as_str) {
            faults.extend(validation::qualified_name(protocol, &path.child("appProtocol")));
        }
    }
    faults
}

fn endpoints_faults(endpoints: &[Value], address_type: &str) -> Vec<Fault> {
    let at = Path::new("endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![Fault::too_many(at, endpoints.len(), MAX_ENDPOINTS)];
    }
    let all = endpoints.iter().enumerate();
    all.flat_map(|(i, endpoint)| endpoint_faults(endpoint, address_type, &at.index(i))).collect()
}

fn endpoint_faults(endpoint: &Value, address_type: &str, at: &Path) -> Vec<Fault> {
    let mut faults = addresses_faults(endpoint.list_at(&["addresses"]), address_type, &at.child("addresses"));
    if let Some(node) = endpoint.get("nodeName").and_then(Value::as_str) {
        faults.extend(validation::dns_subdomain(node, &at.child("nodeName")));
    }
    let topology = endpoint.map_at(&["deprecatedTopology"]);
    let path = at.child("deprecatedTopology");
    if let Some(len) = topology.map(|m| m.len()).filter(|len| *len > MAX_TOPOLOGY_LABELS) {
        faults.push(Fault::too_many(&path, len, MAX_TOPOLOGY_LABELS));
    }
    faults.extend(selector::label_faults(topology, &path));
    if let Some(hostname) = endpoint.get("hostname").and_then(Value::as_str) {
        faults.extend(validation::dns_label(hostname, &at.child("hostname")));
    }
    if let Some(hints) = endpoint.get("hints") {
        faults.extend(hint_faults(hints, &at.child("hints")));
    }
    faults
}

fn addresses_faults(addresses: &[Value], address_type: &str, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if addresses.is_empty() {
        faults.push(Fault::required(at, "must contain at least 1 address"));
    } else if addresses.len() > MAX_ADDRESSES {
        faults.push(Fault::too_many(at, addresses.len(), MAX_ADDRESSES));
    }
    for (i, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        let path = at.index(i);
        match address_type {
            "IPv4" => faults.extend(ip_faults(address, false, at, &path)),
            "IPv6" => faults.extend(ip_faults(address, true, at, &path)),
            "FQDN" => faults.extend(names::fully_qualified_domain_name_faults(address, &path)),
            _ => {}
        }
    }
    faults
}

/// The address's family is told at the list, everything else at the item.
fn ip_faults(text: &str, v6: bool, list: &Path, item: &Path) -> Vec<Fault> {
    let faults = if v6 { validation::ip(text, item) } else { validation::ip_legacy(text, item) };
    let Some(ip) = validation::parse_ip_sloppy(text).filter(|_| faults.is_empty()) else { return faults };
    let mut faults = Vec::new();
    if ip.is_ipv6() != v6 {
        let family = if v6 { "must be an IPv6 address" } else { "must be an IPv4 address" };
        faults.push(Fault::invalid(list, text, family));
    }
    faults.extend(address::endpoint_faults(ip, text, item));
    faults
}

fn hint_faults(hints: &Value, at: &Path) -> Vec<Fault> {
    let zones = |name: &str, path: &Path| validation::texts(path, name, names::is_label_value(name));
    let nodes = |name: &str, path: &Path| validation::dns_subdomain(name, path);
    let (mut faults, full) = named_faults(hints.list_at(&["forZones"]), &at.child("forZones"), &zones);
    if !full {
        faults.extend(named_faults(hints.list_at(&["forNodes"]), &at.child("forNodes"), &nodes).0);
    }
    faults
}

/// Faults of a list of `{name}`, and whether it has too many items.
fn named_faults(list: &[Value], at: &Path, check: &dyn Fn(&str, &Path) -> Vec<Fault>) -> (Vec<Fault>, bool) {
    if list.len() > MAX_HINTS {
        return (vec![Fault::too_many(at, list.len(), MAX_HINTS)], true);
    }
    let mut faults = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (i, item) in list.iter().enumerate() {
        let (name, path) = (item.str_at(&["name"]), at.index(i).child("name"));
        if !seen.insert(name) {
            faults.push(Fault::duplicate(&path, name));
        }
        faults.extend(check(name, &path));
    }
    (faults, false)
}

impl Kind for EndpointSlice {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        for port in obj.get_mut("ports").and_then(Value::as_list_mut).into_iter().flatten() {
            if let Some(port) = port.as_map_mut() {
                port.entry_or("name", || "".into());
                port.entry_or("protocol", || "TCP".into());
            }
        }
    }

    /// The topology of endpoints is of the older API; here it is dropped, but for what is stored and unchanged.
    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        drop_topology(obj);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        if !validation::same(new.get("endpoints"), old.get("endpoints")) {
            drop_topology(new);
        }
    }

    /// Labels count as well.
    fn generation_grows(&self, new: &Value, old: &Value) -> bool {
        let paths: [&[&str]; 4] = [&["addressType"], &["endpoints"], &["ports"], &["metadata", "labels"]];
        paths.iter().any(|path| !validation::same(new.at(path), old.at(path)))
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = faults(new, Some(old));
        let (new, old) = (new.get("addressType"), old.get("addressType"));
        faults.extend(validation::immutable(new, old, &Path::new("addressType")));
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        if old.is_none() && new.str_at(&["addressType"]) == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        let manager = new.str_at(&["metadata", "labels", "endpointslice.kubernetes.io/managed-by"]);
        if CONTROLLERS.contains(&manager) {
            return warnings;
        }
        for (i, endpoint) in new.list_at(&["endpoints"]).iter().enumerate() {
            let at = Path::new("endpoints").index(i).child("addresses");
            for (j, text) in endpoint.list_at(&["addresses"]).iter().filter_map(Value::as_str).enumerate() {
                warnings.extend(address::ip_warnings(text, &at.index(j)));
            }
        }
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("AddressType", "string", DEFINITION, "addressType"),
            Column::field("Ports", "string", DEFINITION, "ports"),
            Column::field("Endpoints", "string", DEFINITION, "endpoints"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let port = |p: &Value| match p.i64_at(&["port"]) {
            Some(number) => number.to_string(),
            None => p.get("name").and_then(Value::as_str).unwrap_or("*").to_owned(),
        };
        let ports: Vec<String> = obj.list_at(&["ports"]).iter().map(port).collect();
        let endpoints = obj.list_at(&["endpoints"]).iter();
        let addresses: Vec<&str> =
            endpoints.flat_map(|e| e.list_at(&["addresses"])).filter_map(Value::as_str).collect();
        vec![
            print::name(obj),
            obj.str_at(&["addressType"]).into(),
            shown(&ports),
            shown(&addresses),
            print::age(obj, now),
        ]
    }
}

fn shown<S: AsRef<str>>(items: &[S]) -> Value {
    print::or_else(&print::join_with_more(items, MAX_SHOWN), "<unset>").into()
}

fn drop_topology(obj: &mut Value) {
    for endpoint in obj.get_mut("endpoints").and_then(Value::as_list_mut).into_iter().flatten() {
        endpoint.unset(&["deprecatedTopology"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn faults_come_port_by_port_and_endpoint_by_endpoint() {
        let obj = tree!({"addressType": "IPv4",
            "endpoints": [{"addresses": []}, {"addresses": ["fd00::1", "10.0.0.1"], "hostname": "Bad_Host"}],
            "ports": [{"name": "a", "protocol": "TCP"}, {"name": "a", "protocol": "TCP"}, {"name": "", "protocol": "X"}]});
        let texts: Vec<String> = faults(&obj, None).iter().map(|f| f.to_string()).collect();
        assert_eq!(texts[0], "ports[1].name: Duplicate value: \"a\"");
        assert_eq!(
            texts[1],
            "ports[2].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\""
        );
        assert_eq!(texts[2], "endpoints[0].addresses: Required value: must contain at least 1 address");
        assert_eq!(texts[3], "endpoints[1].addresses: Invalid value: \"fd00::1\": must be an IPv4 address");
        assert!(texts[4].starts_with("endpoints[1].hostname: Invalid value: \"Bad_Host\""));
    }

    #[test]
    fn labels_count_for_the_generation() {
        let kind = EndpointSlice::new();
        let old = tree!({"metadata": {"labels": {"a": "1"}, "annotations": {"b": "1"}}, "endpoints": null});
        let mut new = tree!({"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}}, "endpoints": []});
        assert!(!kind.generation_grows(&new, &old));
        new.set(&["metadata", "labels", "a"], "2");
        assert!(kind.generation_grows(&new, &old));
    }

    #[test]
    fn ports_get_a_name_and_a_protocol() {
        let mut obj = tree!({"ports": [{"port": 80}]});
        EndpointSlice::new().fill(&mut obj, "v1");
        assert_eq!(obj, tree!({"ports": [{"port": 80, "name": "", "protocol": "TCP"}]}));
    }
}
