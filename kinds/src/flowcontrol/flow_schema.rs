//! FlowSchema: which requests belong to which priority level.

use super::{GROUP, reset_fields, status_faults};
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, keep_field, lens, print, validation};
use api::{Fault, Path, Value, tree};

const SPEC: &str = "io.k8s.api.flowcontrol.v1.FlowSchemaSpec";
const DEFAULT_PRECEDENCE: i64 = 1000;
const MAX_PRECEDENCE: i64 = 10_000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// The kinds of subjects: the field each uses, and what is said when it is missing.
const SUBJECTS: [(&str, &str); 3] =
    [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

pub struct FlowSchema(Info);

impl FlowSchema {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "FlowSchema", "flowschemas");
        FlowSchema(info.cluster_scoped().with_status().with_generation())
    }
}

/// The specs that these schemas must have.
fn fixed_spec(name: &str) -> Option<Value> {
    let (level, precedence, method, groups): (_, i64, _, &[&str]) = match name {
        "exempt" => ("exempt", 1, None, &["system:masters"]),
        "catch-all" => {
            ("catch-all", MAX_PRECEDENCE, Some("ByUser"), &["system:unauthenticated", "system:authenticated"])
        }
        _ => return None,
    };
    let subjects: Vec<Value> =
        groups.iter().map(|g| tree!({"kind": "Group", "group": {"name": (*g)}})).collect();
    let mut spec = tree!({
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{
            "subjects": subjects,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                               "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        }]
    });
    if let Some(method) = method {
        spec.set(&["distinguisherMethod", "type"], method);
    }
    Some(spec)
}

fn spec_faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("spec");
    let precedence = obj.i64_at(&["spec", "matchingPrecedence"]).unwrap_or_default();
    let fault = |text: String| Fault::invalid(at.child("matchingPrecedence"), precedence, text);
    let mut faults = Vec::new();
    if precedence <= 0 {
        faults.push(fault("must be a positive value".to_owned()));
    }
    if precedence > MAX_PRECEDENCE {
        faults.push(fault(format!("must not be greater than {MAX_PRECEDENCE}")));
    }
    if precedence == 1 && obj.str_at(&["metadata", "name"]) != "exempt" {
        faults.push(fault("only the schema named 'exempt' may have matchingPrecedence 1".to_owned()));
    }
    if let Some(method) = obj.at(&["spec", "distinguisherMethod"]).filter(|m| !m.is_null())
        && !METHODS.contains(&method.str_at(&["type"]))
    {
        let shown = internal_form(Some(method), "io.k8s.api.flowcontrol.v1.FlowDistinguisherMethod");
        faults.push(Fault::not_supported(at.child("distinguisherMethod").child("type"), shown, &METHODS));
    }
    let level = obj.str_at(&["spec", "priorityLevelConfiguration", "name"]);
    let path = at.child("priorityLevelConfiguration").child("name");
    faults.extend(match level {
        "" => vec![Fault::required(path, "must reference a priority level")],
        _ => validation::dns_subdomain(level, &path),
    });
    for (i, rule) in obj.list_at(&["spec", "rules"]).iter().enumerate() {
        faults.extend(rule_faults(rule, &at.child("rules").index(i)));
    }
    faults
}

fn rule_faults(rule: &Value, at: &Path) -> Vec<Fault> {
    let list = |field: &'static str| rule.list_at(&[field]).iter().enumerate();
    let mut faults = Vec::new();
    if rule.list_at(&["subjects"]).is_empty() {
        faults.push(Fault::required(at.child("subjects"), "subjects must contain at least one value"));
    }
    faults.extend(list("subjects").flat_map(|(i, s)| subject_faults(s, &at.child("subjects").index(i))));
    if list("resourceRules").len() + list("nonResourceRules").len() == 0 {
        let text = "at least one of resourceRules and nonResourceRules has to be non-empty";
        faults.push(Fault::required(at, text));
    }
    let path = at.child("resourceRules");
    faults.extend(list("resourceRules").flat_map(|(i, r)| resource_faults(r, &path.index(i))));
    let path = at.child("nonResourceRules");
    faults.extend(list("nonResourceRules").flat_map(|(i, r)| non_resource_faults(r, &path.index(i))));
    faults
}

