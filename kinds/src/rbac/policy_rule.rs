//! Rules of roles: verbs on resources, or on paths that are no resources.

use api::{Fault, Path, Value};

/// Faults of all `rules` of a role. Rules of namespaced roles may not speak of paths.
pub fn faults(role: &Value, namespaced: bool) -> Vec<Fault> {
    let rules = role.list_at(&["rules"]).iter().enumerate();
    rules.flat_map(|(i, rule)| rule_faults(rule, namespaced, &Path::new("rules").index(i))).collect()
}

fn rule_faults(rule: &Value, namespaced: bool, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let has = |field: &str| !rule.list_at(&[field]).is_empty();
    if !has("verbs") {
        faults.push(Fault::required(at.child("verbs"), "verbs must contain at least one value"));
    }
    if has("nonResourceURLs") {
        let shown = || Value::from(rule.list_at(&["nonResourceURLs"]).to_vec());
        let path = at.child("nonResourceURLs");
        if namespaced {
            faults.push(Fault::invalid(&path, shown(), "namespaced rules cannot apply to non-resource URLs"));
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            let text = "rules cannot apply to both regular resources and non-resource URLs";
            faults.push(Fault::invalid(&path, shown(), text));
        }
        return faults;
    }
    if !has("apiGroups") {
        faults.push(Fault::required(
            at.child("apiGroups"),
            "resource rules must supply at least one api group",
        ));
    }
    if !has("resources") {
        faults
            .push(Fault::required(at.child("resources"), "resource rules must supply at least one resource"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn each_rule_says_what_it_lacks() {
        let role = tree!({"rules": [{"apiGroups": [""], "resources": ["pods"]}, {"verbs": ["get"]},
                                    {"nonResourceURLs": ["/x"], "verbs": ["get"]}]});
        let texts: Vec<String> = faults(&role, true).iter().map(Fault::to_string).collect();
        assert_eq!(
            texts,
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[1].resources: Required value: resource rules must supply at least one resource",
                "rules[2].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            ]
        );
        assert_eq!(faults(&role, false).len(), 3);
    }
}
