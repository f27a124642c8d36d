//! ResourceQuota: how much of each resource a namespace may hold.

use super::pod_spec::requirements::{self, resource_name};
use super::pod_spec::resources::{self, is_huge_page, quantity};
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Map, Path, Value};
use std::collections::BTreeSet;

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
/// Scopes that say all there is to say: their operator is `Exists`.
const PLAIN_SCOPES: [&str; 5] =
    ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
const CONFLICTS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const COMPUTE: [&str; 6] =
    ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

pub struct ResourceQuota(Info);

impl ResourceQuota {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "ResourceQuota", "resourcequotas")
            .short(&["quota"])
            .returns_deleted()
            .with_status();
        ResourceQuota(info)
    }
}

impl Kind for ResourceQuota {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        for path in [["spec", "hard"], ["status", "hard"], ["status", "used"]] {
            resources::round_list(obj.at_mut(&path));
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = spec_faults(new);
        let set = |obj| texts(obj, &["spec", "scopes"]).into_iter().collect::<BTreeSet<_>>();
        if set(new) != set(old) {
            let shown = new.at(&["spec", "scopes"]).cloned().unwrap_or_default();
            faults.push(Fault::invalid("spec.scopes", shown, crate::validation::IMMUTABLE));
        }
        faults
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("status");
        let of = |list: &str| list_faults(new.map_at(&["status", list]), &at.child(list));
        [of("hard"), of("used")].concat()
    }

    fn warn(&self, new: &Value, old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        ["cpu", "memory", "storage", "ephemeral-storage"]
            .iter()
            .filter_map(|name| request_above_limit(new, name))
            .collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::text(
                "Request",
                "string",
                "Request represents a minimum amount of cpu/memory that a container may consume.",
            ),
            Column::text(
                "Limit",
                "string",
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention \
                 on the node.",
            ),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let hard = obj.map_at(&["status", "hard"]);
        let mut names: Vec<&str> = hard.into_iter().flat_map(Map::keys).map(|k| k.as_str()).collect();
        names.sort_unstable();
        let text = |list: &str, name: &str| match obj.str_at(&["status", list, name]) {
            "" => "0".to_owned(),
            amount => amount.to_owned(),
        };
        let (limits, requests): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|n| n.starts_with("limits."));
        let cell = |names: Vec<&str>| -> Value {
            let of = |name: &&str| format!("{name}: {}/{}", text("used", name), text("hard", name));
            names.iter().map(of).collect::<Vec<_>>().join(", ").into()
        };
        vec![print::name(obj), cell(requests), cell(limits), print::age(obj, now)]
    }
}

fn texts<'a>(obj: &'a Value, path: &[&str]) -> Vec<&'a str> {
    obj.list_at(path).iter().filter_map(Value::as_str).collect()
}

fn is_standard(name: &str) -> bool {
    let plain = name != "storage" && resources::is_standard(name);
    plain || is_huge_page(name)
}

fn is_valid_for(scope: &str, name: &str) -> bool {
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => name == "pods" || COMPUTE.contains(&name),
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn list_faults(list: Option<&Map>, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in list.into_iter().flat_map(Map::iter) {
        let at = at.key(name);
        faults.extend(resource_name(name, &at));
        if !name.contains('/') && !is_standard(name) {
            faults.push(Fault::invalid(&at, name, "must be a standard resource for quota"));
        }
        faults.extend(quantity(value).map(|q| requirements::amount(name, &q, &at)).unwrap_or_default());
    }
    faults
}

fn spec_faults(obj: &Value) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let mut faults = list_faults(spec.map_at(&["hard"]), &at.child("hard"));
    let scopes = texts(spec, &["scopes"]);
    let shown = spec.get("scopes").cloned().unwrap_or_default();
    let scopes_at = at.child("scopes");
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            faults.push(Fault::invalid(&scopes_at, shown.clone(), "unsupported scope"));
        }
        faults.extend(inapplicable(spec, scope, &shown, &scopes_at));
    }
    faults.extend(conflicts(&scopes, &shown, &scopes_at));
    if let Some(selector) = spec.get("scopeSelector").filter(|v| !v.is_null()) {
        faults.extend(selector_faults(spec, selector, &at.child("scopeSelector").child("matchExpressions")));
    }
    faults
}

/// One fault for each resource that a scope does not apply to.
fn inapplicable(spec: &Value, scope: &str, shown: &Value, at: &Path) -> Vec<Fault> {
    let hard = spec.map_at(&["hard"]).into_iter().flat_map(Map::keys);
    let wrong = hard.filter(|name| is_standard(name) && !is_valid_for(scope, name));
    wrong.map(|_| Fault::invalid(at, shown.clone(), "unsupported scope applied to resource")).collect()
}

fn conflicts(scopes: &[&str], shown: &Value, at: &Path) -> Vec<Fault> {
    let both = CONFLICTS.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope)));
    both.map(|_| Fault::invalid(at, shown.clone(), "conflicting scopes")).collect()
}

