//! Endpoints: addresses and ports behind a Service, the older form of EndpointSlice.

use super::{
    pod_spec::{default_zero, each, set},
    service_validation::protocol,
};
use crate::networking::address::{endpoint_faults, ip_warnings};
use crate::validation::{
    dns_label, dns_subdomain, ip_legacy, parse_ip_sloppy, port_number, qualified_name, same,
};
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Path, Value};

const DEFINITION: &str = "io.k8s.api.core.v1.Endpoints";
const LISTS: [&str; 2] = ["addresses", "notReadyAddresses"];
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// How many addresses a table shows.
const SHOWN: usize = 3;

pub struct Endpoints(Info);

impl Endpoints {
    pub fn new() -> Self {
        let mut info = Info::new("", "v1", "Endpoints", "endpoints").short(&["ep"]);
        info.list_kind = "EndpointsList".into();
        Endpoints(info.prefix("services/endpoints").creates_on_update())
    }
}

fn subset_faults(subset: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if LISTS.iter().all(|list| subset.list_at(&[list]).is_empty()) {
        faults.push(Fault::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for list in LISTS {
        for (i, address) in subset.list_at(&[list]).iter().enumerate() {
            faults.extend(address_faults(address, &path.child(list).index(i)));
        }
    }
    let ports = subset.list_at(&["ports"]);
    for (i, port) in ports.iter().enumerate() {
        faults.extend(port_faults(port, ports.len() > 1, &path.child("ports").index(i)));
    }
    faults
}

fn address_faults(address: &Value, path: &Path) -> Vec<Fault> {
    let (ip, name) = (address.str_at(&["ip"]), address.str_at(&["hostname"]));
    let at = path.child("ip");
    let mut faults = ip_legacy(ip, &at);
    if !name.is_empty() {
        faults.extend(dns_label(name, &path.child("hostname")));
    }
    if let Some(node) = set(address, "nodeName").and_then(Value::as_str) {
        faults.extend(dns_subdomain(node, &path.child("nodeName")));
    }
    match parse_ip_sloppy(ip) {
        Some(parsed) => faults.extend(endpoint_faults(parsed, ip, &at)),
        None => faults.push(Fault::invalid(at, ip, "must be a valid IP address")),
    }
    faults
}

fn port_faults(port: &Value, needs_name: bool, path: &Path) -> Vec<Fault> {
    let mut faults = match port.str_at(&["name"]) {
        "" if needs_name => vec![Fault::required(path.child("name"), "")],
        "" => Vec::new(),
        name => dns_label(name, &path.child("name")),
    };
    faults.extend(port_number(port.i64_at(&["port"]).unwrap_or_default(), &path.child("port")));
    faults.extend(protocol(port.str_at(&["protocol"]), &path.child("protocol")));
    if let Some(app) = set(port, "appProtocol").and_then(Value::as_str) {
        faults.extend(qualified_name(app, &path.child("appProtocol")));
    }
    faults
}

fn trigger_time_fault(obj: &Value) -> Option<Fault> {
    let time = obj.at(&["metadata", "annotations", TRIGGER_TIME]).and_then(Value::as_str)?;
    let why = api::time::parse(time).err()?;
    Some(Fault::invalid(Path::new("annotations").key(TRIGGER_TIME), time, why))
}

/// `1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...`; subsets without ports show addresses alone.
fn shown(obj: &Value) -> String {
    let subsets = obj.list_at(&["subsets"]);
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let ips = || subset.list_at(&["addresses"]).iter().map(|a| a.str_at(&["ip"]));
        let ports = subset.list_at(&["ports"]);
        if ports.is_empty() {
            all.extend(ips().map(str::to_owned));
        }
        for number in ports.iter().map(|p| p.i64_at(&["port"]).unwrap_or_default()) {
            all.extend(ips().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{number}"),
                false => format!("{ip}:{number}"),
            }));
        }
    }
    print::join_with_more(&all, SHOWN)
}

impl Kind for Endpoints {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        each(obj, "subsets", |subset| each(subset, "ports", |port| default_zero(port, "protocol", "TCP")));
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let path = Path::new("subsets");
        let mut faults: Vec<Fault> = trigger_time_fault(obj).into_iter().collect();
        let subsets = obj.list_at(&["subsets"]).iter().enumerate();
        faults.extend(subsets.flat_map(|(i, subset)| subset_faults(subset, &path.index(i))));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        if same(new.get("subsets"), old.get("subsets")) {
            return trigger_time_fault(new).into_iter().collect();
        }
        self.validate(new, cx)
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        if new.str_at(&["metadata", "labels", "endpoints.kubernetes.io/managed-by"]) == "endpoint-controller"
        {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        for (i, subset) in new.list_at(&["subsets"]).iter().enumerate() {
            for list in LISTS {
                let path = Path::new("subsets").index(i).child(list);
                for (j, address) in subset.list_at(&[list]).iter().enumerate() {
                    warnings.extend(ip_warnings(address.str_at(&["ip"]), &path.index(j).child("ip")));
                }
            }
        }
        warnings
    }

    fn deprecation(&self, _version: &str) -> Option<&str> {
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::field("Endpoints", "string", DEFINITION, "subsets"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), shown(obj).into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn tables_show_three_addresses() {
        let endpoints = tree!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}, {"ip": "1.1.1.3"},
            {"ip": "1.1.1.4"}], "ports": [{"port": 80}]}]});
        assert_eq!(shown(&endpoints), "1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...");
        assert_eq!(shown(&tree!({})), "<none>");
    }

    #[test]
    fn subsets_have_addresses_that_can_be_reached() {
        let mut endpoints =
            tree!({"subsets": [{}, {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 0}]}]});
        Endpoints::new().fill(&mut endpoints, "v1");
        assert_eq!(
            texts(&Endpoints::new().validate(&endpoints, &cx(""))),
            [
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range \
                 (127.0.0.0/8, ::1/128)",
                "subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ]
        );
    }
}
