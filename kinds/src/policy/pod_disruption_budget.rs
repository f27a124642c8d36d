//! PodDisruptionBudget: how many pods may be evicted at a time.

use crate::apps::workload::{amount_faults, counter_faults, percent_faults};
use crate::internal_form::internal_form;
use crate::validation::{one_of, same};
use crate::{Column, Cx, Info, Kind, NameRule, conditions, print};
use api::selector::label_selector_faults;
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.policy.v1.PodDisruptionBudgetSpec";
const EVICTION_POLICIES: [&str; 2] = ["AlwaysAllow", "IfHealthyBudget"];

pub struct PodDisruptionBudget(Info);

impl PodDisruptionBudget {
    pub fn new() -> Self {
        let info = Info::new("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
            .short(&["pdb"])
            .names(NameRule::PathSegment)
            .conditional_update()
            .with_generation()
            .with_status();
        PodDisruptionBudget(info)
    }
}

impl Kind for PodDisruptionBudget {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, false)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let selector = old.at(&["spec", "selector"]).filter(|v| !v.is_null());
        let was_wrong =
            selector.is_some_and(|s| !label_selector_faults(s, false, &Path::new("spec")).is_empty());
        spec_faults(new, was_wrong)
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("status");
        let Some(status) = new.get("status") else { return Vec::new() };
        let mut faults = conditions::faults(status.list_at(&["conditions"]), &at.child("conditions"));
        let counters = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
        faults.extend(counter_faults(status, &counters, &at));
        faults
    }

    fn columns(&self) -> Vec<Column> {
        let text = "The minimum number of pods that must be available.";
        vec![
            Column::name(),
            Column::text("Min Available", "string", text),
            Column::text("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
            Column::text(
                "Allowed Disruptions",
                "integer",
                "Calculated number of pods that may be disrupted at this time.",
            ),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let amount = |field: &str| match obj.at(&["spec", field]) {
            Some(Value::Str(text)) => text.to_string(),
            Some(Value::Int(number)) => number.to_string(),
            _ => "N/A".to_owned(),
        };
        vec![
            print::name(obj),
            amount("minAvailable").into(),
            amount("maxUnavailable").into(),
            obj.i64_at(&["status", "disruptionsAllowed"]).unwrap_or(0).into(),
            print::age(obj, now),
        ]
    }
}

fn spec_faults(obj: &Value, allow_wrong_values: bool) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let has = |field: &str| spec.get(field).is_some_and(|v| !v.is_null());
    let mut faults = Vec::new();
    if has("minAvailable") && has("maxUnavailable") {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        faults.push(Fault::invalid(&at, internal_form(Some(spec), SPEC), detail));
    }
    for field in ["minAvailable", "maxUnavailable"].into_iter().filter(|field| has(field)) {
        faults.extend(amount_faults(spec, field, &at));
        faults.extend(percent_faults(spec, field, &at));
    }
    if let Some(selector) = spec.get("selector").filter(|v| !same(Some(v), None)) {
        faults.extend(label_selector_faults(selector, allow_wrong_values, &at.child("selector")));
    }
    let field = "unhealthyPodEvictionPolicy";
    if let Some(policy) = spec.get(field).and_then(Value::as_str) {
        faults.extend(one_of(policy, &EVICTION_POLICIES, &at.child(field)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn a_share_is_at_most_everything() {
        let obj = tree!({"spec": {"minAvailable": "150%", "unhealthyPodEvictionPolicy": "Maybe",
            "selector": {"matchExpressions": [{"key": "k", "operator": "Exists", "values": ["x"]}]}}});
        assert_eq!(
            texts(&spec_faults(&obj, false)),
            [
                "spec.minAvailable: Invalid value: \"150%\": must not be greater than 100%",
                "spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is \
                 'Exists' or 'DoesNotExist'",
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Maybe\": supported values: \"AlwaysAllow\", \
                 \"IfHealthyBudget\"",
            ]
        );
        let negative = tree!({"spec": {"minAvailable": (-1)}});
        assert_eq!(
            texts(&spec_faults(&negative, false)),
            ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]
        );
    }

    #[test]
    fn only_one_of_min_and_max_is_said() {
        let obj = tree!({"spec": {"minAvailable": 1, "maxUnavailable": 1}});
        let faults = spec_faults(&obj, false);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].detail, "minAvailable and maxUnavailable cannot be both set");
    }
}
