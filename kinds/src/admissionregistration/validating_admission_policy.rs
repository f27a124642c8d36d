//! ValidatingAdmissionPolicy: CEL expressions that judge objects before they are stored.

use super::policy;
use crate::{Column, Cx, Info, Kind, conditions, keep_field, lens, print, validation};
use api::{Fault, Path, Value};
use std::collections::HashSet;

const MAX_AUDIT_ANNOTATIONS: usize = 20;
const MAX_VALUE_EXPRESSION: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

pub struct ValidatingAdmissionPolicy(Info);

impl ValidatingAdmissionPolicy {
    pub fn new() -> Self {
        let info = super::info("ValidatingAdmissionPolicy", "validatingadmissionpolicies");
        ValidatingAdmissionPolicy(info.with_status())
    }
}

fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let validations = obj.list_at(&["spec", "validations"]);
    let annotations = obj.list_at(&["spec", "auditAnnotations"]);
    let mut faults = policy::faults(obj, old, false);
    if validations.is_empty() && annotations.is_empty() {
        let text = "validations or auditAnnotations must contain at least one item";
        faults.push(Fault::required(at.child("validations"), text));
        faults.push(Fault::required(at.child("auditAnnotations"), text));
        return faults;
    }
    for (i, validation) in validations.iter().enumerate() {
        faults.extend(validation_faults(validation, &at.child("validations").index(i)));
    }
    let path = at.child("auditAnnotations");
    if annotations.len() > MAX_AUDIT_ANNOTATIONS {
        let text = format!("must not have more than {MAX_AUDIT_ANNOTATIONS} auditAnnotations");
        faults.push(Fault::invalid(&path, annotations.to_vec(), text));
    }
    let mut seen = HashSet::new();
    for (i, annotation) in annotations.iter().enumerate() {
        let key = annotation.str_at(&["key"]);
        faults.extend(annotation_faults(annotation, obj.str_at(&["metadata", "name"]), &path.index(i)));
        if !seen.insert(key) {
            faults.push(Fault::duplicate(path.index(i).child("key"), key));
        }
    }
    faults
}

fn validation_faults(entry: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| entry.str_at(&[field]);
    let blank = |field: &str| !text(field).is_empty() && text(field).trim().is_empty();
    let mut faults = Vec::new();
    if text("expression").trim().is_empty() {
        faults.push(Fault::required(at.child("expression"), "expression is not specified"));
    }
    for field in ["messageExpression", "message"] {
        if blank(field) {
            faults.push(Fault::invalid(at.child(field), text(field), "must be non-empty if specified"));
        } else if field == "message" && text(field).trim().contains(['\n', '\r']) {
            faults.push(Fault::invalid(at.child(field), text(field), "must not contain line breaks"));
        }
    }
    if let Some(reason) = entry.get("reason").and_then(Value::as_str) {
        faults.extend(validation::one_of(reason, &REASONS, &at.child("reason")));
    }
    faults
}

fn annotation_faults(annotation: &Value, policy: &str, at: &Path) -> Vec<Fault> {
    let key = annotation.str_at(&["key"]);
    let mut faults = match policy {
        "" => vec![Fault::invalid(at.child("key"), key, "requires metadata.name be non-empty")],
        _ => validation::qualified_name(&format!("{policy}/{key}"), &at.child("key")),
    };
    let expression = annotation.str_at(&["valueExpression"]).trim();
    let path = at.child("valueExpression");
    if expression.is_empty() {
        faults.push(Fault::required(path, "valueExpression is not specified"));
    } else if expression.len() > MAX_VALUE_EXPRESSION {
        faults.push(Fault::required(path, format!("must not exceed {MAX_VALUE_EXPRESSION} bytes in length")));
    }
    faults
}

fn status_faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("status");
    let warnings = obj.list_at(&["status", "typeChecking", "expressionWarnings"]);
    let mut faults = Vec::new();
    for (i, warning) in warnings.iter().enumerate() {
        let path = at.child("typeChecking").child("expressionWarnings").index(i);
        faults.extend(validation::required(warning.str_at(&["warning"]), &path.child("warning")));
        faults.extend(validation::required(warning.str_at(&["fieldRef"]).trim(), &path.child("fieldRef")));
    }
    faults.extend(conditions::faults(obj.list_at(&["status", "conditions"]), &at.child("conditions")));
    faults
}

impl Kind for ValidatingAdmissionPolicy {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        policy::fill(obj);
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "spec");
        lens::keep_labels_and_owners(new, old);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(new, Some(old))
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        status_faults(new)
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "status" => vec![vec!["spec"], vec!["metadata"]],
            _ => vec![vec!["status"]],
        }
    }

    fn columns(&self) -> Vec<Column> {
        let validations =
            "Validations indicates the number of validation rules defined in this configuration";
        let param = "ParamKind specifies the kind of resources used to parameterize this policy";
        vec![
            Column::name(),
            Column::text("Validations", "integer", validations),
            Column::text("ParamKind", "string", param),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let count = i64::try_from(obj.list_at(&["spec", "validations"]).len()).unwrap_or(i64::MAX);
        vec![print::name(obj), count.into(), policy::param_kind_cell(obj), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn validations_say_why() {
        let entry =
            tree!({"expression": " ", "message": "a\nb", "messageExpression": " ", "reason": "Nonsense"});
        let texts: Vec<String> =
            validation_faults(&entry, &Path::new("v")).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "v.expression: Required value: expression is not specified",
                "v.messageExpression: Invalid value: \" \": must be non-empty if specified",
                "v.message: Invalid value: \"a\\nb\": must not contain line breaks",
                "v.reason: Unsupported value: \"Nonsense\": supported values: \"Forbidden\", \"Invalid\", \
                 \"RequestEntityTooLarge\"",
            ]
        );
    }
}
