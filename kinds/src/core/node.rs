//! Node: a machine that runs pods. Status may be set on create; who may change what later is the authorizers' matter.

use super::PROXY_VERBS;
use super::pod_spec::{EFFECTS, amount, amounts, round_list, set};
use crate::validation::{above_zero, cidr_legacy, one_of, parse_cidr_sloppy, qualified_name, same};
use crate::{Column, Cx, Form, Info, Kind, keep_all_but, keep_field, print};
use api::{Fault, Map, Path, Value, names, tree};
use std::collections::BTreeSet;

const INFO: &str = "io.k8s.api.core.v1.NodeSystemInfo";
const STATUS: &str = "io.k8s.api.core.v1.NodeStatus";
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";

pub struct Node(Info);

impl Node {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "Node", "nodes").short(&["no"]).cluster_scoped().prefix("minions");
        Node(info.subresource("proxy", "", "", "NodeProxyOptions", PROXY_VERBS, Form::Stream).with_status())
    }
}

/// `podCIDR` is the first of `podCIDRs`, and wins where they differ.
fn sync_cidrs(node: &mut Value) {
    let first = node.list_at(&["spec", "podCIDRs"]).first().and_then(Value::as_str).map(str::to_owned);
    match (node.str_at(&["spec", "podCIDR"]).to_owned(), first) {
        (one, first) if !one.is_empty() && first.as_ref() != Some(&one) => {
            node.set(&["spec", "podCIDRs"], vec![one]);
        }
        (one, Some(first)) if one.is_empty() => node.set(&["spec", "podCIDR"], first),
        _ => {}
    }
}

fn cidrs(node: &Value) -> Vec<&str> {
    node.list_at(&["spec", "podCIDRs"]).iter().filter_map(Value::as_str).collect()
}

fn taints(list: &[Value], path: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, taint) in list.iter().enumerate() {
        let at = path.index(i);
        let text = |field: &str| taint.str_at(&[field]);
        let (key, value, effect) = (text("key"), text("value"), text("effect"));
        faults.extend(qualified_name(key, &at.child("key")));
        let wrong = names::is_label_value(value);
        if !wrong.is_empty() {
            faults.push(Fault::invalid(at.child("value"), value, wrong.join(";")));
        }
        faults.extend(match effect {
            "" => vec![Fault::required(at.child("effect"), "")],
            effect => one_of(effect, &EFFECTS, &at.child("effect")),
        });
        if !seen.insert((key, effect)) {
            let added = set(taint, "timeAdded").cloned().unwrap_or_default();
            let shown = tree!({"Key": key, "Value": value, "Effect": effect, "TimeAdded": added});
            let mut fault = Fault::duplicate(at, shown);
            fault.detail = "taints must be unique by key and effect pair".to_owned();
            faults.push(fault);
        }
    }
    faults
}

fn resources(node: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    for list in ["capacity", "allocatable"] {
        for (name, value) in amounts(node.at(&["status", list])) {
            faults.extend(amount(&name, &value, &Path::new("status").child(list).child(&name)));
        }
    }
    faults
}

/// Features that the node says it has: named like types, sorted, once each.
fn features(node: &Value) -> Vec<Fault> {
    let path = Path::new("status").child("declaredFeatures");
    let list: Vec<&str> =
        node.list_at(&["status", "declaredFeatures"]).iter().filter_map(Value::as_str).collect();
    let mut faults = Vec::new();
    for (i, name) in list.iter().enumerate() {
        faults.extend(feature_name(name).map(|why| Fault::invalid(path.index(i), *name, why)));
        let at = path.index(i + 1);
        match list.get(i + 1) {
            Some(next) if next == name => faults.push(Fault::duplicate(at, *next)),
            Some(next) if *next < *name => {
                faults.push(Fault::invalid(at, *next, "list must be sorted alphabetically"));
            }
            _ => {}
        }
    }
    faults
}

