//! Selectors of nodes by labels that are out of use. Source: `pkg/api/node`.

use crate::core::pod_spec::deprecated_node_label;
use api::{Path, Value};

/// Warnings about a `meta/v1 LabelSelector` over nodes.
pub fn selector_warnings(selector: Option<&Value>, at: &Path) -> Vec<String> {
    let Some(selector) = selector else { return Vec::new() };
    let mut warnings = Vec::new();
    for (i, expression) in selector.list_at(&["matchExpressions"]).iter().enumerate() {
        let key = expression.str_at(&["key"]);
        if let Some(text) = deprecated_node_label(key) {
            let path = at.child("matchExpressions").index(i).child("key");
            warnings.push(format!("{path}: {key} is {text}"));
        }
    }
    for key in selector.map_at(&["matchLabels"]).into_iter().flat_map(|m| m.keys()) {
        if let Some(text) = deprecated_node_label(key) {
            warnings.push(format!("{}: {text}", at.child("matchLabels").child(key)));
        }
    }
    warnings
}
