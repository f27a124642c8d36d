//! Checks of a Job's policies: when failed pods fail it, and when enough pods have succeeded.

use super::index_intervals;
use crate::validation::{self, not_negative};
use api::{Fault, Path, Value, quote};
use std::collections::BTreeSet;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_RULES: usize = 20;
const MAX_PATTERNS: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_SUCCEEDED_INDEXES_BYTES: usize = 64 * 1024;

/// One of a set; "" is asked for with all of them named.
fn choice(value: &str, allowed: &[&str], at: &Path) -> Vec<Fault> {
    if !value.is_empty() {
        return validation::one_of(value, allowed, at);
    }
    let allowed: Vec<String> = allowed.iter().map(|v| quote(v)).collect();
    vec![Fault::required(at, format!("valid values: [{}]", allowed.join(" ")))]
}

/// Faults of `podFailurePolicy`; `spec` is the Job's.
pub fn failure_policy_faults(spec: &Value, policy: &Value, at: &Path) -> Vec<Fault> {
    let (at, rules) = (at.child("rules"), policy.list_at(&["rules"]));
    let mut faults = Vec::new();
    if rules.len() > MAX_RULES {
        faults.push(Fault::too_many(&at, rules.len(), MAX_RULES));
    }
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.list_at(&["template", "spec", list]))
        .map(|c| c.str_at(&["name"]))
        .collect();
    for (i, rule) in rules.iter().enumerate() {
        faults.extend(rule_faults(spec, rule, &containers, &at.index(i)));
    }
    faults
}

fn rule_faults(spec: &Value, rule: &Value, containers: &BTreeSet<&str>, at: &Path) -> Vec<Fault> {
    let (action, action_at) = (rule.str_at(&["action"]), at.child("action"));
    let mut faults = choice(action, &ACTIONS, &action_at);
    if action == "FailIndex" && spec.i64_at(&["backoffLimitPerIndex"]).is_none() {
        faults.push(Fault::invalid(action_at, action, "requires the backoffLimitPerIndex to be set"));
    }
    let codes = rule.get("onExitCodes").filter(|v| !v.is_null());
    if let Some(codes) = codes {
        faults.extend(exit_code_faults(codes, containers, &at.child("onExitCodes")));
    }
    let patterns = rule.list_at(&["onPodConditions"]);
    faults.extend(condition_faults(patterns, &at.child("onPodConditions")));
    match (codes.is_some(), !patterns.is_empty()) {
        (true, true) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            faults.push(Fault::invalid_unshown(at, detail));
        }
        (false, false) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            faults.push(Fault::invalid_unshown(at, detail));
        }
        _ => {}
    }
    faults
}

fn condition_faults(patterns: &[Value], at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if patterns.len() > MAX_PATTERNS {
        faults.push(Fault::too_many(at, patterns.len(), MAX_PATTERNS));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let at = at.index(i);
        faults.extend(validation::qualified_name(pattern.str_at(&["type"]), &at.child("type")));
        faults.extend(choice(pattern.str_at(&["status"]), &STATUSES, &at.child("status")));
    }
    faults
}

fn exit_code_faults(requirement: &Value, containers: &BTreeSet<&str>, at: &Path) -> Vec<Fault> {
    let operator = requirement.str_at(&["operator"]);
    let mut faults = choice(operator, &OPERATORS, &at.child("operator"));
    if let Some(name) = requirement.get("containerName").and_then(Value::as_str)
        && !containers.contains(name)
    {
        let detail = "must be one of the container or initContainer names in the pod template";
        faults.push(Fault::invalid(at.child("containerName"), name, detail));
    }
    let (values_at, values) = (at.child("values"), requirement.list_at(&["values"]));
    if values.is_empty() {
        let shown = requirement.get("values").cloned().unwrap_or_default();
        faults.push(Fault::invalid(&values_at, shown, "at least one value is required"));
    } else if values.len() > MAX_EXIT_CODES {
        faults.push(Fault::too_many(&values_at, values.len(), MAX_EXIT_CODES));
    }
    let codes: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    let mut seen = BTreeSet::new();
    for (i, code) in codes.iter().enumerate() {
        if operator == "In" && *code == 0 {
            faults.push(Fault::invalid(values_at.index(i), 0, "must not be 0 for the In operator"));
        }
        if !seen.insert(*code) {
            faults.push(Fault::duplicate(values_at.index(i), *code));
        }
    }
    if !codes.is_sorted() {
        faults.push(Fault::invalid(&values_at, Value::List(values.to_vec()), "must be ordered"));
    }
    faults
}

