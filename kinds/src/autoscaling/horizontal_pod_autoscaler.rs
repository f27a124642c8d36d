//! HorizontalPodAutoscaler: sets the replicas of something scalable by metrics. Stored as `autoscaling/v2`; what `v1`
//! cannot say travels in annotations (see `horizontal_pod_autoscaler_v1`).

use super::{horizontal_pod_autoscaler_v1 as v1, metric_spec};
use crate::apps::workload::{counter_faults, default_to};
use crate::core::pod_spec::resources::quantity;
use crate::validation::{self, one_of, required};
use crate::{Column, Cx, Info, Kind, keep_field, print, reset_status};
use api::{Fault, Path, Value, names, tree};

const SPEC: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec";
const STATUS: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus";
const MAX_PERIOD_SECS: i64 = 1800;
const MAX_STABILIZATION_SECS: i64 = 3600;
const DEFAULT_PERIOD_SECS: i64 = 15;

pub struct HorizontalPodAutoscaler(Info);

impl HorizontalPodAutoscaler {
    pub fn new() -> Self {
        let info = Info::new("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            .versions(&["v2", "v1"], "v2")
            .short(&["hpa"])
            .categories(&["all"])
            .with_status();
        HorizontalPodAutoscaler(info)
    }
}

impl Kind for HorizontalPodAutoscaler {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, version: &str) {
        default_to(obj, &["spec", "minReplicas"], 1);
        if version != "v2" {
            return;
        }
        if obj.list_at(&["spec", "metrics"]).is_empty() {
            obj.set(&["spec", "metrics"], tree!([(v1::default_metric())]));
        }
        if obj.map_at(&["spec", "behavior"]).is_some() {
            fill_rules(obj, "scaleUp", &[("Pods", 4), ("Percent", 100)], Some(0));
            fill_rules(obj, "scaleDown", &[("Percent", 100)], None);
        }
    }

    fn convert(&self, obj: &mut Value, from: &str, to: &str) {
        match (from, to) {
            ("v1", "v2") => v1::to_v2(obj),
            ("v2", "v1") => v1::from_v2(obj),
            _ => {}
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        v1::drop_annotations(obj);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        v1::drop_annotations(new);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(new, Some(old))
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let status = new.get("status").cloned().unwrap_or_default();
        counter_faults(&status, &["currentReplicas", "desiredReplicas"], &Path::new("status"))
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Reference", "string", SPEC, "scaleTargetRef"),
            Column::field("Targets", "string", SPEC, "metrics"),
            Column::field("MinPods", "string", SPEC, "minReplicas"),
            Column::field("MaxPods", "string", SPEC, "maxReplicas"),
            Column::field("Replicas", "string", STATUS, "currentReplicas"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let target = |field: &str| obj.str_at(&["spec", "scaleTargetRef", field]);
        let min =
            obj.i64_at(&["spec", "minReplicas"]).map_or_else(|| "<unset>".to_owned(), |n| n.to_string());
        let metrics =
            metric_spec::texts(obj.list_at(&["spec", "metrics"]), obj.list_at(&["status", "currentMetrics"]));
        vec![
            print::name(obj),
            format!("{}/{}", target("kind"), target("name")).into(),
            metrics.into(),
            min.into(),
            obj.i64_at(&["spec", "maxReplicas"]).unwrap_or(0).into(),
            obj.i64_at(&["status", "currentReplicas"]).unwrap_or(0).into(),
            print::age(obj, now),
        ]
    }
}

/// Fills what a scaling rule leaves open; `policies` are type and value.
fn fill_rules(obj: &mut Value, which: &str, policies: &[(&str, i64)], window_secs: Option<i64>) {
    let path = |field: &'static str| ["spec", "behavior", which, field].map(str::to_owned);
    let mut fill = |field: &'static str, value: Value| {
        let path = path(field);
        default_to(obj, &path.each_ref().map(String::as_str), value);
    };
    if let Some(secs) = window_secs {
        fill("stabilizationWindowSeconds", secs.into());
    }
    fill("selectPolicy", "Max".into());
    let policies: Vec<Value> = policies
        .iter()
        .map(|(ty, value)| tree!({"type": *ty, "value": *value, "periodSeconds": DEFAULT_PERIOD_SECS}))
        .collect();
    fill("policies", Value::List(policies));
}

fn spec_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let old_spec = old.and_then(|o| o.get("spec"));
    let (min, max) = (spec.i64_at(&["minReplicas"]), spec.i64_at(&["maxReplicas"]).unwrap_or(0));
    let lowest = i64::from(old_spec.and_then(|o| o.i64_at(&["minReplicas"])) != Some(0));
    let mut faults = Vec::new();
    if let Some(min) = min.filter(|min| *min < lowest) {
        let detail = format!("must be greater than or equal to {lowest}");
        faults.push(Fault::invalid(at.child("minReplicas"), min, detail));
    }
    let max_at = at.child("maxReplicas");
    if max == 0 {
        faults.push(Fault::required(&max_at, "must be set and greater than 0"));
    } else if max < 0 {
        faults.push(Fault::invalid(&max_at, max, "must be greater than or equal to 1"));
    }
    if min.is_some_and(|min| max < min) {
        faults.push(Fault::invalid(&max_at, max, "must be greater than or equal to `minReplicas`"));
    }
    faults.extend(target_faults(spec, old_spec, &at.child("scaleTargetRef")));
    faults.extend(metrics_faults(spec, old_spec, min, &at.child("metrics")));
    for which in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.at(&["behavior", which]).filter(|v| !v.is_null()) {
            faults.extend(rule_faults(rules, &at.child("behavior").child(which)));
        }
    }
    faults
}

