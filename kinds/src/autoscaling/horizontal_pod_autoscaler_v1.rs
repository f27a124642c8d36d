//! HorizontalPodAutoscaler between `autoscaling/v2`, which is stored, and `v1`, which knows only a percentage of CPU:
//! other metrics, behavior, current metrics and conditions are JSON in annotations there.

use crate::internal_form::internal_form;
use api::{Map, Str, Value, json, tree};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ANNOTATIONS: [&str; 6] = [
    METRICS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
    CURRENT_METRICS,
    CONDITIONS,
];
const BEHAVIOR_TYPE: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior";
const DEFAULT_CPU_PERCENT: i64 = 80;
const SOURCES: [&str; 5] = ["object", "pods", "resource", "containerResource", "external"];

/// The metric of autoscalers that name none.
pub fn default_metric() -> Value {
    cpu_metric(DEFAULT_CPU_PERCENT)
}

fn cpu_metric(percent: i64) -> Value {
    let target = tree!({"type": "Utilization", "averageUtilization": percent});
    tree!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

/// Drops the annotations that only conversion writes.
pub fn drop_annotations(obj: &mut Value) {
    let Some(map) = obj.at_mut(&["metadata", "annotations"]).and_then(Value::as_map_mut) else { return };
    map.retain(|key, _| !ANNOTATIONS.contains(&key));
    if map.is_empty() {
        obj.unset(&["metadata", "annotations"]);
    }
}

/// The percentage of CPU that a `v2` metric or current metric is about.
fn cpu_percent(metric: &Value, part: &str) -> Option<i64> {
    let is_cpu = metric.str_at(&["type"]) == "Resource" && metric.str_at(&["resource", "name"]) == "cpu";
    metric.i64_at(&["resource", part, "averageUtilization"]).filter(|_| is_cpu)
}

/// From `v2`, in place.
pub fn from_v2(obj: &mut Value) {
    drop_annotations(obj);
    let metrics = obj.unset(&["spec", "metrics"]).unwrap_or_default();
    let metrics = metrics.as_list().unwrap_or_default();
    if let Some(percent) = metrics.iter().find_map(|m| cpu_percent(m, "target")) {
        obj.set(&["spec", "targetCPUUtilizationPercentage"], percent);
    }
    let others = metrics.iter().filter(|m| cpu_percent(m, "target").is_none());
    annotate(obj, METRICS, others.map(metric_to_v1).collect());
    let current = obj.unset(&["status", "currentMetrics"]).unwrap_or_default();
    let current = current.as_list().unwrap_or_default();
    if let Some(percent) = current.iter().rev().find_map(|m| cpu_percent(m, "current")) {
        obj.set(&["status", "currentCPUUtilizationPercentage"], percent);
    }
    annotate(obj, CURRENT_METRICS, current.iter().map(current_to_v1).collect());
    if let Some(behavior) = obj.unset(&["spec", "behavior"]).filter(|b| !b.is_null()) {
        let text = json::to_string(&internal_form(Some(&behavior), BEHAVIOR_TYPE));
        obj.set(&["metadata", "annotations", BEHAVIOR], text);
    }
    let conditions = obj.unset(&["status", "conditions"]).unwrap_or_default();
    annotate(obj, CONDITIONS, conditions.as_list().unwrap_or_default().to_vec());
}

fn annotate(obj: &mut Value, annotation: &str, list: Vec<Value>) {
    if !list.is_empty() {
        obj.set(&["metadata", "annotations", annotation], json::to_string(&Value::List(list)));
    }
}

/// To `v2`, in place. Annotations that do not parse are ignored.
pub fn to_v2(obj: &mut Value) {
    let annotation = |name: &str| -> Option<Value> {
        json::parse(obj.at(&["metadata", "annotations", name])?.as_str()?.as_bytes()).ok()
    };
    let list = |name: &str| annotation(name).and_then(|v| v.as_list().map(<[Value]>::to_vec));
    let mut metrics: Vec<Value> = list(METRICS).unwrap_or_default().iter().map(metric_to_v2).collect();
    let (current, conditions) = (list(CURRENT_METRICS), list(CONDITIONS));
    let behavior = annotation(BEHAVIOR).map(|b| from_internal(&b)).filter(|b| !b.is_empty());
    let take = |obj: &mut Value, path: &[&str]| obj.unset(path).and_then(|v| v.as_i64());
    metrics.extend(take(obj, &["spec", "targetCPUUtilizationPercentage"]).map(cpu_metric));
    if metrics.is_empty() {
        metrics.push(default_metric());
    }
    obj.set(&["spec", "metrics"], metrics);
    if let Some(behavior) = behavior {
        obj.set(&["spec", "behavior"], behavior);
    }
    let percent = take(obj, &["status", "currentCPUUtilizationPercentage"]);
    let current = current.map(|list| list.iter().map(current_to_v2).collect()).or_else(|| {
        let now = |percent: i64| tree!({"averageUtilization": percent});
        percent.map(|p| vec![tree!({"type": "Resource", "resource": {"name": "cpu", "current": (now(p))}})])
    });
    if let Some(current) = current {
        obj.set(&["status", "currentMetrics"], Value::List(current));
    }
    if let Some(conditions) = conditions {
        obj.set(&["status", "conditions"], conditions);
    }
    drop_annotations(obj);
}

/// Go's names back to JSON's; nulls are nothing.
fn from_internal(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let lower = |key: &Str| {
                let mut chars = key.chars();
                let first = chars.next().map(|c| c.to_ascii_lowercase());
                first.into_iter().chain(chars).collect::<String>()
            };
            let present = map.iter().filter(|(_, v)| !v.is_null());
            Value::Map(present.map(|(k, v)| (lower(k), from_internal(v))).collect::<Map>())
        }
        Value::List(list) => Value::List(list.iter().map(from_internal).collect()),
        other => other.clone(),
    }
}

