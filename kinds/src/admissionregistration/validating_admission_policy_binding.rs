//! ValidatingAdmissionPolicyBinding: puts a validating policy to work, and says what becomes of failures.

use super::binding;
use crate::{Column, Cx, Info, Kind, validation};
use api::{Fault, Path, Value};
use std::collections::HashSet;

pub struct ValidatingAdmissionPolicyBinding(Info);

impl ValidatingAdmissionPolicyBinding {
    pub fn new() -> Self {
        let plural = "validatingadmissionpolicybindings";
        ValidatingAdmissionPolicyBinding(super::info("ValidatingAdmissionPolicyBinding", plural))
    }
}

fn action_faults(actions: &[Value]) -> Vec<Fault> {
    let at = Path::new("spec").child("validationActions");
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, action) in actions.iter().filter_map(Value::as_str).enumerate() {
        faults.extend(validation::one_of(action, &["Audit", "Deny", "Warn"], &at.index(i)));
        if !seen.insert(action) {
            faults.push(Fault::duplicate(at.index(i), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let text = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                    response and headers serves no purpose)";
        faults.push(Fault::invalid(&at, actions.to_vec(), text));
    }
    if seen.is_empty() {
        faults.push(Fault::required(at, "at least one validation action is required"));
    }
    faults
}

impl Kind for ValidatingAdmissionPolicyBinding {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        binding::fill(obj);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let actions = action_faults(obj.list_at(&["spec", "validationActions"]));
        binding::faults(obj).into_iter().chain(actions).collect()
    }

    fn columns(&self) -> Vec<Column> {
        binding::columns()
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        binding::cells(obj, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn failures_have_consequences_once() {
        assert_eq!(
            action_faults(&[])[0].to_string(),
            "spec.validationActions: Required value: at least one validation action is required"
        );
        assert_eq!(action_faults(tree!(["Deny", "Warn", "Warn", "Shrug"]).as_list().unwrap()).len(), 3);
    }
}
