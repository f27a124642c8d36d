//! References to objects by group, kind and name, as ingresses and their classes make them.

use crate::validation;
use api::{Fault, Path, Value, names};

/// Faults of `apiGroup`, `kind` and `name`.
pub fn faults(reference: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(group) = reference.get("apiGroup").and_then(Value::as_str) {
        faults.extend(validation::dns_subdomain(group, &at.child("apiGroup")));
    }
    faults.extend(segment(reference, "kind", at));
    faults.extend(segment(reference, "name", at));
    faults
}

/// A field that must be there and fit into a path.
pub fn segment(reference: &Value, field: &str, at: &Path) -> Vec<Fault> {
    match reference.str_at(&[field]) {
        "" => vec![Fault::required(at.child(field), "")],
        value => optional_segment(value, &at.child(field)),
    }
}

pub fn optional_segment(value: &str, at: &Path) -> Vec<Fault> {
    validation::texts(at, value, names::is_path_segment_name(value))
}
