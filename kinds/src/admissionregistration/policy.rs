//! What validating and mutating policies share: parameters, variables, constraints and conditions. Expressions are
//! compiled where CEL is.

use super::{FAILURE_POLICIES, match_condition, match_resources};
use crate::validation;
use api::cel::RESERVED;
use api::{Fault, Path, Value, names};

const OLD_AND_NEW: [&[&str]; 2] = [&["spec", "paramKind"], &["spec", "matchConditions"]];

/// Fills `failurePolicy` and the constraints.
pub fn fill(obj: &mut Value) {
    obj.make_map(&["spec"]).entry_or("failurePolicy", || "Fail".into());
    match_resources::fill(obj.at_mut(&["spec", "matchConstraints"]));
}

/// Faults of the parts that stand before validations and mutations. Conditions that did not change are let be.
pub fn faults(obj: &Value, old: Option<&Value>, mutating: bool) -> Vec<Fault> {
    let at = Path::new("spec");
    let field = |name: &str| obj.at(&["spec", name]).filter(|v| !v.is_null());
    let mut faults = match field("failurePolicy").and_then(Value::as_str) {
        Some(policy) => validation::one_of(policy, &FAILURE_POLICIES, &at.child("failurePolicy")),
        None => vec![Fault::required(at.child("failurePolicy"), "")],
    };
    if let Some(kind) = field("paramKind") {
        faults.extend(param_kind_faults(kind, &at.child("paramKind")));
    }
    let path = at.child("matchConstraints");
    let constraints = field("matchConstraints");
    match constraints {
        None => faults.push(Fault::required(&path, "")),
        Some(constraints) => {
            faults.extend(match_resources::faults(Some(constraints), &path));
            if constraints.list_at(&["resourceRules"]).is_empty() {
                faults.push(Fault::required(path.child("resourceRules"), ""));
            }
        }
    }
    if mutating {
        faults.extend(match_resources::mutating_operation_faults(constraints, &path));
    }
    let unchanged = |old: &Value| OLD_AND_NEW.iter().all(|p| validation::same(obj.at(p), old.at(p)));
    if !old.is_some_and(unchanged) {
        let conditions = obj.list_at(&["spec", "matchConditions"]);
        faults.extend(match_condition::faults(
            conditions,
            field("paramKind").is_some(),
            &at.child("matchConditions"),
        ));
    }
    for (i, variable) in obj.list_at(&["spec", "variables"]).iter().enumerate() {
        faults.extend(variable_faults(variable, &at.child("variables").index(i)));
    }
    faults
}

fn param_kind_faults(param: &Value, at: &Path) -> Vec<Fault> {
    let (api_version, kind) = (param.str_at(&["apiVersion"]), param.str_at(&["kind"]));
    let mut faults = api_version_faults(api_version, &at.child("apiVersion"));
    let texts = names::is_dns1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        faults.push(Fault::required(at.child("kind"), ""));
    } else if !texts.is_empty() {
        let text = format!("may have mixed case, but should otherwise match: {}", texts.join(","));
        faults.push(Fault::invalid(at.child("kind"), kind, text));
    }
    faults
}

fn api_version_faults(api_version: &str, at: &Path) -> Vec<Fault> {
    let fault = |shown: &str, text: String| vec![Fault::invalid(at, shown, text)];
    if api_version.is_empty() {
        return vec![Fault::required(at, "")];
    }
    if api_version.matches('/').count() > 1 {
        return fault(api_version, format!("unexpected GroupVersion string: {api_version}"));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let mut faults = Vec::new();
    let texts = if group.is_empty() { Vec::new() } else { names::is_dns1123_subdomain(group) };
    if !texts.is_empty() {
        faults.extend(fault(group, texts.join(",")));
    }
    let texts = names::is_dns1035_label(version);
    if version.is_empty() {
        faults.extend(fault(api_version, "version must be specified".to_owned()));
    } else if !texts.is_empty() {
        faults.extend(fault(version, texts.join(",")));
    }
    faults
}

fn variable_faults(variable: &Value, at: &Path) -> Vec<Fault> {
    let name = variable.str_at(&["name"]);
    let mut faults = Vec::new();
    if name.trim().is_empty() {
        faults.push(Fault::required(at.child("name"), "name is not specified"));
    } else if !is_identifier(name) {
        faults.push(Fault::invalid(at.child("name"), name, "must be a valid CEL identifier"));
    }
    if variable.str_at(&["expression"]).trim().is_empty() {
        faults.push(Fault::required(at.child("expression"), "expression is not specified"));
    }
    faults
}

fn is_identifier(name: &str) -> bool {
    names::is_c_identifier(name).is_empty() && !RESERVED.contains(&name)
}

/// `paramKind` in a table.
pub fn param_kind_cell(obj: &Value) -> Value {
    match obj.at(&["spec", "paramKind"]).filter(|p| !p.is_null()) {
        Some(param) => format!("{}/{}", param.str_at(&["apiVersion"]), param.str_at(&["kind"])).into(),
        None => "<unset>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_empty_policy_lacks_constraints() {
        let mut obj = tree!({"spec": {}});
        fill(&mut obj);
        let texts: Vec<String> = faults(&obj, None, false).iter().map(|f| f.to_string()).collect();
        assert_eq!(texts, ["spec.matchConstraints: Required value"]);
    }

    #[test]
    fn variables_have_names_that_expressions_can_say() {
        let texts = |name: &str| {
            let variable = tree!({"name": name, "expression": "1"});
            variable_faults(&variable, &Path::new("v")).iter().map(|f| f.to_string()).collect::<Vec<_>>()
        };
        assert!(texts("a_1").is_empty());
        assert_eq!(
            texts("bad-name"),
            ["v.name: Invalid value: \"bad-name\": must be a valid CEL identifier"]
        );
        assert_eq!(texts("in").len(), 1);
    }

    #[test]
    fn kinds_of_parameters_are_named_in_full() {
        let texts = |v: Value| {
            param_kind_faults(&v, &Path::new("p")).iter().map(|f| f.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(tree!({"apiVersion": "v1"})), ["p.kind: Required value"]);
        assert_eq!(
            texts(tree!({"apiVersion": "a/b/c", "kind": "K"})),
            ["p.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"]
        );
    }
}