/// Faults of `successPolicy` of an indexed Job; `spec` is the Job's.
pub fn success_policy_faults(spec: &Value, policy: &Value, at: &Path) -> Vec<Fault> {
    let (at, rules) = (at.child("rules"), policy.list_at(&["rules"]));
    let completions = spec.i64_at(&["completions"]).unwrap_or(0);
    let mut faults = Vec::new();
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        faults.push(Fault::required(&at, detail));
    }
    if rules.len() > MAX_RULES {
        faults.push(Fault::too_many(&at, rules.len(), MAX_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        faults.extend(success_rule_faults(rule, completions, &at.index(i)));
    }
    faults
}

fn success_rule_faults(rule: &Value, completions: i64, at: &Path) -> Vec<Fault> {
    let indexes = rule.get("succeededIndexes").and_then(Value::as_str);
    let count = rule.i64_at(&["succeededCount"]);
    let mut faults = Vec::new();
    if indexes.is_none() && count.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        faults.push(Fault::required(at, detail));
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let at = at.child("succeededIndexes");
        if indexes.len() > MAX_SUCCEEDED_INDEXES_BYTES {
            faults.push(Fault::too_long(&at, MAX_SUCCEEDED_INDEXES_BYTES));
        }
        match index_intervals::count(indexes, completions) {
            Ok(number) => total = number,
            Err(e) => {
                faults.push(Fault::invalid(&at, indexes, format!("error parsing succeededIndexes: {e}")));
            }
        }
    }
    let Some(count) = count else { return faults };
    let at = at.child("succeededCount");
    faults.extend(not_negative(Some(count), &at));
    let mut limit = |max: i64, what: &str| {
        if count > max {
            faults.push(Fault::invalid(&at, count, format!("must be less than or equal to {max} ({what})")));
        }
    };
    limit(completions, "the number of specified completions");
    if indexes.is_some() {
        limit(total, "the number of indexes in the specified succeededIndexes field");
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn rules_say_what_to_do_with_which_failures() {
        let policy = tree!({"rules": [{"action": "Explode", "onExitCodes": {"operator": "In", "values": [0]}}, {"action": "Count"}]});
        assert_eq!(
            texts(&failure_policy_faults(&tree!({}), &policy, &Path::new("p"))),
            [
                "p.rules[0].action: Unsupported value: \"Explode\": supported values: \"Count\", \"FailIndex\", \
                 \"FailJob\", \"Ignore\"",
                "p.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
                "p.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ]
        );
    }

    #[test]
    fn exit_codes_are_ordered_and_unique() {
        let rule = tree!({"operator": "NotIn", "values": [3, 1, 3], "containerName": "x"});
        assert_eq!(
            texts(&exit_code_faults(&rule, &BTreeSet::new(), &Path::new("c"))),
            [
                "c.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the \
                 pod template",
                "c.values[2]: Duplicate value: 3",
                "c.values: Invalid value: [3,1,3]: must be ordered",
            ]
        );
    }

    #[test]
    fn success_needs_indexes_that_exist() {
        let rule = tree!({"succeededIndexes": "0-2", "succeededCount": 4});
        assert_eq!(
            texts(&success_rule_faults(&rule, 3, &Path::new("r"))),
            [
                "r.succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified \
                 completions)",
                "r.succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the \
                 specified succeededIndexes field)",
            ]
        );
    }
}
