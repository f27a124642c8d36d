//! Checks of affinity. Source: `validateAffinity`, `ValidateNodeSelector`, `validatePodAffinityTerm`.

use super::set;
use crate::validation::{dns_label, dns_subdomain, qualified_name};
use api::{Fault, Path, Value, names, selector::label_selector_faults};
use std::collections::{BTreeMap, BTreeSet};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// True when a value in a selector is no label's value.
pub fn has_wrong_values(affinity: &Value) -> bool {
    let path = Path::default();
    all(affinity, false, &path).len() > all(affinity, true, &path).len()
}

/// `affinity`. `lenient`: values in selectors may be wrong.
pub fn all(affinity: &Value, lenient: bool, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(node) = set(affinity, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(required) = set(node, REQUIRED) {
            faults.extend(terms(required, !lenient, &path.child(REQUIRED)));
        }
        for (i, term) in node.list_at(&[PREFERRED]).iter().enumerate() {
            let at = path.child(PREFERRED).index(i);
            faults.extend(weight(term, &at));
            let preference = term.get("preference").cloned().unwrap_or_default();
            faults.extend(node_selector_term(&preference, false, &at.child("preference")));
        }
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = set(affinity, field) else { continue };
        let path = path.child(field);
        for (i, term) in pods.list_at(&[REQUIRED]).iter().enumerate() {
            faults.extend(pod_term(term, lenient, &path.child(REQUIRED).index(i)));
        }
        for (i, weighted) in pods.list_at(&[PREFERRED]).iter().enumerate() {
            let at = path.child(PREFERRED).index(i);
            faults.extend(weight(weighted, &at));
            let term = weighted.get("podAffinityTerm").cloned().unwrap_or_default();
            faults.extend(pod_term(&term, lenient, &at.child("podAffinityTerm")));
        }
    }
    faults
}

fn weight(term: &Value, at: &Path) -> Option<Fault> {
    let weight = term.i64_at(&["weight"]).unwrap_or_default();
    (!(1..=100).contains(&weight))
        .then(|| Fault::invalid(at.child("weight"), weight, "must be in the range 1-100"))
}

/// A `NodeSelector`: at least one term, all of them well-formed.
pub fn node_selector(selector: &Value, path: &Path) -> Vec<Fault> {
    terms(selector, true, path)
}

fn terms(selector: &Value, check_values: bool, path: &Path) -> Vec<Fault> {
    let (terms, path) = (selector.list_at(&["nodeSelectorTerms"]), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        return vec![Fault::required(path, "must have at least one node selector term")];
    }
    let terms = terms.iter().enumerate();
    terms.flat_map(|(i, term)| node_selector_term(term, check_values, &path.index(i))).collect()
}

/// A `NodeSelectorTerm`; preferences do not have the values checked.
pub fn node_selector_term(term: &Value, check_values: bool, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, expression) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        faults.extend(node_expression(expression, check_values, &path.child("matchExpressions").index(i)));
    }
    for (i, field) in term.list_at(&["matchFields"]).iter().enumerate() {
        faults.extend(node_field(field, &path.child("matchFields").index(i)));
    }
    faults
}

fn node_expression(expression: &Value, check_values: bool, path: &Path) -> Vec<Fault> {
    let values = expression.list_at(&["values"]);
    let at = path.child("values");
    let mut faults = Vec::new();
    match expression.str_at(&["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            faults.push(Fault::required(&at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            faults.push(Fault::forbidden(&at, detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            faults.push(Fault::required(&at, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => {
            faults.push(Fault::invalid(path.child("operator"), other, "not a valid selector operator"));
        }
    }
    faults.extend(qualified_name(expression.str_at(&["key"]), &path.child("key")));
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate().filter(|_| check_values) {
        let wrong = names::is_label_value(value).into_iter();
        faults.extend(wrong.map(|text| Fault::invalid(at.index(i), value, text)));
    }
    faults
}

fn node_field(field: &Value, path: &Path) -> Vec<Fault> {
    let (values, key) = (field.list_at(&["values"]), field.str_at(&["key"]));
    let mut faults = Vec::new();
    match field.str_at(&["operator"]) {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            faults.push(Fault::required(path.child("values"), detail));
        }
        other => {
            faults.push(Fault::invalid(path.child("operator"), other, "not a valid selector operator"));
        }
    }
    if key != "metadata.name" {
        faults.push(Fault::invalid(path.child("key"), key, "not a valid field selector key"));
        return faults;
    }
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
        faults.extend(dns_subdomain(value, &path.child("values").index(i)));
    }
    faults
}

fn pod_term(term: &Value, lenient: bool, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for field in ["labelSelector", "namespaceSelector"] {
        let selector = set(term, field);
        let wrong = selector.map(|s| label_selector_faults(s, lenient, &path.child(field)));
        faults.extend(wrong.unwrap_or_default());
    }
    for namespace in term.list_at(&["namespaces"]).iter().filter_map(Value::as_str) {
        faults.extend(dns_label(namespace, &path.child("namespace")));
    }
    faults.extend(label_keys(term, path));
    let topology = term.str_at(&["topologyKey"]);
    if topology.is_empty() {
        faults.push(Fault::required(path.child("topologyKey"), "can not be empty"));
    }
    faults.extend(qualified_name(topology, &path.child("topologyKey")));
    faults
}

/// `matchLabelKeys` and `mismatchLabelKeys` of a term or a spread constraint, against its `labelSelector`.
pub fn label_keys(term: &Value, path: &Path) -> Vec<Fault> {
    let keys =
        |field: &str| -> Vec<&str> { term.list_at(&[field]).iter().filter_map(Value::as_str).collect() };
    let (matched, mismatched) = (keys("matchLabelKeys"), keys("mismatchLabelKeys"));
    let selector = set(term, "labelSelector");
    let mut faults = Vec::new();
    for (field, list) in [("matchLabelKeys", &matched), ("mismatchLabelKeys", &mismatched)] {
        let path = path.child(field);
        if !list.is_empty() && selector.is_none() {
            faults.push(Fault::forbidden(path, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, key) in list.iter().enumerate() {
            faults.extend(qualified_name(key, &path.index(i)));
        }
    }
    if let Some(selector) = selector {
        let places: BTreeMap<&str, usize> = matched.iter().enumerate().map(|(i, k)| (*k, i)).collect();
        let labels = selector.map_at(&["matchLabels"]).into_iter().flat_map(|m| m.keys());
        let mut selected: BTreeSet<&str> = labels.map(|k| k.as_str()).collect();
        for key in selector.list_at(&["matchExpressions"]).iter().map(|e| e.str_at(&["key"])) {
            if let Some(i) = places.get(key).filter(|_| selected.contains(key)) {
                let detail = "exists in both matchLabelKeys and labelSelector";
                faults.push(Fault::invalid(path.index(*i), key, detail));
            }
            selected.insert(key);
        }
    }
    for (i, key) in matched.iter().enumerate().filter(|(_, k)| mismatched.contains(k)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        faults.push(Fault::invalid(path.child("matchLabelKeys").index(i), *key, detail));
    }
    faults
}
