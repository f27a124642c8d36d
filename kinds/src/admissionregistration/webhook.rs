//! Webhooks of both configurations: defaults and rules.

use super::{FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, match_condition, rule, webhook_client};
use crate::validation;
use api::selector::label_selector_faults;
use api::{Fault, Path, Value, names};
use std::collections::HashSet;

const DEFAULT_TIMEOUT_SECS: i64 = 10;
const MAX_TIMEOUT_SECS: i64 = 30;
const DEFAULT_PORT: i64 = 443;
const SELECTORS: [&str; 2] = ["namespaceSelector", "objectSelector"];
/// Effects that a dry run does not have.
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Fills defaults into all webhooks of a configuration.
pub fn fill(obj: &mut Value, mutating: bool) {
    for hook in obj.get_mut("webhooks").and_then(Value::as_list_mut).into_iter().flatten() {
        rule::fill(hook.get_mut("rules"));
        if let Some(service) = hook.at_mut(&["clientConfig", "service"]).and_then(Value::as_map_mut) {
            service.entry_or("port", || Value::Int(DEFAULT_PORT));
        }
        let Some(hook) = hook.as_map_mut() else { continue };
        hook.entry_or("failurePolicy", || "Fail".into());
        hook.entry_or("matchPolicy", || "Equivalent".into());
        for field in SELECTORS {
            hook.entry_or(field, Value::map);
        }
        hook.entry_or("timeoutSeconds", || Value::Int(DEFAULT_TIMEOUT_SECS));
        if mutating {
            hook.entry_or("reinvocationPolicy", || "Never".into());
        }
    }
}

/// What must hold; an update goes on with what is wrong already.
struct Demands {
    no_side_effects: bool,
    known_review_version: bool,
    unique_names: bool,
    valid_label_values: bool,
    conditions: bool,
}

fn hooks(obj: &Value) -> &[Value] {
    obj.list_at(&["webhooks"])
}

fn strings<'v>(hook: &'v Value, field: &str) -> Vec<&'v str> {
    hook.list_at(&[field]).iter().filter_map(Value::as_str).collect()
}

fn demands(new: &Value, old: Option<&Value>) -> Demands {
    let known = |v: &&str| REVIEW_VERSIONS.contains(v);
    let before = old.map(hooks).unwrap_or_default();
    let all = |good: &dyn Fn(&Value) -> bool| before.iter().all(good);
    let mut seen = HashSet::new();
    let conditions = |obj: &Value| -> Vec<Option<Value>> {
        hooks(obj).iter().map(|h| h.get("matchConditions").cloned()).collect()
    };
    Demands {
        no_side_effects: all(&|h| NO_SIDE_EFFECTS.contains(&h.str_at(&["sideEffects"]))),
        known_review_version: all(&|h| {
            let versions = strings(h, "admissionReviewVersions");
            versions.is_empty() || versions.iter().any(known)
        }),
        unique_names: before.iter().all(|h| seen.insert(h.str_at(&["name"]))),
        valid_label_values: all(&|h| {
            let selectors = SELECTORS.iter().filter_map(|field| h.get(field));
            selectors.into_iter().all(|s| label_selector_faults(s, false, &Path::default()).is_empty())
        }),
        conditions: old.is_none_or(|old| conditions(new) != conditions(old)),
    }
}

/// Faults of all webhooks of a configuration.
pub fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let demands = demands(obj, old);
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, hook) in hooks(obj).iter().enumerate() {
        let at = Path::new("webhooks").index(i);
        faults.extend(hook_faults(hook, &demands, &at));
        let path = at.child("admissionReviewVersions");
        faults.extend(version_faults(&strings(hook, "admissionReviewVersions"), &demands, &path));
        let name = hook.str_at(&["name"]);
        if demands.unique_names && !name.is_empty() && !seen.insert(name) {
            faults.push(Fault::duplicate(at.child("name"), name));
        }
    }
    faults
}