fn feature_name(name: &str) -> Option<String> {
    let quoted = api::quote(name);
    if name.len() > names::SUBDOMAIN_MAX_LENGTH {
        return Some(format!("invalid feature name {quoted}: must be no more than 253 characters"));
    }
    let alphanumeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let good = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(alphanumeric);
    (!good).then(|| {
        format!(
            "invalid feature name {quoted}: must start with an UpperCamelCase segment, with subsequent segments \
             separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters \
             and slashes"
        )
    })
}

fn node_faults(node: &Value) -> Vec<Fault> {
    let mut faults = taints(node.list_at(&["spec", "taints"]), &Path::new("metadata").child("taints"));
    faults.extend(resources(node));
    let swap = node.i64_at(&["status", "nodeInfo", "swap", "capacity"]);
    faults.extend(above_zero(swap, &Path::new("metadata").child("nodeSwapStatus").child("capacity")));
    faults.extend(features(node));
    let (path, cidrs) = (Path::new("spec").child("podCIDRs"), cidrs(node));
    faults.extend(cidrs.iter().enumerate().flat_map(|(i, cidr)| cidr_legacy(cidr, &path.index(i))));
    if cidrs.len() > 1 {
        let v4 = cidrs.iter().filter_map(|c| parse_cidr_sloppy(c)).filter(|(ip, _)| ip.is_ipv4()).count();
        if cidrs.len() > 2 || v4 != 1 {
            let detail = "may specify no more than one CIDR for each IP family";
            faults.push(Fault::invalid(path, cidrs, detail));
        }
    }
    faults
}

/// What may not change, through the main resource or `status`.
fn change_faults(new: &Value, old: &Value) -> Vec<Fault> {
    let spec = Path::new("spec");
    let mut faults = resources(new);
    faults.extend(features(new));
    let addresses = new.list_at(&["status", "addresses"]);
    for (i, address) in addresses.iter().enumerate() {
        if addresses.iter().take(i).any(|other| other == address) {
            let (kind, text) = (address.str_at(&["type"]), address.str_at(&["address"]));
            let at = Path::new("status").child("addresses").index(i);
            faults.push(Fault::duplicate(at, tree!({"Type": kind, "Address": text})));
        }
    }
    let (now, before) = (cidrs(new), cidrs(old));
    let changes = match before.len() {
        0 => 0,
        n if n != now.len() => 1,
        _ => now.iter().zip(&before).filter(|(a, b)| a != b).count(),
    };
    let detail = "node updates may not change podCIDR except from \"\" to valid";
    faults.extend((0..changes).map(|_| Fault::forbidden(spec.child("podCIDRs"), detail)));
    let provider = old.str_at(&["spec", "providerID"]);
    if !provider.is_empty() && provider != new.str_at(&["spec", "providerID"]) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        faults.push(Fault::forbidden(spec.child("providerID"), detail));
    }
    faults.extend(taints(new.list_at(&["spec", "taints"]), &Path::new("metadata").child("taints")));
    if new.str_at(&["spec", "externalID"]) != old.str_at(&["spec", "externalID"]) {
        faults.push(Fault::forbidden(spec.child("externalID"), "may not be updated"));
    }
    faults
}

fn roles(node: &Value) -> String {
    let labels = node.map_at(&["metadata", "labels"]).into_iter().flat_map(Map::iter);
    let role = |(key, value): (&api::Str, &Value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_owned()),
        None => (*key == ROLE).then(|| value.as_str().unwrap_or_default().to_owned()),
    };
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|r| !r.is_empty()).collect();
    print::or_else(&roles.into_iter().collect::<Vec<String>>().join(","), "<none>")
}

fn readiness(node: &Value) -> String {
    let conditions = node.list_at(&["status", "conditions"]);
    let ready = conditions.iter().rev().find(|c| c.str_at(&["type"]) == "Ready");
    let state = match ready.map(|c| c.str_at(&["status"])) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    let closed = if node.bool_at(&["spec", "unschedulable"]) { ",SchedulingDisabled" } else { "" };
    format!("{state}{closed}")
}

fn address(node: &Value, kind: &str) -> String {
    let found = node.list_at(&["status", "addresses"]).iter().find(|a| a.str_at(&["type"]) == kind);
    found.map_or_else(|| "<none>".to_owned(), |a| a.str_at(&["address"]).to_owned())
}