fn subject_faults(subject: &Value, at: &Path) -> Vec<Fault> {
    let kind = subject.str_at(&["kind"]);
    let Some((_, field)) = SUBJECTS.iter().find(|(name, _)| *name == kind) else {
        return validation::one_of(kind, &SUBJECTS.map(|(name, _)| name), &at.child("kind"));
    };
    let mut faults = match subject.get(field).filter(|s| !s.is_null()) {
        None => {
            let text = format!("{field} is required when subject kind is '{kind}'");
            vec![Fault::required(at.child(field), text)]
        }
        Some(account) if kind == "ServiceAccount" => account_faults(account, &at.child(field)),
        Some(named) => validation::required(named.str_at(&["name"]), &at.child(field).child("name")),
    };
    for (other, other_field) in ["ServiceAccount", "User", "Group"]
        .iter()
        .filter_map(|kind| SUBJECTS.iter().find(|(name, _)| name == kind))
    {
        if other_field != field && subject.get(other_field).is_some_and(|s| !s.is_null()) {
            let text = format!("{other_field} is forbidden when subject kind is not '{other}'");
            faults.push(Fault::forbidden(at.child(other_field), text));
        }
    }
    faults
}

fn account_faults(account: &Value, at: &Path) -> Vec<Fault> {
    let (name, namespace) = (account.str_at(&["name"]), account.str_at(&["namespace"]));
    let mut faults = match name {
        "" => vec![Fault::required(at.child("name"), "")],
        "*" => Vec::new(),
        _ => validation::dns_subdomain(name, &at.child("name")),
    };
    faults.extend(match namespace {
        "" => vec![Fault::required(at.child("namespace"), "must specify namespace for service account")],
        _ => validation::dns_label(namespace, &at.child("namespace")),
    });
    faults
}

/// A list that must not be empty, and where `*` stands alone. `words` is what its items are called.
fn wildcard_faults(rule: &Value, field: &str, missing: &str, words: &str, at: &Path) -> Vec<Fault> {
    let list = rule.list_at(&[field]);
    if list.is_empty() {
        return vec![Fault::required(at.child(field), missing)];
    }
    let wild = list.iter().any(|v| v.as_str() == Some("*"));
    if wild && list.len() > 1 {
        let text = format!("if '*' is present, must not specify other {words}");
        return vec![Fault::invalid(at.child(field), list.to_vec(), text)];
    }
    Vec::new()
}

fn verb_faults(rule: &Value, at: &Path) -> Vec<Fault> {
    let verbs = rule.list_at(&["verbs"]);
    let known = |v: &Value| v.as_str().is_some_and(|v| v == "*" || VERBS.contains(&v));
    let faults = wildcard_faults(rule, "verbs", "verbs must contain at least one value", "verbs", at);
    let wild = verbs.iter().any(|v| v.as_str() == Some("*"));
    if faults.is_empty() && !wild && !verbs.iter().all(known) {
        return vec![Fault::not_supported(at.child("verbs"), verbs.to_vec(), &VERBS)];
    }
    faults
}

fn resource_faults(rule: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = verb_faults(rule, at);
    let missing = "resource rules must supply at least one api group";
    faults.extend(wildcard_faults(rule, "apiGroups", missing, "api groups", at));
    let missing = "resource rules must supply at least one resource";
    faults.extend(wildcard_faults(rule, "resources", missing, "resources", at));
    let namespaces = rule.list_at(&["namespaces"]);
    let path = at.child("namespaces");
    if !namespaces.is_empty() || !rule.bool_at(&["clusterScope"]) {
        let missing = "resource rules that are not cluster scoped must supply at least one namespace";
        faults.extend(wildcard_faults(rule, "namespaces", missing, "namespaces", at));
    }
    if !namespaces.iter().any(|n| n.as_str() == Some("*")) {
        for (i, name) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            let intro = "each member of this list must be '*' or a DNS-1123 label; ";
            let texts = api::names::is_dns1123_label(name).into_iter();
            let texts = texts.map(|text| format!("{intro}{text}")).collect();
            faults.extend(validation::texts(&path.index(i), name, texts));
        }
    }
    faults
}