/// How strictly the `apiVersion` of a reference is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiVersion {
    NeedsGroup,
    MayBeCore,
    Unchecked,
}

fn target_faults(spec: &Value, old: Option<&Value>, at: &Path) -> Vec<Fault> {
    let empty = Value::map();
    let target = |spec: &Value, field: &str| spec.str_at(&["scaleTargetRef", field]).to_owned();
    let same = |field| old.is_some_and(|old| target(old, field) == target(spec, field));
    let check = if same("apiVersion") && same("kind") {
        ApiVersion::Unchecked
    } else if target(spec, "kind") == "ReplicationController" {
        ApiVersion::MayBeCore
    } else {
        ApiVersion::NeedsGroup
    };
    reference_faults(spec.get("scaleTargetRef").unwrap_or(&empty), check, at)
}

/// Faults of a reference to an object by version, kind and name.
pub(super) fn reference_faults(reference: &Value, check: ApiVersion, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for field in ["kind", "name"] {
        let (value, at) = (reference.str_at(&[field]), at.child(field));
        faults.extend(required(value, &at));
        faults.extend(validation::texts(&at, value, names::is_path_segment_name(value)));
    }
    let version = reference.str_at(&["apiVersion"]);
    if let Some(why) = api_version_error(version, check) {
        faults.push(Fault::invalid(at.child("apiVersion"), version, why));
    }
    faults
}

