//! What a node may change in its own Node object: not its taints, and of the labels of Kubernetes only its own.

use super::{before, wanted};
use crate::review::{Operation, Review};
use api::{Map, Value, quote};
use kinds::validation::same;
use std::collections::BTreeSet;

const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels that a kubelet sets, and domains in which it may set what it likes.
const LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

pub fn judge(node: &str, review: &Review<'_>) -> Result<(), String> {
    let quoted = quote(node);
    if review.name != node {
        return Err(format!("node {quoted} is not allowed to modify node {}", quote(review.name)));
    }
    let (new, old) = (wanted(review), before(review));
    let source = new.at(&["spec", "configSource"]).filter(|source| !source.is_null());
    let differs = |path: &[&str]| !same(new.at(path), old.at(path));
    match review.operation {
        Operation::Create if source.is_some() => {
            Err(format!("node {quoted} is not allowed to create pods with a non-nil configSource"))
        }
        Operation::Create => match forbidden_labels(new, old) {
            labels if labels.is_empty() => Ok(()),
            labels => Err(format!("node {quoted} is not allowed to set the following labels: {labels}")),
        },
        Operation::Update if source.is_some() && differs(&["spec", "configSource"]) => {
            Err(format!("node {quoted} is not allowed to update configSource to a new non-nil configSource"))
        }
        Operation::Update if differs(&["spec", "taints"]) => {
            Err(format!("node {quoted} is not allowed to modify taints"))
        }
        Operation::Update if differs(&["metadata", "ownerReferences"]) => {
            Err(format!("node {quoted} is not allowed to modify ownerReferences"))
        }
        Operation::Update => match forbidden_labels(new, old) {
            labels if labels.is_empty() => Ok(()),
            labels => Err(format!("is not allowed to modify labels: {labels}")),
        },
        _ => Ok(()),
    }
}

/// The labels that differ and that are not a node's to set, sorted.
fn forbidden_labels(new: &Value, old: &Value) -> String {
    let labels = |node: &Value| node.map_at(&["metadata", "labels"]).cloned().unwrap_or_default();
    let (new, old) = (labels(new), labels(old));
    let changed = |from: &Map, to: &Map| -> Vec<String> {
        from.iter()
            .filter(|(key, value)| to.get(key) != Some(*value))
            .map(|(key, _)| key.to_string())
            .collect()
    };
    let mut all: BTreeSet<String> = changed(&new, &old).into_iter().collect();
    all.extend(changed(&old, &new));
    all.retain(|label| is_forbidden(label));
    all.into_iter().collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| {
        domain.strip_suffix(parent).is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    let of_kubernetes = within("kubernetes.io") || within("k8s.io");
    let of_kubelets = LABELS.contains(&label) || DOMAINS.iter().any(|parent| within(parent));
    within(RESTRICTED) || (of_kubernetes && !of_kubelets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubernetes_are_not_a_nodes_to_set_unless_kubelets_set_them() {
        for label in [
            "kubernetes.io/hostname",
            "a.kubelet.kubernetes.io/x",
            "node.kubernetes.io/x",
            "x",
            "a/b",
            "notk8s.io/x",
        ] {
            assert!(!is_forbidden(label), "{label}");
        }
        for label in [
            "kubernetes.io/x",
            "a.k8s.io/x",
            "node-restriction.kubernetes.io/x",
            "a.node-restriction.kubernetes.io/x",
        ] {
            assert!(is_forbidden(label), "{label}");
        }
    }
}