/// Copies fields under other names, skipping what is missing.
fn copy(from: &Value, pairs: &[(&[&str], &[&str])]) -> Value {
    let mut out = Value::map();
    for (source, target) in pairs {
        if let Some(value) = from.at(source).filter(|v| !v.is_null()) {
            out.set(target, value.clone());
        }
    }
    out
}

type Pairs<'a> = &'a [(&'a [&'a str], &'a [&'a str])];

/// Fields of each metric source in `v2` and in `v1`, in the order of `v1`.
fn pairs(source: &str, target: &'static str) -> Vec<(Vec<&'static str>, &'static str)> {
    let is_target = target == "target";
    let pick = |spec: &'static str, status: &'static str| if is_target { spec } else { status };
    let value = (vec![target, "value"], pick("targetValue", "currentValue"));
    let average = (vec![target, "averageValue"], pick("targetAverageValue", "currentAverageValue"));
    let percent =
        (vec![target, "averageUtilization"], pick("targetAverageUtilization", "currentAverageUtilization"));
    let name = (vec!["metric", "name"], "metricName");
    let selector = (vec!["metric", "selector"], "selector");
    match source {
        "object" => vec![
            (vec!["describedObject"], "target"),
            name,
            value,
            selector,
            (vec![target, "averageValue"], "averageValue"),
        ],
        "pods" => vec![name, average, selector],
        "resource" => vec![(vec!["name"], "name"), percent, average],
        "containerResource" => {
            vec![(vec!["name"], "name"), percent, average, (vec!["container"], "container")]
        }
        _ => vec![name, (vec!["metric", "selector"], "metricSelector"), value, average],
    }
}

/// `v1` fields that are quantities without omission: 0 when `v2` has none.
fn always(source: &str, of_target: bool) -> Option<&'static str> {
    match (source, of_target) {
        ("object", true) => Some("targetValue"),
        ("object" | "external", false) => Some("currentValue"),
        ("pods", true) => Some("targetAverageValue"),
        ("pods" | "resource" | "containerResource", false) => Some("currentAverageValue"),
        _ => None,
    }
}

fn to_v1(metric: &Value, part: &'static str) -> Value {
    let mut out = tree!({"type": metric.str_at(&["type"])});
    for source in SOURCES {
        let Some(from) = metric.get(source).filter(|v| !v.is_null()) else { continue };
        let always = always(source, part == "target");
        let mut to = Map::new();
        for (path, field) in pairs(source, part) {
            match from.at(&path).filter(|v| !v.is_null()) {
                Some(value) => drop(to.insert(field, value.clone())),
                None if always == Some(field) => drop(to.insert(field, "0")),
                None => {}
            }
        }
        out.set(&[source], to);
    }
    out
}