fn hook_faults(hook: &Value, demands: &Demands, at: &Path) -> Vec<Fault> {
    let text = |field: &str| hook.get(field).and_then(Value::as_str);
    let one_of = |field: &str, supported: &[&str]| {
        text(field).map(|v| validation::one_of(v, supported, &at.child(field))).unwrap_or_default()
    };
    let mut faults = names::fully_qualified_name_faults(hook.str_at(&["name"]), at.child("name"));
    for (i, rule) in hook.list_at(&["rules"]).iter().enumerate() {
        faults.extend(rule::faults(rule, &at.child("rules").index(i)));
    }
    faults.extend(one_of("failurePolicy", &FAILURE_POLICIES));
    faults.extend(one_of("matchPolicy", &MATCH_POLICIES));
    let effects: &[&str] = if demands.no_side_effects { &NO_SIDE_EFFECTS } else { &SIDE_EFFECTS };
    match text("sideEffects") {
        None => {
            let text = format!("must specify one of {}", effects.join(", "));
            faults.push(Fault::required(at.child("sideEffects"), text));
        }
        Some(_) => faults.extend(one_of("sideEffects", effects)),
    }
    if let Some(secs) = hook.i64_at(&["timeoutSeconds"]).filter(|s| !(1..=MAX_TIMEOUT_SECS).contains(s)) {
        let text = "the timeout value must be between 1 and 30 seconds";
        faults.push(Fault::invalid(at.child("timeoutSeconds"), secs, text));
    }
    for field in SELECTORS {
        if let Some(selector) = hook.get(field).filter(|s| !s.is_null()) {
            faults.extend(label_selector_faults(selector, !demands.valid_label_values, &at.child(field)));
        }
    }
    faults.extend(one_of("reinvocationPolicy", &REINVOCATION_POLICIES));
    faults.extend(webhook_client::faults(hook.get("clientConfig"), &at.child("clientConfig")));
    if demands.conditions {
        let conditions = hook.list_at(&["matchConditions"]);
        faults.extend(match_condition::faults(conditions, false, &at.child("matchConditions")));
    }
    faults
}

fn version_faults(versions: &[&str], demands: &Demands, at: &Path) -> Vec<Fault> {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        return vec![Fault::required(at, format!("must specify one of {known}"))];
    }
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, version) in versions.iter().enumerate() {
        if !seen.insert(version) {
            faults.push(Fault::invalid(at.index(i), *version, "duplicate version"));
            continue;
        }
        faults.extend(validation::texts(&at.index(i), version, names::is_dns1035_label(version)));
    }
    if demands.known_review_version && !versions.iter().any(|v| REVIEW_VERSIONS.contains(v)) {
        let text = format!("must include at least one of {known}");
        faults.push(Fault::invalid(at, versions.to_vec(), text));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_bad_webhook_is_told_all_its_faults() {
        let obj = tree!({"webhooks": [{"name": "short", "clientConfig": {}, "sideEffects": "Some",
            "admissionReviewVersions": ["v9"], "timeoutSeconds": 60, "failurePolicy": "Shrug"}]});
        let texts: Vec<String> = faults(&obj, None).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "webhooks[0].name: Invalid value: \"short\": should be a domain with at least three segments separated by \
                 dots",
                "webhooks[0].failurePolicy: Unsupported value: \"Shrug\": supported values: \"Fail\", \"Ignore\"",
                "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
                "webhooks[0].timeoutSeconds: Invalid value: 60: the timeout value must be between 1 and 30 seconds",
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
                "webhooks[0].admissionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
            ]
        );
    }

    #[test]
    fn an_update_goes_on_with_what_was_wrong() {
        let old = tree!({"webhooks": [{"name": "a.b.c", "sideEffects": "Some", "admissionReviewVersions": ["v9"],
                                       "clientConfig": {"url": "https://x"}}]});
        assert!(faults(&old, Some(&old)).is_empty());
    }
}
