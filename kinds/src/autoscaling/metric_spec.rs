//! Metrics of a HorizontalPodAutoscaler (`autoscaling/v2`): checks, and the text of the column `Targets`.

use super::horizontal_pod_autoscaler::{ApiVersion, reference_faults};
use crate::core::pod_spec::{requirements, resources::quantity};
use crate::validation::{self, one_of};
use api::{Fault, Path, Value, names};
use std::collections::BTreeSet;

const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// Types with the field that describes them, in the order in which upstream looks at the fields.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const SHOWN: usize = 2;

/// All faults of one metric.
pub fn faults(metric: &Value, check: ApiVersion, at: &Path) -> Vec<Fault> {
    let (ty, type_at) = (metric.str_at(&["type"]), at.child("type"));
    let mut faults = Vec::new();
    if ty.is_empty() {
        faults.push(Fault::required(&type_at, "must specify a metric source type"));
    }
    faults.extend(one_of(ty, &TYPES, &type_at));
    let present: Vec<(&str, &Value)> = SOURCES
        .iter()
        .filter_map(|(_, field)| metric.get(field).filter(|v| !v.is_null()).map(|v| (*field, v)))
        .collect();
    if let Some((field, source)) = present.first() {
        faults.extend(source_faults(field, source, check, &at.child(field)));
    }
    let expected = SOURCES.iter().find(|(known, _)| *known == ty).map(|(_, field)| *field);
    match expected {
        Some(field) if !present.iter().any(|(f, _)| *f == field) => {
            let detail = "must populate information for the given metric source";
            faults.push(Fault::required(at.child(field), detail));
        }
        Some(_) => {}
        None => faults.extend(one_of(ty, &TYPES, &type_at)),
    }
    if present.len() != 1 {
        let others: BTreeSet<&str> =
            present.iter().map(|(f, _)| *f).filter(|f| Some(*f) != expected).collect();
        let detail = "must populate the given metric source only";
        faults.extend(others.iter().map(|field| Fault::forbidden(at.child(field), detail)));
    }
    faults
}

fn source_faults(field: &str, source: &Value, check: ApiVersion, at: &Path) -> Vec<Fault> {
    let target = source.get("target").cloned().unwrap_or_default();
    let target_at = at.child("target");
    let has = |name: &str| target.get(name).is_some_and(|v| !v.is_null());
    let mut faults = Vec::new();
    if field == "object" {
        let described = source.get("describedObject").cloned().unwrap_or_default();
        faults.extend(reference_faults(&described, check, &at.child("describedObject")));
    }
    match field {
        "resource" | "containerResource" => faults.extend(resource_faults(field, source, at)),
        _ => faults
            .extend(identifier_faults(source.str_at(&["metric", "name"]), &at.child("metric").child("name"))),
    }
    faults.extend(target_faults(&target, &target_at));
    let average = target_at.child("averageValue");
    match field {
        "object" if !has("value") && !has("averageValue") => {
            faults.push(Fault::required(average, "must set either a target value or averageValue"));
        }
        "external" if !has("value") && !has("averageValue") => {
            let detail = "must set either a target value for metric or a per-pod target";
            faults.push(Fault::required(average, detail));
        }
        "external" if has("value") && has("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            faults.push(Fault::forbidden(target_at.child("value"), detail));
        }
        "pods" if !has("averageValue") => {
            faults.push(Fault::required(average, "must specify a positive target averageValue"));
        }
        "resource" | "containerResource" => match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let detail = "must set either a target raw value or a target utilization";
                faults.push(Fault::required(target_at.child("averageUtilization"), detail));
            }
            (true, true) => {
                let detail = "may not set both a target raw value and a target utilization";
                faults.push(Fault::forbidden(average, detail));
            }
            _ => {}
        },
        _ => {}
    }
    faults
}

fn identifier_faults(name: &str, at: &Path) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::required(at, "must specify a metric name")];
    }
    validation::texts(at, name, names::is_path_segment_name(name))
}

fn resource_faults(field: &str, source: &Value, at: &Path) -> Vec<Fault> {
    let (name, container) = (source.str_at(&["name"]), source.str_at(&["container"]));
    let mut faults = Vec::new();
    let of_container = field == "containerResource";
    if name.is_empty() {
        faults.push(Fault::required(at.child("name"), "must specify a resource name"));
    } else if of_container {
        faults.extend(requirements::container_name(name, &at.child("name")));
    }
    if of_container && container.is_empty() {
        faults.push(Fault::required(at.child("container"), "must specify a container"));
    } else if of_container {
        faults.extend(validation::dns_label(container, &at.child("container")));
    }
    faults
}

