//! Whether a pod may run on a node, as far as labels, names and taints say.

use api::selector::LabelSelector;
use api::{Value, tree};

/// Taints that come and go with the state of a node; daemons run in spite of them.
const TROUBLE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

const REQUIRED: [&str; 4] =
    ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];

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
    (named.is_empty() || named == node.str_at(&["metadata", "name"]))
        && is_selected(&pod, node)
        && is_tolerated(&pod, node)
}

fn is_selected(pod: &Value, node: &Value) -> bool {
    let labels = node.map_at(&["metadata", "labels"]);
    if let Some(selector) = pod.map_at(&["spec", "nodeSelector"])
        && !LabelSelector::from_labels(selector).matches(labels)
    {
        return false;
    }
    let terms = pod.get("spec").map(|spec| spec.list_at(&REQUIRED)).unwrap_or_default();
    terms.is_empty() || terms.iter().any(|term| term_matches(term, node))
}

fn term_matches(term: &Value, node: &Value) -> bool {
    let (labels, fields) = (term.list_at(&["matchExpressions"]), term.list_at(&["matchFields"]));
    let has = |key: &str| {
        Some(node.str_at(&["metadata", "labels", key]))
            .filter(|_| node.at(&["metadata", "labels", key]).is_some())
    };
    let name = node.str_at(&["metadata", "name"]);
    (!labels.is_empty() || !fields.is_empty())
        && labels.iter().all(|e| expression_matches(e, has(e.str_at(&["key"]))))
        && fields.iter().all(|e| expression_matches(e, Some(name)))
}

fn expression_matches(expression: &Value, value: Option<&str>) -> bool {
    let values = expression.list_at(&["values"]);
    let listed = value.is_some_and(|value| values.iter().any(|v| v.as_str() == Some(value)));
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
    let bound = number(values.first().and_then(Value::as_str));
    match expression.str_at(&["operator"]) {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(bound).is_some_and(|(value, bound)| value > bound),
        "Lt" => number(value).zip(bound).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

/// Every taint that keeps pods away is tolerated.
fn is_tolerated(pod: &Value, node: &Value) -> bool {
    let taints = node.list_at(&["spec", "taints"]).iter();
    let mut hard = taints.filter(|t| matches!(t.str_at(&["effect"]), "NoSchedule" | "NoExecute"));
    hard.all(|taint| pod.list_at(&["spec", "tolerations"]).iter().any(|t| tolerates(t, taint)))
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |field: &str| toleration.str_at(&[field]);
    let effect = text("effect").is_empty() || text("effect") == taint.str_at(&["effect"]);
    let key = text("key").is_empty() || text("key") == taint.str_at(&["key"]);
    let value = text("operator") == "Exists" || text("value") == taint.str_at(&["value"]);
    effect && key && value && !(text("key").is_empty() && text("operator") != "Exists")
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
    let mut terms = pod.get("spec").map(|spec| spec.list_at(&REQUIRED).to_vec()).unwrap_or_default();
    if terms.is_empty() {
        terms.push(Value::map());
    }
    for term in &mut terms {
        term.set(&["matchFields"], tree!([field.clone()]));
    }
    let mut path = vec!["spec"];
    path.extend(REQUIRED);
    pod.set(&path, Value::List(terms));
}

/// The node that a pod was pinned to, "" when it was not.
pub fn pinned_node(pod: &Value) -> &str {
    let terms = pod.get("spec").map(|spec| spec.list_at(&REQUIRED)).unwrap_or_default();
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
        assert!(is_selected(&pod, &tree!({"metadata": {"name": "n"}})));
        assert!(!is_selected(&pod, &tree!({"metadata": {"name": "m"}})));
    }
}