impl Kind for Node {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        sync_cidrs(obj);
        let capacity = obj.at(&["status", "capacity"]).filter(|c| !c.is_null()).cloned();
        let lacks = obj.at(&["status", "allocatable"]).is_none_or(Value::is_null);
        if let Some(capacity) = capacity.filter(|_| lacks) {
            obj.set(&["status", "allocatable"], capacity);
        }
        for list in ["capacity", "allocatable"] {
            round_list(obj.at_mut(&["status", list]));
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        obj.unset(&["spec", "configSource"]);
        obj.unset(&["status", "config"]);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        if old.at(&["spec", "configSource"]).is_none() {
            new.unset(&["spec", "configSource"]);
        }
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_all_but(new, old, &["status", "metadata"]);
        if old.at(&["status", "config"]).is_none() {
            new.unset(&["status", "config"]);
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        node_faults(obj)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = node_faults(new);
        faults.extend(change_faults(new, old));
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        change_faults(new, old)
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        if cx.subresource == "status" {
            return warnings;
        }
        if !same(new.at(&["spec", "configSource"]), None) {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !new.str_at(&["spec", "externalID"]).is_empty() {
            warnings
                .push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::text("Status", "string", "The status of the node"),
            Column::text("Roles", "string", "The roles of the node"),
            Column::age(),
            Column::field("Version", "string", INFO, "kubeletVersion"),
            Column::field("Internal-IP", "string", STATUS, "addresses").wide(),
            Column::field("External-IP", "string", STATUS, "addresses").wide(),
            Column::field("OS-Image", "string", INFO, "osImage").wide(),
            Column::field("Kernel-Version", "string", INFO, "kernelVersion").wide(),
            Column::field("Container-Runtime", "string", INFO, "containerRuntimeVersion").wide(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let info = |field: &str| obj.str_at(&["status", "nodeInfo", field]);
        let known = |field: &str| print::or_else(info(field), "<unknown>");
        let mut kernel = known("kernelVersion");
        if !info("architecture").is_empty() {
            kernel = format!("{kernel} ({})", info("architecture"));
        }
        vec![
            print::name(obj),
            readiness(obj).into(),
            roles(obj).into(),
            print::age(obj, now),
            info("kubeletVersion").into(),
            address(obj, "InternalIP").into(),
            address(obj, "ExternalIP").into(),
            known("osImage").into(),
            kernel.into(),
            known("containerRuntimeVersion").into(),
        ]
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.unschedulable", obj.bool_at(&["spec", "unschedulable"]).to_string())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};

    #[test]
    fn taints_are_unique_by_key_and_effect() {
        let node = tree!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}, {"key": "k", "effect": "NoExecute"}]}});
        assert_eq!(
            texts(&Node::new().validate(&node, &cx(""))),
            ["metadata.taints[1]: Duplicate value: {\"Key\":\"k\",\"Value\":\"\",\"Effect\":\"NoExecute\",\
              \"TimeAdded\":null}: taints must be unique by key and effect pair"]
        );
    }

    #[test]
    fn one_network_becomes_many_and_stays() {
        let mut node = tree!({"spec": {"podCIDR": "10.244.7.0/24"}, "status": {"capacity": {"cpu": "4"}}});
        Node::new().fill(&mut node, "v1");
        assert_eq!(node.at(&["spec", "podCIDRs"]), Some(&tree!(["10.244.7.0/24"])));
        assert_eq!(node.at(&["status", "allocatable"]), Some(&tree!({"cpu": "4"})));
        let faults = Node::new().validate_update(&tree!({}), &node, &cx(""));
        assert_eq!(
            texts(&faults),
            ["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"]
        );
    }

    #[test]
    fn tables_show_state_and_roles() {
        let node = tree!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
            "spec": {"unschedulable": true}});
        let cells = Node::new().cells(&node, 0);
        assert_eq!(cells[1], "Unknown,SchedulingDisabled".into());
        assert_eq!(cells[2], "worker".into());
        assert_eq!(cells[8], "<unknown>".into());
    }
}