fn target_faults(target: &Value, at: &Path) -> Vec<Fault> {
    let ty = target.str_at(&["type"]);
    let mut faults = Vec::new();
    if ty.is_empty() {
        faults.push(Fault::required(at.child("type"), "must specify a metric target type"));
    }
    if !matches!(ty, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        faults.push(Fault::invalid(at.child("type"), ty, detail));
    }
    for field in ["value", "averageValue"] {
        let amount = target.get(field).and_then(quantity);
        if let Some(amount) = amount.filter(|q| q.sign() != 1) {
            faults.push(Fault::invalid(at.child(field), amount.to_string(), "must be positive"));
        }
    }
    if let Some(percent) = target.i64_at(&["averageUtilization"]).filter(|p| *p < 1) {
        faults.push(Fault::invalid(at.child("averageUtilization"), percent, "must be greater than 0"));
    }
    faults
}

/// `cpu: 40%/80%, 3/10 (avg) + 1 more...`.
pub fn texts(specs: &[Value], statuses: &[Value]) -> String {
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let shown: Vec<String> =
        specs.iter().enumerate().take(SHOWN).map(|(i, spec)| text(spec, statuses.get(i))).collect();
    let shown = shown.join(", ");
    if specs.len() > SHOWN { format!("{shown} + {} more...", specs.len() - SHOWN) } else { shown }
}

fn text(spec: &Value, status: Option<&Value>) -> String {
    let Some((ty, field)) = SOURCES.iter().find(|(ty, _)| *ty == spec.str_at(&["type"])) else {
        return "<unknown type>".to_owned();
    };
    let target = |name: &str| spec.at(&[field, "target", name]).filter(|v| !v.is_null());
    let current = |name: &str| status.and_then(|s| s.at(&[field, "current", name])).filter(|v| !v.is_null());
    let amount =
        |value: Option<&Value>, missing: &str| value.and_then(Value::as_str).unwrap_or(missing).to_owned();
    let of_resource = matches!(*ty, "Resource" | "ContainerResource");
    let average = target("averageValue");
    if of_resource {
        let name = spec.str_at(&[field, "name"]);
        let percent = |value: Option<&Value>, missing: &str| {
            value.and_then(Value::as_i64).map_or_else(|| missing.to_owned(), |p| format!("{p}%"))
        };
        return match average {
            Some(_) => {
                format!("{name}: {}/{}", amount(current("averageValue"), "<unknown>"), amount(average, "0"))
            }
            None => {
                let utilization = "averageUtilization";
                let now = percent(current(utilization), "<unknown>");
                format!("{name}: {now}/{}", percent(target(utilization), "<auto>"))
            }
        };
    }
    match average {
        Some(_) => {
            let suffix = if *ty == "Pods" { "" } else { " (avg)" };
            format!("{}/{}{suffix}", amount(current("averageValue"), "<unknown>"), amount(average, "0"))
        }
        None => format!("{}/{}", amount(current("value"), "<unknown>"), amount(target("value"), "<nil>")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use api::tree;

    #[test]
    fn targets_are_shown_beside_what_is() {
        let specs = tree!([
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            {"type": "External", "external": {"target": {"type": "AverageValue", "averageValue": "30"}}},
            {"type": "Pods", "pods": {"target": {"averageValue": "1"}}},
        ]);
        let statuses =
            tree!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}]);
        assert_eq!(
            texts(specs.as_list().unwrap(), statuses.as_list().unwrap()),
            "cpu: 40%/80%, <unknown>/30 (avg) + 1 more..."
        );
    }

    #[test]
    fn a_metric_says_one_thing_of_its_type() {
        let metric = tree!({"type": "Pods", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}});
        assert_eq!(
            testing::texts(&faults(&metric, ApiVersion::MayBeCore, &Path::new("m"))),
            [
                "m.resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
                "m.pods: Required value: must populate information for the given metric source",
            ]
        );
        let both = tree!({"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "1"}},
            "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "-1"}}});
        assert_eq!(
            testing::texts(&faults(&both, ApiVersion::MayBeCore, &Path::new("m"))),
            [
                "m.external.target.value: Invalid value: \"-1\": must be positive",
                "m.external: Forbidden: must populate the given metric source only",
            ]
        );
    }
}
