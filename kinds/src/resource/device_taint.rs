//! Taints of devices, and tolerations of them.

use crate::validation;
use api::{Fault, Path, Value, names};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// Faults of one taint.
pub fn taint_faults(taint: &Value, at: &Path) -> Vec<Fault> {
    let value = taint.str_at(&["value"]);
    let mut faults = validation::qualified_name(taint.str_at(&["key"]), &at.child("key"));
    faults.extend(validation::texts(&at.child("value"), value, names::is_label_value(value)));
    faults.extend(match taint.str_at(&["effect"]) {
        "" => vec![Fault::required(at.child("effect"), "")],
        effect => validation::one_of(effect, &EFFECTS, &at.child("effect")),
    });
    faults
}

/// Faults of one toleration.
pub fn toleration_faults(toleration: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| toleration.str_at(&[field]);
    let (key, value) = (text("key"), text("value"));
    let mut faults = Vec::new();
    if !key.is_empty() {
        faults.extend(validation::qualified_name(key, &at.child("key")));
    }
    let path = at.child("operator");
    faults.extend(match text("operator") {
        "Exists" if value.is_empty() => Vec::new(),
        "Exists" => {
            let text = "must be empty for operator `Exists`";
            vec![Fault::invalid(at.child("value"), value, text)]
        }
        "Equal" => validation::texts(&at.child("value"), value, names::is_label_value(value)),
        "" => vec![Fault::required(path, "")],
        operator => validation::one_of(operator, &["Equal", "Exists"], &path),
    });
    if !text("effect").is_empty() {
        faults.extend(validation::one_of(text("effect"), &EFFECTS, &at.child("effect")));
    }
    faults
}

/// Fills the time into taints that lack it.
pub fn fill_times(slice: &mut Value, now: &str) {
    for device in slice.at_mut(&["spec", "devices"]).and_then(Value::as_list_mut).into_iter().flatten() {
        for taint in device.get_mut("taints").and_then(Value::as_list_mut).into_iter().flatten() {
            if let Some(taint) = taint.as_map_mut() {
                taint.entry_or("timeAdded", || now.into());
            }
        }
    }
}
