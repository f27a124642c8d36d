//! Deployment: rolls a template out through ReplicaSets.

use super::template;
use super::workload::{self, default_text, default_to};
use crate::internal_form::internal_form;
use crate::validation::{self, not_negative};
use crate::{Column, Cx, Info, Kind, keep_all_but, keep_field, print, reset_status};
use api::selector::LabelSelector;
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.apps.v1.DeploymentSpec";
const STATUS: &str = "io.k8s.api.apps.v1.DeploymentStatus";
const STRATEGY: &str = "io.k8s.api.apps.v1.DeploymentStrategy";

pub struct Deployment(Info);

impl Deployment {
    pub fn new() -> Self {
        let info = Info::new("apps", "v1", "Deployment", "deployments")
            .short(&["deploy"])
            .categories(&["all"])
            .with_generation()
            .with_scale("spec.replicas", "status.replicas", "spec.selector")
            .with_status();
        Deployment(info)
    }
}

impl Kind for Deployment {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_to(obj, &["spec", "replicas"], 1);
        default_text(obj, &["spec", "strategy", "type"], "RollingUpdate");
        if obj.str_at(&["spec", "strategy", "type"]) == "RollingUpdate" {
            for field in ["maxUnavailable", "maxSurge"] {
                default_to(obj, &["spec", "strategy", "rollingUpdate", field], "25%");
            }
        }
        default_to(obj, &["spec", "revisionHistoryLimit"], 10);
        default_to(obj, &["spec", "progressDeadlineSeconds"], 600);
        template::fill_at(obj, &["spec", "template"]);
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        template::drop_disabled_at(obj, None, &["spec", "template"]);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        template::drop_disabled_at(new, Some(old), &["spec", "template"]);
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_all_but(new, old, &["status", "metadata"]);
        if let Some(meta) = new.at_mut(&["metadata"]) {
            keep_field(meta, old.get("metadata").unwrap_or(&Value::Null), "labels");
        }
    }

    fn generation_grows(&self, new: &Value, old: &Value) -> bool {
        let changed = |path: &[&str]| workload::differs(new, old, path);
        changed(&["spec"]) || changed(&["metadata", "annotations"])
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = spec_faults(new, Some(old));
        let selector = |obj: &Value| obj.at(&["spec", "selector"]).cloned();
        let at = Path::new("spec").child("selector");
        faults.extend(validation::immutable(selector(new).as_ref(), selector(old).as_ref(), &at));
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("status");
        let Some(status) = new.get("status") else { return Vec::new() };
        let counters = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        let mut faults = workload::counter_faults(status, &counters, &at);
        let capped = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        faults.extend(workload::ceiling_faults(status, &capped, "readyReplicas", &at));
        faults.extend(workload::collision_fault(new, old));
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if !cx.subresource.is_empty() {
            return Vec::new();
        }
        match old {
            None => {
                let mut warnings: Vec<String> = workload::name_warning(new).into_iter().collect();
                warnings.extend(template::warnings_at(new, None, &["spec", "template"]));
                warnings
            }
            Some(old) if self.generation_grows(new, old) => {
                template::warnings_at(new, Some(old), &["spec", "template"])
            }
            Some(_) => Vec::new(),
        }
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::name(),
            Column::text("Ready", "string", "Number of the pod with ready state"),
            Column::field("Up-to-date", "string", STATUS, "updatedReplicas"),
            Column::field("Available", "string", STATUS, "availableReplicas"),
            Column::age(),
        ];
        columns.extend(workload::container_columns());
        columns.push(Column::field("Selector", "string", SPEC, "selector").wide());
        columns
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let (containers, images) = print::containers(obj.at(&["spec", "template", "spec"]));
        let selector = LabelSelector::from_value(obj.at(&["spec", "selector"]));
        vec![
            print::name(obj),
            workload::ready_cell(obj),
            workload::count_cell(obj, &["status", "updatedReplicas"]),
            workload::count_cell(obj, &["status", "availableReplicas"]),
            print::age(obj, now),
            containers.into(),
            images.into(),
            selector.map_or_else(|_| "<invalid>".to_owned(), |s| s.to_string()).into(),
        ]
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "" => vec![vec!["status"]],
            "status" => vec![vec!["spec"], vec!["metadata", "labels"]],
            _ => Vec::new(),
        }
    }
}

fn spec_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let Some(spec) = obj.get("spec") else { return vec![Fault::required(at.child("selector"), "")] };
    let number = |field: &str| not_negative(spec.i64_at(&[field]), &at.child(field));
    let mut faults = number("replicas");
    faults.extend(workload::selector_faults(spec.get("selector"), "deployment", &at.child("selector")));
    faults.extend(template_faults(spec, old.and_then(|o| o.get("spec")), &at));
    faults.extend(strategy_faults(spec.get("strategy").unwrap_or(&Value::Null), &at.child("strategy")));
    faults.extend(number("minReadySeconds"));
    faults.extend(number("revisionHistoryLimit"));
    faults.extend(number("progressDeadlineSeconds"));
    let deadline = spec.i64_at(&["progressDeadlineSeconds"]);
    if let Some(deadline) = deadline.filter(|d| *d <= spec.i64_at(&["minReadySeconds"]).unwrap_or(0)) {
        let detail = "must be greater than minReadySeconds";
        faults.push(Fault::invalid(at.child("progressDeadlineSeconds"), deadline, detail));
    }
    faults
}