fn api_version_error(version: &str, check: ApiVersion) -> Option<String> {
    if check == ApiVersion::Unchecked {
        return None;
    }
    if version.matches('/').count() > 1 {
        return Some(format!("unexpected GroupVersion string: {version}"));
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    (check == ApiVersion::NeedsGroup && group.is_empty())
        .then(|| "apiVersion must specify API group".to_owned())
}

fn metrics_faults(spec: &Value, old: Option<&Value>, min: Option<i64>, at: &Path) -> Vec<Fault> {
    let metrics = spec.list_at(&["metrics"]);
    let described = |metric: &Value| metric.str_at(&["object", "describedObject", "apiVersion"]).to_owned();
    let was_wrong = old.map(|o| o.list_at(&["metrics"])).unwrap_or_default().iter().any(|metric| {
        metric.str_at(&["type"]) == "Object"
            && metric.get("object").is_some()
            && api_version_error(&described(metric), ApiVersion::MayBeCore).is_some()
    });
    let check = if was_wrong { ApiVersion::Unchecked } else { ApiVersion::MayBeCore };
    let mut faults: Vec<Fault> =
        metrics.iter().enumerate().flat_map(|(i, m)| metric_spec::faults(m, check, &at.index(i))).collect();
    let from_zero = |metric: &Value| matches!(metric.str_at(&["type"]), "Object" | "External");
    if min == Some(0) && !metrics.iter().any(from_zero) {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        faults.push(Fault::forbidden(at, detail));
    }
    faults
}

fn rule_faults(rules: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(secs) = rules.i64_at(&["stabilizationWindowSeconds"]) {
        let at = at.child("stabilizationWindowSeconds");
        if secs < 0 {
            faults.push(Fault::invalid(&at, secs, "must be greater than or equal to zero"));
        } else if secs > MAX_STABILIZATION_SECS {
            let detail = format!("must be less than or equal to {MAX_STABILIZATION_SECS}");
            faults.push(Fault::invalid(&at, secs, detail));
        }
    }
    if let Some(policy) = rules.get("selectPolicy").and_then(Value::as_str) {
        faults.extend(one_of(policy, &["Disabled", "Max", "Min"], &at.child("selectPolicy")));
    }
    let (policies, policies_at) = (rules.list_at(&["policies"]), at.child("policies"));
    if policies.is_empty() {
        faults.push(Fault::required(&policies_at, "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        faults.extend(scaling_policy_faults(policy, &policies_at.index(i)));
    }
    if let Some(tolerance) = rules.get("tolerance").and_then(quantity).filter(|q| q.sign() < 0) {
        faults.push(Fault::invalid(at.child("tolerance"), tolerance.to_string(), validation::NOT_NEGATIVE));
    }
    faults
}

fn scaling_policy_faults(policy: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = one_of(policy.str_at(&["type"]), &["Percent", "Pods"], &at.child("type"));
    for field in ["value", "periodSeconds"] {
        let number = policy.i64_at(&[field]).unwrap_or(0);
        if number <= 0 {
            faults.push(Fault::invalid(at.child(field), number, "must be greater than zero"));
        }
    }
    if let Some(secs) = policy.i64_at(&["periodSeconds"]).filter(|secs| *secs > MAX_PERIOD_SECS) {
        let detail = format!("must be less than or equal to {MAX_PERIOD_SECS}");
        faults.push(Fault::invalid(at.child("periodSeconds"), secs, detail));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;

    #[test]
    fn without_metrics_it_aims_at_the_cpu() {
        let mut obj = tree!({"spec": {"maxReplicas": 3}});
        HorizontalPodAutoscaler::new().fill(&mut obj, "v2");
        let cpu = tree!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 80}}}]);
        assert_eq!(obj.at(&["spec", "metrics"]), Some(&cpu));
        assert_eq!(obj.i64_at(&["spec", "minReplicas"]), Some(1));
    }

    #[test]
    fn a_behavior_is_filled_on_both_sides() {
        let mut obj = tree!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}});
        HorizontalPodAutoscaler::new().fill(&mut obj, "v2");
        let up = tree!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]});
        assert_eq!(obj.at(&["spec", "behavior", "scaleUp"]), Some(&up));
        let down = tree!({"stabilizationWindowSeconds": 60, "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]});
        assert_eq!(obj.at(&["spec", "behavior", "scaleDown"]), Some(&down));
    }

    #[test]
    fn numbers_and_target_are_checked() {
        let obj =
            tree!({"spec": {"minReplicas": 0, "scaleTargetRef": {"kind": "Deployment", "apiVersion": "v1"}}});
        assert_eq!(
            texts(&spec_faults(&obj, None)),
            [
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.scaleTargetRef.name: Required value",
                "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to \
                 zero replicas",
            ]
        );
    }
}
