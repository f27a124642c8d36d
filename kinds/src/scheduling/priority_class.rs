//! PriorityClass: a number for a name, which pods are scheduled and preempted by.

use crate::apps::workload::default_to;
use crate::validation;
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Path, Value};

const DEFINITION: &str = "io.k8s.api.scheduling.v1.PriorityClass";
/// Names that the system keeps for itself start so.
const SYSTEM_PREFIX: &str = "system-";
const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;
/// The system's classes; none is the default.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub struct PriorityClass(Info);

impl PriorityClass {
    pub fn new() -> Self {
        let info = Info::new("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses")
            .cluster_scoped()
            .short(&["pc"])
            .with_generation();
        PriorityClass(info)
    }
}

impl Kind for PriorityClass {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_to(obj, &["preemptionPolicy"], "PreemptLowerPriority");
    }

    /// It is 1 forever.
    fn generation_grows(&self, _new: &Value, _old: &Value) -> bool {
        false
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (name, value) = (obj.str_at(&["metadata", "name"]), obj.i64_at(&["value"]).unwrap_or(0));
        if name.starts_with(SYSTEM_PREFIX) {
            if let Err(why) = check_system_class(name, value, obj.bool_at(&["globalDefault"])) {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                faults.push(Fault::forbidden("metadata.name", detail));
            }
        } else if value > HIGHEST_USER_PRIORITY {
            let detail =
                format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
            faults.push(Fault::forbidden("value", detail));
        }
        let at = Path::new("preemptionPolicy");
        match obj.get("preemptionPolicy").and_then(Value::as_str) {
            Some("") => faults.push(Fault::required(&at, "")),
            Some(policy) => {
                faults.extend(validation::one_of(policy, &["PreemptLowerPriority", "Never"], &at))
            }
            None => {}
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if new.i64_at(&["value"]).unwrap_or(0) != old.i64_at(&["value"]).unwrap_or(0) {
            faults.push(Fault::forbidden("value", "may not be changed in an update."));
        }
        let field = "preemptionPolicy";
        faults.extend(validation::immutable(new.get(field), old.get(field), &Path::new(field)));
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Value", "integer", DEFINITION, "value"),
            Column::field("Global-Default", "boolean", DEFINITION, "globalDefault"),
            Column::age(),
            Column::field("PreemptionPolicy", "string", DEFINITION, "preemptionPolicy"),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![
            print::name(obj),
            obj.i64_at(&["value"]).unwrap_or(0).into(),
            obj.bool_at(&["globalDefault"]).into(),
            print::age(obj, now),
            obj.str_at(&["preemptionPolicy"]).into(),
        ]
    }
}

fn check_system_class(name: &str, value: i64, global_default: bool) -> Result<(), String> {
    let Some((_, wanted)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("{name} is not a known system priority class"));
    };
    if value != *wanted {
        return Err(format!("value of {name} PriorityClass must be {wanted}"));
    }
    if global_default {
        return Err(format!("globalDefault of {name} PriorityClass must be false"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn users_stay_below_the_system() {
        let of = |obj: Value| texts(&PriorityClass::new().validate(&obj, &cx("")));
        assert_eq!(
            of(tree!({"metadata": {"name": "q"}, "value": 1_000_000_001})),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        assert_eq!(
            of(tree!({"metadata": {"name": "system-x"}, "value": 1})),
            [
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. \
              error: system-x is not a known system priority class"
            ]
        );
        assert!(of(tree!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000})).is_empty());
    }

    #[test]
    fn value_and_policy_never_change() {
        let old = tree!({"value": 10, "preemptionPolicy": "PreemptLowerPriority"});
        let new = tree!({"value": 11, "preemptionPolicy": "Never"});
        assert_eq!(
            texts(&PriorityClass::new().validate_update(&new, &old, &cx(""))),
            [
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ]
        );
    }
}
