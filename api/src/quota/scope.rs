//! Which objects a quota is about: `spec.scopes` and `spec.scopeSelector`. Pods have most scopes, claims have one.

use crate::Value;
use crate::resources::qos_class;

/// A demand of a quota.
#[derive(Clone, Copy)]
struct Demand<'a> {
    scope: &'a str,
    operator: &'a str,
    values: &'a [Value],
}

fn demands(quota: &Value) -> impl Iterator<Item = Demand<'_>> {
    let plain = quota.list_at(&["spec", "scopes"]).iter().filter_map(Value::as_str);
    let plain = plain.map(|scope| Demand { scope, operator: "Exists", values: &[] });
    plain.chain(quota.list_at(&["spec", "scopeSelector", "matchExpressions"]).iter().map(demand))
}

fn demand(expression: &Value) -> Demand<'_> {
    Demand {
        scope: expression.str_at(&["scopeName"]),
        operator: expression.str_at(&["operator"]),
        values: expression.list_at(&["values"]),
    }
}

/// True when the scopes of a quota let an object in.
pub fn is_in_scope(quota: &Value, group: &str, resource: &str, object: &Value) -> bool {
    demands(quota).all(|demand| is_met(demand, group, resource, object))
}

/// The scopes of a quota, among them or not, that an object is of.
pub fn scopes_met<'a>(quota: &'a Value, group: &str, resource: &str, object: &Value) -> Vec<&'a str> {
    demands(quota).filter(|d| is_met(*d, group, resource, object)).map(|d| d.scope).collect()
}

/// True when an object is of a scope, as an expression (`scopeName`, `operator`, `values`) says.
pub fn matches_scope(expression: &Value, group: &str, resource: &str, object: &Value) -> bool {
    is_met(demand(expression), group, resource, object)
}

fn is_met(demand: Demand<'_>, group: &str, resource: &str, object: &Value) -> bool {
    match (group, resource) {
        ("", "pods") => pod_has(object, demand),
        ("", "persistentvolumeclaims") if demand.scope == "VolumeAttributesClass" => {
            let paths: [&[&str]; 3] = [
                &["spec", "volumeAttributesClassName"],
                &["status", "currentVolumeAttributesClassName"],
                &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
            ];
            let names: Vec<&str> =
                paths.iter().map(|path| object.str_at(path)).filter(|name| !name.is_empty()).collect();
            match names.as_slice() {
                [] => matches_text("", demand),
                names => names.iter().any(|name| matches_text(name, demand)),
            }
        }
        _ => false,
    }
}

fn matches_text(text: &str, demand: Demand<'_>) -> bool {
    let listed = demand.values.iter().any(|value| value.as_str() == Some(text));
    match demand.operator {
        "Exists" => !text.is_empty(),
        "DoesNotExist" => text.is_empty(),
        "In" => listed && !text.is_empty(),
        "NotIn" => !listed,
        _ => false,
    }
}

fn pod_has(pod: &Value, demand: Demand<'_>) -> bool {
    let is_terminating = pod.i64_at(&["spec", "activeDeadlineSeconds"]).is_some_and(|secs| secs >= 0);
    let best_effort = || pod.get("spec").is_none_or(|spec| qos_class(spec) == "BestEffort");
    match demand.scope {
        "Terminating" => is_terminating,
        "NotTerminating" => !is_terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => matches_text(pod.str_at(&["spec", "priorityClassName"]), demand),
        "CrossNamespacePodAffinity" => looks_across(pod),
        _ => false,
    }
}

/// Whether the pod's affinity names other namespaces.
fn looks_across(pod: &Value) -> bool {
    let across =
        |term: &Value| !term.list_at(&["namespaces"]).is_empty() || term.get("namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].iter().filter_map(|field| pod.at(&["spec", "affinity", field])).any(
        |affinity| {
            let weighted = affinity.list_at(&["preferredDuringSchedulingIgnoredDuringExecution"]).iter();
            affinity.list_at(&["requiredDuringSchedulingIgnoredDuringExecution"]).iter().any(across)
                || weighted.filter_map(|term| term.get("podAffinityTerm")).any(across)
        },
    )
}
