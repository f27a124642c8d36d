//! The names of a custom kind: plural, singular, kind, list kind, short names and categories.

use crate::validation;
use api::{Fault, Path, Value, names};

const REQUIRED: [&str; 4] = ["plural", "singular", "kind", "listKind"];

/// Faults of names that are missing.
pub fn missing_faults(all: &Value, at: &Path) -> Vec<Fault> {
    REQUIRED.iter().flat_map(|f| validation::required(all.str_at(&[f]), &at.child(f))).collect()
}

/// Faults of names that are there.
pub fn faults(all: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| all.str_at(&[field]);
    let mut faults = Vec::new();
    for field in ["plural", "singular"] {
        if !text(field).is_empty() {
            faults.extend(label_fault(text(field), &at.child(field)));
        }
    }
    for field in ["kind", "listKind"] {
        let texts = names::is_dns1035_label(&text(field).to_lowercase());
        if !text(field).is_empty() && !texts.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", texts.join(","));
            faults.push(Fault::invalid(at.child(field), text(field), detail));
        }
    }
    faults.extend(list_faults(all, "shortNames", at));
    if !text("kind").is_empty() && text("kind") == text("listKind") {
        let detail = "kind and listKind may not be the same";
        faults.push(Fault::invalid(at.child("listKind"), text("listKind"), detail));
    }
    faults.extend(list_faults(all, "categories", at));
    faults
}

fn list_faults(all: &Value, field: &str, at: &Path) -> Vec<Fault> {
    let items = all.list_at(&[field]).iter().filter_map(Value::as_str).enumerate();
    items.filter_map(|(i, item)| label_fault(item, &at.child(field).index(i))).collect()
}

/// One fault for all that is wrong with a label.
pub fn label_fault(label: &str, at: &Path) -> Option<Fault> {
    let texts = names::is_dns1035_label(label);
    (!texts.is_empty()).then(|| Fault::invalid(at, label, texts.join(",")))
}
