//! What the bindings of both sorts of policies share: the policy's name, its parameters, and what it is narrowed to.

use super::match_resources;
use crate::{Column, print, validation};
use api::selector::label_selector_faults;
use api::{Fault, Path, Value, names};

pub fn fill(obj: &mut Value) {
    match_resources::fill(obj.at_mut(&["spec", "matchResources"]));
}

/// Faults of `spec`, but for what only one sort has.
pub fn faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("spec");
    let policy = obj.str_at(&["spec", "policyName"]);
    let mut faults = match policy {
        "" => vec![Fault::required(at.child("policyName"), "")],
        _ => validation::dns_subdomain(policy, &at.child("policyName")),
    };
    if let Some(reference) = obj.at(&["spec", "paramRef"]).filter(|r| !r.is_null()) {
        faults.extend(param_ref_faults(reference, &at.child("paramRef")));
    }
    faults.extend(match_resources::faults(obj.at(&["spec", "matchResources"]), &at.child("matchResources")));
    faults
}

fn param_ref_faults(reference: &Value, at: &Path) -> Vec<Fault> {
    const BOTH: &str = "name and selector are mutually exclusive";
    let name = reference.str_at(&["name"]);
    let selector = reference.get("selector").filter(|s| !s.is_null());
    let mut faults = Vec::new();
    if !name.is_empty() {
        faults.extend(validation::texts(&at.child("name"), name, names::is_path_segment_name(name)));
        faults.extend(selector.map(|_| Fault::forbidden(at.child("name"), BOTH)));
    }
    if let Some(selector) = selector {
        faults.extend(label_selector_faults(selector, false, &at.child("selector")));
        if !name.is_empty() {
            faults.push(Fault::forbidden(at.child("selector"), BOTH));
        }
    }
    if name.is_empty() && selector.is_none() {
        faults.push(Fault::required(at, "one of name or selector must be specified"));
    }
    let path = at.child("parameterNotFoundAction");
    faults.extend(match reference.str_at(&["parameterNotFoundAction"]) {
        "" => vec![Fault::required(path, "")],
        action => validation::one_of(action, &["Deny", "Allow"], &path),
    });
    faults
}

pub fn columns() -> Vec<Column> {
    let policy = "PolicyName indicates the policy definition which the policy binding binded to";
    let param = "ParamRef indicates the param resource which sets the configuration param";
    vec![
        Column::name(),
        Column::text("PolicyName", "string", policy),
        Column::text("ParamRef", "string", param),
        Column::age(),
    ]
}

pub fn cells(obj: &Value, now: i64) -> Vec<Value> {
    let policy = obj.str_at(&["spec", "policyName"]);
    vec![print::name(obj), policy.into(), param_ref_cell(obj).into(), print::age(obj, now)]
}

fn param_ref_cell(obj: &Value) -> String {
    let Some(reference) = obj.at(&["spec", "paramRef"]).filter(|r| !r.is_null()) else {
        return "<unset>".to_owned();
    };
    let name = reference.str_at(&["name"]);
    match (name, reference.str_at(&["namespace"]), reference.get("selector").filter(|s| !s.is_null())) {
        ("", _, Some(selector)) => go_selector(selector),
        ("", _, None) => "<unset>".to_owned(),
        (name, "", _) => format!("*/{name}"),
        (name, namespace, _) => format!("{namespace}/{name}"),
    }
}

/// A label selector as Go prints the struct.
fn go_selector(selector: &Value) -> String {
    let mut labels: Vec<(&str, &str)> = selector
        .map_at(&["matchLabels"])
        .into_iter()
        .flat_map(|m| m.iter())
        .map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))
        .collect();
    labels.sort_unstable();
    let labels: String = labels.iter().map(|(k, v)| format!("{k}: {v},")).collect();
    let expression = |e: &Value| {
        let values: Vec<&str> = e.list_at(&["values"]).iter().filter_map(Value::as_str).collect();
        let (key, operator) = (e.str_at(&["key"]), e.str_at(&["operator"]));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let expressions: String = selector.list_at(&["matchExpressions"]).iter().map(expression).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn parameters_are_named_or_selected() {
        let texts = |v: Value| {
            param_ref_faults(&v, &Path::new("p")).iter().map(|f| f.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            texts(tree!({})),
            [
                "p: Required value: one of name or selector must be specified",
                "p.parameterNotFoundAction: Required value",
            ]
        );
        assert_eq!(texts(tree!({"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"})).len(), 2);
    }

    #[test]
    fn a_table_shows_the_parameter() {
        let cell = |reference: Value| param_ref_cell(&tree!({"spec": {"paramRef": reference}}));
        assert_eq!(cell(tree!({"name": "a"})), "*/a");
        assert_eq!(
            cell(tree!({"selector": {"matchLabels": {"a": "b"}}})),
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}"
        );
    }
}