fn selector_faults(spec: &Value, selector: &Value, at: &Path) -> Vec<Fault> {
    let requirements = selector.list_at(&["matchExpressions"]);
    let mut faults = Vec::new();
    for requirement in requirements {
        let scope = requirement.str_at(&["scopeName"]);
        if !SCOPES.contains(&scope) {
            faults.push(Fault::invalid(at.child("scopeName"), scope, "unsupported scope"));
        }
        let shown = || {
            const SELECTOR: &str = "io.k8s.api.core.v1.ScopeSelector";
            crate::internal_form::internal_form(Some(selector), SELECTOR)
        };
        faults.extend(inapplicable(spec, scope, &shown(), at));
        faults.extend(operator_faults(requirement, scope, at));
    }
    let scopes: Vec<&str> = requirements.iter().map(|r| r.str_at(&["scopeName"])).collect();
    let shown = spec.get("scopes").cloned().unwrap_or_default();
    faults.extend(conflicts(&scopes, &shown, at));
    faults
}

fn operator_faults(requirement: &Value, scope: &str, at: &Path) -> Vec<Fault> {
    let (operator, values) = (requirement.str_at(&["operator"]), requirement.list_at(&["values"]));
    let mut faults = Vec::new();
    if PLAIN_SCOPES.contains(&scope) && operator != "Exists" {
        let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                      ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort \
                      or ResourceQuotaScopeCrossNamespacePodAffinity";
        faults.push(Fault::invalid(at.child("operator"), operator, detail));
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            faults.push(Fault::required(at.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            faults.push(Fault::invalid(at.child("values"), Value::List(values.to_vec()), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => faults.push(Fault::invalid(at.child("operator"), other, "not a valid selector operator")),
    }
    faults
}

fn request_above_limit(obj: &Value, name: &str) -> Option<String> {
    let hard = |name: &str| obj.at(&["spec", "hard", name]).and_then(quantity);
    let (requests, limits) = (format!("requests.{name}"), format!("limits.{name}"));
    let bare = || hard(name).filter(|_| matches!(name, "cpu" | "memory")).map(|q| (name, q));
    let (asked, request) = hard(&requests).map(|q| (requests.as_str(), q)).or_else(bare)?;
    let limit = hard(&limits)?;
    (request > limit)
        .then(|| format!("ResourceQuota {asked} ({request}) should be less than {limits} ({limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use api::tree;

    fn faults(spec: Value) -> Vec<String> {
        testing::texts(&spec_faults(&tree!({"spec": spec})))
    }

    #[test]
    fn resources_are_known_and_counted_in_whole_numbers() {
        assert_eq!(
            faults(tree!({"hard": {"bogus": "1"}})),
            [
                "spec.hard[bogus]: Invalid value: \"bogus\": must be a standard resource type or fully qualified",
                "spec.hard[bogus]: Invalid value: \"bogus\": must be a standard resource for quota",
            ]
        );
        assert_eq!(
            faults(tree!({"hard": {"cpu": "0.5", "services": "1500m"}})),
            ["spec.hard[services]: Invalid value: \"1500m\": must be an integer"]
        );
        assert!(
            faults(tree!({"hard": {"count/deployments.apps": "3", "services.nodeports": "0"}})).is_empty()
        );
    }

    #[test]
    fn scopes_agree_with_each_other_and_with_resources() {
        assert_eq!(
            faults(tree!({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]})),
            ["spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes"]
        );
        assert_eq!(
            faults(tree!({"hard": {"services": "1"}, "scopes": ["BestEffort"]})),
            ["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"]
        );
        let selector = tree!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"},
            {"scopeName": "PriorityClass", "operator": "Maybe"}]});
        assert_eq!(
            faults(tree!({"hard": {"pods": "1"}, "scopeSelector": selector})),
            [
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when \
                 `operator` is 'In' or 'NotIn' for scope selector",
                "spec.scopeSelector.matchExpressions.operator: Invalid value: \"Maybe\": not a valid selector operator",
            ]
        );
    }

    #[test]
    fn a_row_shows_used_and_hard() {
        let obj = tree!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "5", "limits.cpu": "2"},
            "used": {"pods": "1"}}});
        let cells = ResourceQuota::new().cells(&obj, 0);
        assert_eq!(Value::List(cells), tree!(["q", "pods: 1/5", "limits.cpu: 0/2", "<unknown>"]));
    }

    #[test]
    fn requests_above_limits_earn_a_warning() {
        let obj = tree!({"spec": {"hard": {"cpu": "2", "limits.cpu": "1"}}});
        assert_eq!(
            request_above_limit(&obj, "cpu").as_deref(),
            Some("ResourceQuota cpu (2) should be less than limits.cpu (1)")
        );
        assert_eq!(request_above_limit(&obj, "memory"), None);
    }
}
