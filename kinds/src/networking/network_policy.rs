//! NetworkPolicy: which traffic the pods it selects accept and may send.

use super::{GROUP, address};
use crate::{Column, Cx, Info, Kind, print, validation};
use api::selector::label_selector_faults;
use api::{Fault, Path, Value};
use std::net::IpAddr;

const TYPES: [&str; 2] = ["Ingress", "Egress"];
/// Rules in both directions: the list's field and its peers' field.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

pub struct NetworkPolicy(Info);

impl NetworkPolicy {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "NetworkPolicy", "networkpolicies").short(&["netpol"]);
        NetworkPolicy(info.with_generation())
    }
}

/// What an update takes over from the stored object although it is wrong.
#[derive(Default)]
struct Leniency {
    invalid_label_values: bool,
    cidrs: Vec<String>,
}

fn faults(obj: &Value, lenient: &Leniency) -> Vec<Fault> {
    let at = Path::new("spec");
    let empty = Value::map();
    let selector = obj.at(&["spec", "podSelector"]).unwrap_or(&empty);
    let mut faults = label_selector_faults(selector, lenient.invalid_label_values, &at.child("podSelector"));
    for (field, peers) in DIRECTIONS {
        for (i, rule) in obj.list_at(&["spec", field]).iter().enumerate() {
            let path = at.child(field).index(i);
            for (j, port) in rule.list_at(&["ports"]).iter().enumerate() {
                faults.extend(port_faults(port, &path.child("ports").index(j)));
            }
            for (j, peer) in rule.list_at(&[peers]).iter().enumerate() {
                faults.extend(peer_faults(peer, lenient, &path.child(peers).index(j)));
            }
        }
    }
    let types = obj.list_at(&["spec", "policyTypes"]);
    let path = at.child("policyTypes");
    if types.len() > TYPES.len() {
        faults.push(Fault::invalid(path, types.to_vec(), "may not specify more than two policyTypes"));
        return faults;
    }
    for (i, name) in types.iter().filter_map(Value::as_str).enumerate() {
        faults.extend(validation::one_of(name, &TYPES, &path.index(i)));
    }
    faults
}

fn port_faults(port: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(protocol) = port.get("protocol").and_then(Value::as_str) {
        faults.extend(validation::one_of(protocol, &["TCP", "UDP", "SCTP"], &at.child("protocol")));
    }
    let end = port.i64_at(&["endPort"]);
    let end_fault = |value: i64, text: &str| Fault::invalid(at.child("endPort"), value, text);
    match port.get("port") {
        Some(number @ Value::Int(first)) => {
            faults.extend(validation::port_number_or_name(number, &at.child("port")));
            if let Some(end) = end {
                if end < *first {
                    faults.push(end_fault(*first, "must be greater than or equal to `port`"));
                }
                faults.extend(validation::port_number(end, &at.child("endPort")));
            }
        }
        Some(name @ Value::Str(_)) => {
            faults.extend(end.map(|e| end_fault(e, "may not be specified when `port` is non-numeric")));
            faults.extend(validation::port_number_or_name(name, &at.child("port")));
        }
        _ => faults.extend(end.map(|e| end_fault(e, "may not be specified when `port` is not specified"))),
    }
    faults
}

fn peer_faults(peer: &Value, lenient: &Leniency, at: &Path) -> Vec<Fault> {
    let has = |field: &str| peer.get(field).filter(|v| !v.is_null());
    let mut faults = Vec::new();
    for field in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = has(field) {
            faults.extend(label_selector_faults(selector, lenient.invalid_label_values, &at.child(field)));
        }
    }
    let selects = has("podSelector").is_some() || has("namespaceSelector").is_some();
    match has("ipBlock") {
        Some(block) => {
            faults.extend(block_faults(block, lenient, &at.child("ipBlock")));
            if selects {
                faults.push(Fault::forbidden(at, "may not specify both ipBlock and another peer"));
            }
        }
        None if !selects => faults.push(Fault::required(at, "must specify a peer")),
        None => {}
    }
    faults
}

fn block_faults(block: &Value, lenient: &Leniency, at: &Path) -> Vec<Fault> {
    let cidr = block.str_at(&["cidr"]);
    if cidr.is_empty() {
        return vec![Fault::required(at.child("cidr"), "")];
    }
    let check = |text: &str, path: &Path| {
        let known = lenient.cidrs.iter().any(|c| c == text);
        if known { Vec::new() } else { validation::cidr_legacy(text, path) }
    };
    let mut faults = check(cidr, &at.child("cidr"));
    let Some((network, bits)) = validation::parse_cidr_sloppy(cidr) else { return faults };
    for (i, except) in block.list_at(&["except"]).iter().filter_map(Value::as_str).enumerate() {
        let path = at.child("except").index(i);
        faults.extend(check(except, &path));
        let Some((inner, inner_bits)) = validation::parse_cidr_sloppy(except) else { continue };
        if !contains(network, bits, inner, inner_bits) || bits >= inner_bits {
            faults.push(Fault::invalid(path, except, "must be a strict subset of `cidr`"));
        }
    }
    faults
}

