//! Which objects policies and their bindings look at: rules, and selectors of namespaces and objects.

use super::{MATCH_POLICIES, rule};
use crate::validation;
use api::selector::label_selector_faults;
use api::{Fault, Path, Value, names};
use std::collections::HashSet;

const SELECTORS: [&str; 2] = ["namespaceSelector", "objectSelector"];
const RULE_LISTS: [&str; 2] = ["resourceRules", "excludeResourceRules"];

/// Fills policy, selectors and scopes.
pub fn fill(resources: Option<&mut Value>) {
    let Some(resources) = resources.filter(|r| !r.is_null()) else { return };
    if let Some(map) = resources.as_map_mut() {
        map.entry_or("matchPolicy", || "Equivalent".into());
        for field in SELECTORS {
            map.entry_or(field, Value::map);
        }
    }
    RULE_LISTS.iter().for_each(|field| rule::fill(resources.get_mut(field)));
}

/// Faults of `matchConstraints` or `matchResources`, where there is one.
pub fn faults(resources: Option<&Value>, at: &Path) -> Vec<Fault> {
    let Some(resources) = resources.filter(|r| !r.is_null()) else { return Vec::new() };
    let mut faults = match resources.get("matchPolicy").and_then(Value::as_str) {
        Some(policy) => validation::one_of(policy, &MATCH_POLICIES, &at.child("matchPolicy")),
        None => vec![Fault::required(at.child("matchPolicy"), "")],
    };
    for field in SELECTORS {
        faults.extend(match resources.get(field).filter(|s| !s.is_null()) {
            Some(selector) => label_selector_faults(selector, false, &at.child(field)),
            None => vec![Fault::required(at.child(field), "")],
        });
    }
    for field in RULE_LISTS {
        for (i, named) in resources.list_at(&[field]).iter().enumerate() {
            faults.extend(named_rule_faults(named, &at.child(field).index(i)));
        }
    }
    faults
}

fn named_rule_faults(named: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, name) in named.list_at(&["resourceNames"]).iter().filter_map(Value::as_str).enumerate() {
        let path = at.child("resourceNames").index(i);
        faults.extend(validation::texts(&path, name, names::is_path_segment_name(name)));
        if !seen.insert(name) {
            faults.push(Fault::duplicate(path, name));
        }
    }
    faults.extend(rule::faults(named, at));
    faults
}

/// Mutating policies do not look at deletions; the fault is told of the list as a whole.
pub fn mutating_operation_faults(resources: Option<&Value>, at: &Path) -> Vec<Fault> {
    let rules = resources.map(|r| r.list_at(&["resourceRules"])).unwrap_or_default().iter();
    let operations = rules.flat_map(|r| r.list_at(&["operations"])).filter_map(Value::as_str);
    let path = at.child("resourceRules").child("operations");
    operations.flat_map(|o| validation::one_of(o, &["*", "CONNECT", "CREATE", "UPDATE"], &path)).collect()
}
