//! The flowcontrol.apiserver.k8s.io group.

mod flow_schema;
mod priority_level_configuration;

use crate::Kind;
use api::{Fault, Path, Value};
use std::sync::Arc;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(flow_schema::FlowSchema::new()),
        Arc::new(priority_level_configuration::PriorityLevelConfiguration::new()),
    ]
}

/// Faults of `status.conditions`: types are there, and once each.
fn status_faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("status").child("conditions");
    let mut seen = std::collections::HashSet::new();
    let mut faults = Vec::new();
    for (i, condition) in obj.list_at(&["status", "conditions"]).iter().enumerate() {
        let (name, path) = (condition.str_at(&["type"]), at.index(i).child("type"));
        if !seen.insert(name) {
            faults.push(Fault::duplicate(&path, name));
        }
        if name.is_empty() {
            faults.push(Fault::required(path, ""));
        }
    }
    faults
}

/// Status lenses of the group own nothing of metadata either.
fn reset_fields(subresource: &str) -> Vec<Vec<&'static str>> {
    match subresource {
        "status" => vec![vec!["metadata"], vec!["spec"]],
        _ => vec![vec!["status"]],
    }
}
