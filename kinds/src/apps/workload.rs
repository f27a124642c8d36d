//! Rules that the kinds which run pods from a template share: selectors and templates that must agree, counters of
//! status, rolling updates, columns. Used by the kinds of apps and batch and by ReplicationController.
//! Source: upstream's `apis/apps/validation`, `printers/internalversion`.

use crate::{Column, validation};
use api::selector::{LabelSelector, label_selector_faults};
use api::{Fault, Path, Value, names};

/// What a label selector must not be for a workload: missing, malformed or empty. `noun` as upstream names the kind.
pub fn selector_faults(selector: Option<&Value>, noun: &str, path: &Path) -> Vec<Fault> {
    let Some(selector) = selector.filter(|v| !v.is_null()) else {
        return vec![Fault::required(path, "")];
    };
    let mut faults = label_selector_faults(selector, false, path);
    faults.extend(empty_selector_fault(selector, noun, path));
    faults
}

/// A selector that selects everything is refused.
pub fn empty_selector_fault(selector: &Value, noun: &str, path: &Path) -> Option<Fault> {
    let detail = format!("empty selector is invalid for {noun}");
    validation::label_selector_is_empty(Some(selector))
        .then(|| Fault::invalid(path, selector.clone(), detail))
}

/// The template's labels must be what the selector selects; `path` is the template's.
pub fn label_mismatch(selector: &LabelSelector, template: Option<&Value>, path: &Path) -> Option<Fault> {
    let labels = template.and_then(|t| t.at(&["metadata", "labels"]));
    if selector.matches(labels.and_then(Value::as_map)) {
        return None;
    }
    let at = path.child("metadata").child("labels");
    let detail = "`selector` does not match template `labels`";
    Some(Fault::invalid(at, labels.cloned().unwrap_or_default(), detail))
}

/// Pods that a controller replaces must restart always and have no deadline; `path` is the template's.
pub fn always_restarts(template: Option<&Value>, kind: &str, path: &Path) -> Vec<Fault> {
    let at = path.child("spec");
    let text = |field| template.map(|t| t.str_at(&["spec", field])).unwrap_or_default();
    let mut faults = validation::one_of(text("restartPolicy"), &["Always"], &at.child("restartPolicy"));
    if template.is_some_and(|t| t.at(&["spec", "activeDeadlineSeconds"]).is_some_and(|v| !v.is_null())) {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        faults.push(Fault::forbidden(at.child("activeDeadlineSeconds"), detail));
    }
    faults
}

/// Fields of a struct that must not be negative; missing ones count as 0.
pub fn counter_faults(holder: &Value, fields: &[&str], path: &Path) -> Vec<Fault> {
    let of = |field: &&str| validation::not_negative(holder.i64_at(&[field]), &path.child(field));
    fields.iter().flat_map(of).collect()
}

/// Counters of a status that must not exceed its `replicas`, then `availableReplicas`, which must not exceed
/// `readyReplicas` (upstream words it per kind: `limit`).
pub fn ceiling_faults(status: &Value, fields: &[&str], limit: &str, path: &Path) -> Vec<Fault> {
    let count = |field: &str| status.i64_at(&[field]).unwrap_or(0);
    let mut faults = Vec::new();
    for field in fields {
        if count(field) > count("replicas") {
            let detail = "cannot be greater than status.replicas";
            faults.push(Fault::invalid(path.child(field), count(field), detail));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let detail = format!("cannot be greater than {limit}");
        faults.push(Fault::invalid(path.child("availableReplicas"), count("availableReplicas"), detail));
    }
    faults
}

/// `status.collisionCount` only grows.
pub fn collision_fault(new: &Value, old: &Value) -> Option<Fault> {
    let count = |obj: &Value| obj.i64_at(&["status", "collisionCount"]);
    let (new, old) = (count(new), count(old)?);
    if new.is_some_and(|new| new >= old) {
        return None;
    }
    Some(Fault::invalid("status.collisionCount", new.unwrap_or(0), "cannot be decremented"))
}

/// The number of an IntOrString: of a percentage the part before `%`, 0 for other texts.
pub fn int_or_percent(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Str(text)) => {
            value.and_then(validation::percent).or_else(|| text.parse().ok()).unwrap_or(0)
        }
        Some(other) => other.as_i64().unwrap_or(0),
        None => 0,
    }
}

/// An IntOrString of at least 0, or a percentage; missing is 0.
pub fn amount_faults(holder: &Value, field: &str, path: &Path) -> Vec<Fault> {
    holder
        .get(field)
        .map(|v| validation::not_negative_int_or_percent(v, &path.child(field)))
        .unwrap_or_default()
}

/// An IntOrString that, as a percentage, is at most 100%.
pub fn percent_faults(holder: &Value, field: &str, path: &Path) -> Vec<Fault> {
    holder.get(field).map(|v| validation::at_most_100_percent(v, &path.child(field))).unwrap_or_default()
}

/// Names that end up in names of pods should be DNS labels.
pub fn name_warning(obj: &Value) -> Option<String> {
    let texts = names::is_dns1123_label(obj.str_at(&["metadata", "name"]));
    (!texts.is_empty()).then(|| {
        let texts = texts.join(" ");
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; \
             a DNS label is recommended: [{texts}]"
        )
    })
}

/// `Containers` and `Images`, shown with `-o wide`.
pub fn container_columns() -> Vec<Column> {
    vec![
        Column::text("Containers", "string", "Names of each container in the template.").wide(),
        Column::text("Images", "string", "Images referenced by each container in the template.").wide(),
    ]
}

/// Number of a field, 0 when missing, as a cell.
pub fn count_cell(obj: &Value, path: &[&str]) -> Value {
    obj.i64_at(path).unwrap_or(0).into()
}

/// `ready/wanted`.
pub fn ready_cell(obj: &Value) -> Value {
    let count = |path: &[&str]| obj.i64_at(path).unwrap_or(0);
    format!("{}/{}", count(&["status", "readyReplicas"]), count(&["spec", "replicas"])).into()
}

/// True when a field of two objects differs (missing and empty are the same).
pub fn differs(new: &Value, old: &Value, path: &[&str]) -> bool {
    !validation::same(new.at(path), old.at(path))
}

/// Puts a value in where a field is missing or null.
pub fn default_to(obj: &mut Value, path: &[&str], value: impl Into<Value>) {
    if obj.at(path).is_none_or(Value::is_null) {
        obj.set(path, value);
    }
}

/// Puts a text in where a field is missing or "".
pub fn default_text(obj: &mut Value, path: &[&str], text: &str) {
    if obj.str_at(path).is_empty() && obj.at(path).is_none_or(|v| v.is_null() || v.as_str().is_some()) {
        obj.set(path, text);
    }
}