fn metric_to_v1(metric: &Value) -> Value {
    to_v1(metric, "target")
}

fn current_to_v1(metric: &Value) -> Value {
    to_v1(metric, "current")
}

fn to_v2_sources(metric: &Value, part: &'static str) -> Value {
    let mut out = tree!({"type": metric.str_at(&["type"])});
    for source in SOURCES {
        let Some(from) = metric.get(source).filter(|v| !v.is_null()) else { continue };
        let fields = pairs(source, part);
        let targets: Vec<[&str; 1]> = fields.iter().map(|(_, field)| [*field]).collect();
        let pairs: Vec<(&[&str], &[&str])> =
            targets.iter().zip(&fields).map(|(v1, (v2, _))| (v1.as_slice(), v2.as_slice())).collect();
        let pairs: Pairs<'_> = &pairs;
        out.set(&[source], copy(from, pairs));
    }
    out
}

fn current_to_v2(metric: &Value) -> Value {
    to_v2_sources(metric, "current")
}

fn metric_to_v2(metric: &Value) -> Value {
    let mut out = to_v2_sources(metric, "target");
    for source in SOURCES {
        let Some(from) = out.get(source) else { continue };
        let has = |field: &str| from.at(&["target", field]).is_some();
        let ty = match source {
            "pods" => "AverageValue",
            "resource" | "containerResource" if has("averageUtilization") => "Utilization",
            "resource" | "containerResource" => "AverageValue",
            "object" if has("averageValue") => "AverageValue",
            "external" if !has("value") => "AverageValue",
            _ => "Value",
        };
        let zero = from.str_at(&["target", "value"]) == "0";
        if source == "object" && ty == "AverageValue" && zero {
            out.unset(&[source, "target", "value"]);
        }
        out.set(&[source, "target", "type"], ty);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rich() -> Value {
        tree!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 9, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
            {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "Value", "value": "30"}}},
            {"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"},
                "metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "2k"}}}]}})
    }

    #[test]
    fn what_v1_cannot_say_travels_in_annotations() {
        let mut obj = rich();
        from_v2(&mut obj);
        assert_eq!(obj.i64_at(&["spec", "targetCPUUtilizationPercentage"]), Some(50));
        assert_eq!(obj.at(&["spec", "metrics"]), None);
        assert_eq!(
            obj.str_at(&["metadata", "annotations", METRICS]),
            "[{\"type\":\"External\",\"external\":{\"metricName\":\"q\",\"metricSelector\":{\"matchLabels\":{\"a\":\"b\"}},\
             \"targetValue\":\"30\"}},{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Ingress\",\"name\":\"i\",\
             \"apiVersion\":\"networking.k8s.io/v1\"},\"metricName\":\"rps\",\"targetValue\":\"0\",\"averageValue\":\"2k\"}}]"
        );
    }

    #[test]
    fn converting_back_restores_everything_but_the_order() {
        let mut obj = rich();
        from_v2(&mut obj);
        to_v2(&mut obj);
        let mut wanted = rich();
        let metrics = wanted.at_mut(&["spec", "metrics"]).and_then(Value::as_list_mut).unwrap();
        metrics.rotate_left(1);
        assert_eq!(obj, wanted);
    }

    #[test]
    fn v1_without_a_percentage_aims_at_80() {
        let mut obj = tree!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "nonsense", "x": "y"}},
            "spec": {"maxReplicas": 3}});
        to_v2(&mut obj);
        assert_eq!(obj.at(&["spec", "metrics"]), Some(&tree!([(default_metric())])));
        assert_eq!(obj.at(&["metadata", "annotations"]), Some(&tree!({"x": "y"})));
    }

    #[test]
    fn behavior_is_read_back_in_gos_names() {
        let behavior = json::parse(br#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":60,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":2}],"Tolerance":null}}"#).unwrap();
        let wanted = tree!({"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 2}]}});
        assert_eq!(from_internal(&behavior), wanted);
    }
}