/// True when the inner network's address is in the network.
fn contains(network: IpAddr, bits: u8, inner: IpAddr, inner_bits: u8) -> bool {
    let inner = address::network_address(inner, inner_bits);
    network.is_ipv4() == inner.is_ipv4()
        && address::network_address(inner, bits) == address::network_address(network, bits)
}

/// Calls `f` for each network of the policy, with its path.
fn each_cidr(obj: &Value, mut f: impl FnMut(&str, Path)) {
    for (field, peers) in DIRECTIONS {
        for (i, rule) in obj.list_at(&["spec", field]).iter().enumerate() {
            for (j, peer) in rule.list_at(&[peers]).iter().enumerate() {
                let Some(block) = peer.get("ipBlock").filter(|b| !b.is_null()) else { continue };
                let at = Path::new("spec").child(field).index(i).child(peers).index(j).child("ipBlock");
                f(block.str_at(&["cidr"]), at.child("cidr"));
                for (k, except) in block.list_at(&["except"]).iter().filter_map(Value::as_str).enumerate() {
                    f(except, at.child("except").index(k));
                }
            }
        }
    }
}

impl Kind for NetworkPolicy {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        for (field, _) in DIRECTIONS {
            let rules = obj.at_mut(&["spec", field]).and_then(Value::as_list_mut);
            for rule in rules.into_iter().flatten() {
                for port in rule.get_mut("ports").and_then(Value::as_list_mut).into_iter().flatten() {
                    if let Some(port) = port.as_map_mut() {
                        port.entry_or("protocol", || "TCP".into());
                    }
                }
            }
        }
        if obj.list_at(&["spec", "policyTypes"]).is_empty() {
            let egress = !obj.list_at(&["spec", "egress"]).is_empty();
            obj.set(&["spec", "policyTypes"], TYPES[..if egress { 2 } else { 1 }].to_vec());
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, &Leniency::default())
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let selector = old.at(&["spec", "podSelector"]);
        let mut lenient = Leniency {
            invalid_label_values: !validation::label_selector(selector, &Path::default()).is_empty(),
            cidrs: Vec::new(),
        };
        each_cidr(old, |cidr, _| lenient.cidrs.push(cidr.to_owned()));
        faults(new, &lenient)
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        each_cidr(new, |cidr, at| warnings.extend(address::cidr_warnings(cidr, &at)));
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        let definition = "io.k8s.api.networking.v1.NetworkPolicySpec";
        vec![
            Column::name(),
            Column::field("Pod-Selector", "string", definition, "podSelector"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let selector = print::label_selector(obj.at(&["spec", "podSelector"]));
        vec![print::name(obj), selector.into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(spec: Value) -> Vec<String> {
        faults(&tree!({"spec": spec}), &Leniency::default()).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn types_follow_the_rules_there_are() {
        let mut obj = tree!({"spec": {"egress": [{"ports": [{"port": 1}]}]}});
        NetworkPolicy::new().fill(&mut obj, "v1");
        assert_eq!(
            obj,
            tree!({"spec": {"egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}],
                            "policyTypes": ["Ingress", "Egress"]}})
        );
    }

    #[test]
    fn ports_are_checked_with_their_ends() {
        let ports = tree!([{"port": 70000}, {"port": 80, "endPort": 70}, {"endPort": 5}, {"port": "web", "endPort": 9},
                           {"protocol": "ICMP"}]);
        let spec = tree!({"ingress": [{"ports": ports, "from": [{}]}], "policyTypes": ["Sideways"]});
        assert_eq!(
            texts(spec),
            [
                "spec.ingress[0].ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ingress[0].ports[1].endPort: Invalid value: 80: must be greater than or equal to `port`",
                "spec.ingress[0].ports[2].endPort: Invalid value: 5: may not be specified when `port` is not specified",
                "spec.ingress[0].ports[3].endPort: Invalid value: 9: may not be specified when `port` is non-numeric",
                "spec.ingress[0].ports[4].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \
                 \"SCTP\"",
                "spec.ingress[0].from[0]: Required value: must specify a peer",
                "spec.policyTypes[0]: Unsupported value: \"Sideways\": supported values: \"Ingress\", \"Egress\"",
            ]
        );
    }

    #[test]
    fn exceptions_lie_within_the_block() {
        let spec = tree!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/7"]},
                                              "podSelector": {}}]}]});
        assert_eq!(
            texts(spec),
            [
                "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/7\": must be a strict subset of `cidr`",
                "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
            ]
        );
    }
}
