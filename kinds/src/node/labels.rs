//! Labels of nodes that are out of use, and what clients are warned with. Source: `pkg/api/node`.

use api::{Path, Value};

const DEPRECATED: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// What to say of a label of nodes that is out of use.
pub fn deprecation(label: &str) -> Option<&'static str> {
    DEPRECATED.iter().find(|(name, _)| *name == label).map(|(_, text)| *text)
}

/// Warnings about a `meta/v1 LabelSelector` over nodes.
pub fn selector_warnings(selector: Option<&Value>, at: &Path) -> Vec<String> {
    let Some(selector) = selector else { return Vec::new() };
    let mut warnings = Vec::new();
    for (i, expression) in selector.list_at(&["matchExpressions"]).iter().enumerate() {
        let key = expression.str_at(&["key"]);
        if let Some(text) = deprecation(key) {
            let path = at.child("matchExpressions").index(i).child("key");
            warnings.push(format!("{path}: {key} is {text}"));
        }
    }
    for key in selector.map_at(&["matchLabels"]).into_iter().flat_map(|m| m.keys()) {
        if let Some(text) = deprecation(key) {
            warnings.push(format!("{}: {text}", at.child("matchLabels").child(key)));
        }
    }
    warnings
}