/// The template of a Deployment or ReplicaSet, which must agree with the selector; `at` is the spec's path.
pub(super) fn template_faults(spec: &Value, old_spec: Option<&Value>, at: &Path) -> Vec<Fault> {
    let selector = match LabelSelector::from_value(spec.get("selector")) {
        Ok(selector) => selector,
        Err(_) => {
            let value = spec.get("selector").cloned().unwrap_or_default();
            return vec![Fault::invalid(at.child("selector"), value, "invalid label selector")];
        }
    };
    let (at, template) = (at.child("template"), spec.get("template"));
    let mut faults = Vec::new();
    if !selector.is_empty() {
        faults.extend(workload::label_mismatch(&selector, template, &at));
    }
    faults.extend(template::faults(template, old_spec.and_then(|s| s.get("template")), &at));
    faults.extend(workload::always_restarts(template, "ReplicaSet", &at));
    faults
}

fn strategy_faults(strategy: &Value, at: &Path) -> Vec<Fault> {
    let rolling_at = at.child("rollingUpdate");
    let rolling = strategy.get("rollingUpdate").filter(|v| !v.is_null());
    match (strategy.str_at(&["type"]), rolling) {
        ("Recreate", None) => Vec::new(),
        ("Recreate", Some(_)) => {
            vec![Fault::forbidden(rolling_at, "may not be specified when strategy `type` is 'Recreate'")]
        }
        ("RollingUpdate", None) => {
            vec![Fault::required(rolling_at, "this should be defaulted and never be nil")]
        }
        ("RollingUpdate", Some(rolling)) => rolling_faults(rolling, &rolling_at),
        _ => {
            let shown = internal_form(Some(strategy), STRATEGY);
            vec![Fault::not_supported(at, shown, &["Recreate", "RollingUpdate"])]
        }
    }
}

fn rolling_faults(rolling: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = workload::amount_faults(rolling, "maxUnavailable", at);
    faults.extend(workload::amount_faults(rolling, "maxSurge", at));
    let unavailable = rolling.get("maxUnavailable");
    if workload::int_or_percent(unavailable) == 0 && workload::int_or_percent(rolling.get("maxSurge")) == 0 {
        let shown = unavailable.cloned().unwrap_or(Value::Int(0));
        faults.push(Fault::invalid(at.child("maxUnavailable"), shown, "may not be 0 when `maxSurge` is 0"));
    }
    faults.extend(workload::percent_faults(rolling, "maxUnavailable", at));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    fn filled(spec: Value) -> Value {
        let mut obj = tree!({"metadata": {"name": "d"}, "spec": spec});
        Deployment::new().fill(&mut obj, "v1");
        obj
    }

    #[test]
    fn a_missing_strategy_rolls_by_a_quarter() {
        let obj = filled(tree!({"selector": {"matchLabels": {"app": "a"}}}));
        let wanted =
            tree!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}});
        assert_eq!(obj.at(&["spec", "strategy"]), Some(&wanted));
        assert_eq!(obj.i64_at(&["spec", "progressDeadlineSeconds"]), Some(600));
    }

    #[test]
    fn recreate_takes_no_rolling_update() {
        let strategy = tree!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}});
        assert_eq!(
            texts(&strategy_faults(&strategy, &Path::new("spec.strategy"))),
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
            ]
        );
    }

    #[test]
    fn a_rollout_must_be_able_to_move() {
        let strategy =
            tree!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}});
        assert_eq!(
            texts(&strategy_faults(&strategy, &Path::new("s"))),
            ["s.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"]
        );
    }

    #[test]
    fn annotations_make_a_new_generation_and_labels_do_not() {
        let kind = Deployment::new();
        let old = tree!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 1}});
        let labelled = tree!({"metadata": {"labels": {"a": "c"}}, "spec": {"replicas": 1}});
        let annotated = tree!({"metadata": {"annotations": {"a": "c"}}, "spec": {"replicas": 1}});
        assert!(!kind.generation_grows(&labelled, &old));
        assert!(kind.generation_grows(&annotated, &old));
    }

    #[test]
    fn the_status_lens_keeps_spec_and_labels() {
        let old =
            tree!({"metadata": {"name": "d", "labels": {"a": "b"}}, "spec": {"replicas": 1}, "status": {}});
        let mut new = tree!({"metadata": {"name": "d", "labels": {}, "annotations": {"x": "y"}},
            "spec": {"replicas": 9}, "status": {"replicas": 3}});
        Deployment::new().prepare_lens(&mut new, &old, &cx("status"));
        let wanted = tree!({"metadata": {"name": "d", "labels": {"a": "b"}, "annotations": {"x": "y"}},
            "spec": {"replicas": 1}, "status": {"replicas": 3}});
        assert_eq!(new, wanted);
    }
}
