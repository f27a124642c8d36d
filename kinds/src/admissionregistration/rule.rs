//! Rules that say which requests are meant: operations on resources of groups and versions.

use crate::validation;
use api::{Fault, Path, Value};
use std::collections::HashSet;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

/// Fills `scope` into each rule of a list.
pub fn fill(rules: Option<&mut Value>) {
    for rule in rules.and_then(Value::as_list_mut).into_iter().flatten() {
        if let Some(rule) = rule.as_map_mut() {
            rule.entry_or("scope", || "*".into());
        }
    }
}

/// Faults of one rule with its operations.
pub fn faults(rule: &Value, at: &Path) -> Vec<Fault> {
    let operations = strings(rule, "operations");
    let path = at.child("operations");
    let mut faults = not_empty(&operations, &path);
    faults.extend(lonely_wildcard(&operations, "operations", &path));
    for (i, operation) in operations.iter().enumerate() {
        faults.extend(validation::one_of(operation, &OPERATIONS, &path.index(i)));
    }
    for (field, words) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (list, path) = (strings(rule, field), at.child(field));
        faults.extend(not_empty(&list, &path));
        faults.extend(lonely_wildcard(&list, words, &path));
        if field == "apiVersions" {
            faults.extend(empty_items(&list, &path));
        }
    }
    faults.extend(resource_faults(&strings(rule, "resources"), &at.child("resources")));
    if let Some(scope) = rule.get("scope").and_then(Value::as_str) {
        faults.extend(validation::one_of(scope, &SCOPES, &at.child("scope")));
    }
    faults
}

fn strings<'v>(rule: &'v Value, field: &str) -> Vec<&'v str> {
    rule.list_at(&[field]).iter().filter_map(Value::as_str).collect()
}

fn not_empty(list: &[&str], at: &Path) -> Vec<Fault> {
    if list.is_empty() { vec![Fault::required(at, "")] } else { Vec::new() }
}

fn empty_items(list: &[&str], at: &Path) -> Vec<Fault> {
    let empty = list.iter().enumerate().filter(|(_, item)| item.is_empty());
    empty.map(|(i, _)| Fault::required(at.index(i), "")).collect()
}

fn lonely_wildcard(list: &[&str], words: &str, at: &Path) -> Option<Fault> {
    let crowded = list.len() > 1 && list.contains(&"*");
    crowded.then(|| {
        Fault::invalid(at, list.to_vec(), format!("if '*' is present, must not specify other {words}"))
    })
}

fn resource_faults(resources: &[&str], at: &Path) -> Vec<Fault> {
    let mut faults = not_empty(resources, at);
    let (mut wild_subresources, mut wild_resources) = (HashSet::new(), HashSet::new());
    let mut plain = false;
    for (i, resource) in resources.iter().enumerate() {
        if resource.is_empty() {
            faults.push(Fault::required(at.index(i), ""));
            continue;
        }
        let Some((name, subresource)) = resource.split_once('/') else {
            plain = *resource != "*";
            continue;
        };
        let fault = |present: String| {
            let text = format!("if '{present}' is present, must not specify {resource}");
            Fault::invalid(at.index(i), *resource, text)
        };
        if wild_subresources.contains(name) {
            faults.push(fault(format!("{name}/*")));
        }
        if wild_resources.contains(subresource) {
            faults.push(fault(format!("*/{subresource}")));
        }
        if subresource == "*" {
            wild_subresources.insert(name);
        }
        if name == "*" {
            wild_resources.insert(subresource);
        }
    }
    if resources.len() > 1 && resources.contains(&"*/*") {
        let text = "if '*/*' is present, must not specify other resources";
        faults.push(Fault::invalid(at, resources.to_vec(), text));
    }
    if plain && resources.contains(&"*") {
        let text = "if '*' is present, must not specify other resources without subresources";
        faults.push(Fault::invalid(at, resources.to_vec(), text));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn wildcards_stand_alone() {
        let rule = tree!({"apiGroups": ["*", "a"], "apiVersions": [], "operations": ["READ"], "resources": ["*", "pods"],
                          "scope": "All"});
        let texts: Vec<String> = faults(&rule, &Path::new("r")).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "r.operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \
                 \"DELETE\", \"UPDATE\"",
                "r.apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups",
                "r.apiVersions: Required value",
                "r.resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources \
                 without subresources",
                "r.scope: Unsupported value: \"All\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
            ]
        );
    }

    #[test]
    fn a_wildcard_covers_its_subresources() {
        let texts: Vec<String> =
            resource_faults(&["pods/*", "pods/log"], &Path::new("r")).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            ["r[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log"]
        );
    }
}