fn non_resource_faults(rule: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = verb_faults(rule, at);
    let missing = "nonResourceURLs must contain at least one value";
    faults.extend(wildcard_faults(rule, "nonResourceURLs", missing, "non-resource URLs", at));
    let urls = rule.list_at(&["nonResourceURLs"]);
    if !urls.iter().any(|u| u.as_str() == Some("*")) {
        for (i, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            let path = at.child("nonResourceURLs").index(i);
            faults.extend(url_problem(url).map(|text| Fault::invalid(path, url, text)));
        }
    }
    faults
}

fn url_problem(url: &str) -> Option<&'static str> {
    let wildcards = url.matches('*').count();
    match () {
        () if url.is_empty() => Some("must not be empty"),
        () if url == "/" => None,
        () if !url.starts_with('/') => Some("must start with slash"),
        () if url.contains(' ') => Some("must not contain white-space"),
        () if url.contains("//") => Some("must not contain double slash"),
        () if wildcards > 1 || (wildcards == 1 && !url.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        () => None,
    }
}

impl Kind for FlowSchema {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        if obj.i64_at(&["spec", "matchingPrecedence"]).unwrap_or_default() == 0 {
            obj.set(&["spec", "matchingPrecedence"], DEFAULT_PRECEDENCE);
        }
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        lens::keep_meta(new, old);
        keep_field(new, old, "spec");
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let name = obj.str_at(&["metadata", "name"]);
        let mut faults = spec_faults(obj);
        if fixed_spec(name).is_some_and(|fixed| !validation::same(obj.get("spec"), Some(&fixed))) {
            let text = format!("spec of '{name}' must equal the fixed value");
            faults.push(Fault::invalid("spec", internal_form(obj.get("spec"), SPEC), text));
        }
        faults.extend(status_faults(obj));
        faults
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        status_faults(new)
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        reset_fields(subresource)
    }

    fn columns(&self) -> Vec<Column> {
        let level = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference";
        let dangling = "references a broken or non-existent PriorityLevelConfiguration";
        vec![
            Column::name(),
            Column::field("PriorityLevel", "string", level, "name"),
            Column::field("MatchingPrecedence", "string", SPEC, "matchingPrecedence"),
            Column::field("DistinguisherMethod", "string", SPEC, "distinguisherMethod"),
            Column::age(),
            Column::text("MissingPL", "string", dangling),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let mut conditions = obj.list_at(&["status", "conditions"]).iter();
        let dangling = conditions.find(|c| c.str_at(&["type"]) == "Dangling");
        let method = match obj.at(&["spec", "distinguisherMethod"]).filter(|m| !m.is_null()) {
            Some(method) => method.str_at(&["type"]),
            None => "<none>",
        };
        vec![
            print::name(obj),
            obj.str_at(&["spec", "priorityLevelConfiguration", "name"]).into(),
            obj.i64_at(&["spec", "matchingPrecedence"]).unwrap_or_default().into(),
            method.into(),
            print::age(obj, now),
            dangling.map_or("?", |c| c.str_at(&["status"])).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_schema_is_told_all_its_faults() {
        let obj = tree!({"spec": {"matchingPrecedence": 20000, "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [], "resourceRules": [{"verbs": [], "apiGroups": [""], "resources": ["pods"]}]}]}});
        let texts: Vec<String> = spec_faults(&obj).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000",
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0].resourceRules[0].verbs: Required value: verbs must contain at least one value",
                "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped \
                 must supply at least one namespace",
            ]
        );
    }

    #[test]
    fn subjects_have_the_field_of_their_kind_and_no_other() {
        let at = Path::new("s");
        let subject = tree!({"kind": "User", "group": {"name": "g"}});
        let texts: Vec<String> = subject_faults(&subject, &at).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "s.user: Required value: user is required when subject kind is 'User'",
                "s.group: Forbidden: group is forbidden when subject kind is not 'Group'",
            ]
        );
    }

    #[test]
    fn the_fixed_schemas_pass_their_own_validation() {
        for name in ["exempt", "catch-all"] {
            let obj = tree!({"metadata": {"name": name}, "spec": fixed_spec(name)});
            assert!(spec_faults(&obj).is_empty());
        }
    }
}
