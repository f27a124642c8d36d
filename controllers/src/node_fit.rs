//! Whether a pod may run on a node, as far as labels, names and taints say.

use api::node_selection::{NodeTerm, REQUIRED_TERMS, Taint, Toleration, node_selector};
use api::{Map, Value, tree};

/// Taints that come and go with the state of a node; daemons run in spite of them.
const TROUBLE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// True when two versions of a node are the same to who chooses nodes.
pub fn looks_the_same(old: &Value, new: &Value) -> bool {
    ["labels"].iter().all(|f| old.at(&["metadata", f]) == new.at(&["metadata", f]))
        && ["taints", "unschedulable"].iter().all(|f| old.at(&["spec", f]) == new.at(&["spec", f]))
}

/// True when a pod of this set's template may start on a node.
pub fn may_start(set: &Value, node: &Value) -> bool {
    let empty = Value::map();
    let mut pod = tree!({"spec": set.at(&["spec", "template", "spec"]).unwrap_or(&empty).clone()});
    tolerate_trouble(&mut pod);
    let named = pod.str_at(&["spec", "nodeName"]);
    let spec = pod.get("spec").unwrap_or(&empty);
    (named.is_empty() || named == node.str_at(&["metadata", "name"]))
        && is_selected(spec, node)
        && is_tolerated(spec, node)
}

/// True when a pod of this set that is on a node may stay: taints that only keep others from starting do not matter.
pub fn may_stay(set: &Value, node: &Value) -> bool {
    let mut without = node.clone();
    let taints = node.list_at(&["spec", "taints"]).iter();
    let driving: Vec<Value> = taints.filter(|t| t.str_at(&["effect"]) == "NoExecute").cloned().collect();
    without.set(&["spec", "taints"], driving);
    may_start(set, &without)
}

fn is_selected(spec: &Value, node: &Value) -> bool {
    let none = Map::new();
    let labels = node.map_at(&["metadata", "labels"]).unwrap_or(&none);
    let name = node.str_at(&["metadata", "name"]);
    node_selector(spec).matches(Some(labels))
        && NodeTerm::required(spec).is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
}

/// Every taint that keeps pods away is tolerated.
fn is_tolerated(spec: &Value, node: &Value) -> bool {
    let tolerations = Toleration::all(spec);
    let mut taints = node.list_at(&["spec", "taints"]).iter().map(Taint::of);
    taints.all(|taint| !taint.is_hard() || tolerations.iter().any(|t| t.tolerates(&taint)))
}

/// Lets a pod run on nodes that are in trouble.
pub fn tolerate_trouble(pod: &mut Value) {
    let host_network = pod.bool_at(&["spec", "hostNetwork"]);
    let mut list = pod.list_at(&["spec", "tolerations"]).to_vec();
    let extra = host_network.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    for (key, effect) in TROUBLE.into_iter().chain(extra) {
        let toleration = tree!({"key": key, "operator": "Exists", "effect": effect});
        if !list.contains(&toleration) {
            list.push(toleration);
        }
    }
    pod.set(&["spec", "tolerations"], Value::List(list));
}

/// Makes a pod one for a single node.
pub fn pin(pod: &mut Value, node: &str) {
    let field = tree!({"key": "metadata.name", "operator": "In", "values": [node]});
    let mut terms = pod.get("spec").map(|spec| spec.list_at(&REQUIRED_TERMS).to_vec()).unwrap_or_default();
    if terms.is_empty() {
        terms.push(Value::map());
    }
    for term in &mut terms {
        term.set(&["matchFields"], tree!([field.clone()]));
    }
    let mut path = vec!["spec"];
    path.extend(REQUIRED_TERMS);
    pod.set(&path, Value::List(terms));
}

/// The node that a pod was pinned to, "" when it was not.
pub fn pinned_node(pod: &Value) -> &str {
    let terms = pod.get("spec").map(|spec| spec.list_at(&REQUIRED_TERMS)).unwrap_or_default();
    let mut fields = terms.iter().flat_map(|term| term.list_at(&["matchFields"]));
    let field = fields.find(|f| f.str_at(&["key"]) == "metadata.name");
    field.and_then(|f| f.list_at(&["values"]).first()).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_taints_keep_pods_away() {
        let set = |spec: Value| tree!({"spec": {"template": {"spec": spec}}});
        let node = tree!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}, "spec": {"taints": [
            {"key": "k", "value": "v", "effect": "NoSchedule"}, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}});
        assert!(!may_start(&set(tree!({})), &node));
        let tolerations = tree!([{"key": "k", "operator": "Equal", "value": "v"}]);
        assert!(may_start(&set(tree!({"tolerations": tolerations.clone()})), &node));
        let other = tree!({"tolerations": tolerations, "nodeSelector": {"disk": "hdd"}});
        assert!(!may_start(&set(other), &node));
    }

    #[test]
    fn a_pinned_pod_matches_its_node_only() {
        let mut pod = tree!({"spec": {}});
        pin(&mut pod, "n");
        assert_eq!(pinned_node(&pod), "n");
        assert!(is_selected(pod.get("spec").unwrap(), &tree!({"metadata": {"name": "n"}})));
        assert!(!is_selected(pod.get("spec").unwrap(), &tree!({"metadata": {"name": "m"}})));
    }
}
