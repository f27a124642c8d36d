//! DaemonSet: one pod of a template on every node that fits.

use super::template;
use super::workload::{self, default_text, default_to};
use crate::internal_form::internal_form;
use crate::validation;
use crate::{Column, Cx, Info, Kind, keep_all_but, keep_field, print, reset_status};
use api::selector::LabelSelector;
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.apps.v1.DaemonSetSpec";
const STATUS: &str = "io.k8s.api.apps.v1.DaemonSetStatus";
const STRATEGY: &str = "io.k8s.api.apps.v1.DaemonSetUpdateStrategy";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
/// Counts changes of the template; older clients read it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub struct DaemonSet(Info);

impl DaemonSet {
    pub fn new() -> Self {
        let info = Info::new("apps", "v1", "DaemonSet", "daemonsets")
            .short(&["ds"])
            .categories(&["all"])
            .with_generation()
            .with_status();
        DaemonSet(info)
    }
}

impl Kind for DaemonSet {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_text(obj, &["spec", "updateStrategy", "type"], "RollingUpdate");
        if obj.str_at(&["spec", "updateStrategy", "type"]) == "RollingUpdate" {
            default_to(obj, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"], 1);
            default_to(obj, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"], 0);
        }
        default_to(obj, &["spec", "revisionHistoryLimit"], 10);
        template::fill_at(obj, &["spec", "template"]);
        set_template_generation(obj, template_generation(obj));
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        set_template_generation(obj, template_generation(obj).max(1));
        template::drop_disabled_at(obj, None, &["spec", "template"]);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        template::drop_disabled_at(new, Some(old), &["spec", "template"]);
        keep_field(new, old, "status");
        let changed = i64::from(workload::differs(new, old, &["spec", "template"]));
        set_template_generation(new, template_generation(old) + changed);
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_all_but(new, old, &["status", "metadata"]);
        set_template_generation(new, template_generation(old));
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let (at, path) = (Path::new("spec").child("selector"), ["spec", "selector"]);
        let mut faults = validation::immutable(new.at(&path), old.at(&path), &at);
        faults.extend(spec_faults(new, Some(old)));
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let Some(status) = new.get("status") else { return Vec::new() };
        let counters = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        let mut faults = workload::counter_faults(status, &counters, &Path::new("status"));
        faults.extend(workload::collision_fault(new, old));
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        let path = ["spec", "template"];
        let changed = old.is_none_or(|old| workload::differs(new, old, &path));
        if !cx.subresource.is_empty() || !changed {
            return Vec::new();
        }
        template::warnings_at(new, old, &path)
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::name(),
            Column::field("Desired", "integer", STATUS, "desiredNumberScheduled"),
            Column::field("Current", "integer", STATUS, "currentNumberScheduled"),
            Column::field("Ready", "integer", STATUS, "numberReady"),
            Column::field("Up-to-date", "integer", STATUS, "updatedNumberScheduled"),
            Column::field("Available", "integer", STATUS, "numberAvailable"),
            Column::field("Node Selector", "string", POD_SPEC, "nodeSelector"),
            Column::age(),
        ];
        columns.extend(workload::container_columns());
        columns.push(Column::field("Selector", "string", SPEC, "selector").wide());
        columns
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let (containers, images) = print::containers(obj.at(&["spec", "template", "spec"]));
        let count = |field: &str| workload::count_cell(obj, &["status", field]);
        vec![
            print::name(obj),
            count("desiredNumberScheduled"),
            count("currentNumberScheduled"),
            count("numberReady"),
            count("updatedNumberScheduled"),
            count("numberAvailable"),
            print::labels(obj.map_at(&["spec", "template", "spec", "nodeSelector"])).into(),
            print::age(obj, now),
            containers.into(),
            images.into(),
            print::label_selector(obj.at(&["spec", "selector"])).into(),
        ]
    }
}

fn template_generation(obj: &Value) -> i64 {
    obj.str_at(&["metadata", "annotations", TEMPLATE_GENERATION]).parse().unwrap_or(0)
}

fn set_template_generation(obj: &mut Value, generation: i64) {
    obj.set(&["metadata", "annotations", TEMPLATE_GENERATION], generation.to_string());
}

fn spec_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let selector = spec.get("selector").filter(|v| !v.is_null());
    let template = spec.get("template");
    let template_at = at.child("template");
    let mut faults = validation::label_selector(selector, &at.child("selector"));
    if let Ok(selector) = LabelSelector::from_value(selector) {
        faults.extend(workload::label_mismatch(&selector, template, &template_at));
    }
    if let Some(selector) = selector {
        faults.extend(workload::empty_selector_fault(selector, "daemonset", &at.child("selector")));
    }
    faults.extend(template::faults(template, old.and_then(|o| o.at(&["spec", "template"])), &template_at));
    faults.extend(workload::always_restarts(template, "DaemonSet", &template_at));
    faults.extend(workload::counter_faults(spec, &["minReadySeconds"], &at));
    faults.extend(strategy_faults(spec.get("updateStrategy").unwrap_or(&empty), &at.child("updateStrategy")));
    faults.extend(workload::counter_faults(spec, &["revisionHistoryLimit"], &at));
    faults
}

fn strategy_faults(strategy: &Value, at: &Path) -> Vec<Fault> {
    let rolling_at = at.child("rollingUpdate");
    match (strategy.str_at(&["type"]), strategy.get("rollingUpdate").filter(|v| !v.is_null())) {
        ("OnDelete", _) => Vec::new(),
        ("RollingUpdate", None) => vec![Fault::required(rolling_at, "")],
        ("RollingUpdate", Some(rolling)) => rolling_faults(rolling, &rolling_at),
        _ => {
            let shown = internal_form(Some(strategy), STRATEGY);
            vec![Fault::not_supported(at, shown, &["RollingUpdate", "OnDelete"])]
        }
    }
}

fn rolling_faults(rolling: &Value, at: &Path) -> Vec<Fault> {
    let fields = ["maxUnavailable", "maxSurge"];
    let mut faults: Vec<Fault> =
        fields.iter().flat_map(|field| workload::amount_faults(rolling, field, at)).collect();
    faults.extend(fields.iter().flat_map(|field| workload::percent_faults(rolling, field, at)));
    let surge = rolling.get("maxSurge");
    let any = |value| workload::int_or_percent(value) != 0;
    match (any(rolling.get("maxUnavailable")), any(surge)) {
        (true, true) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            faults.push(Fault::invalid(at.child("maxSurge"), surge.cloned().unwrap_or_default(), detail));
        }
        (false, false) => {
            faults.push(Fault::required(at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
        }
        _ => {}
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn the_template_generation_counts_changes_of_the_template() {
        let kind = DaemonSet::new();
        let mut old = tree!({"spec": {"template": {"spec": {"hostNetwork": true}}}});
        kind.prepare_create(&mut old, &cx(""));
        assert_eq!(template_generation(&old), 1);
        let mut same = tree!({"spec": {"minReadySeconds": 4, "template": {"spec": {"hostNetwork": true}}}});
        kind.prepare_update(&mut same, &old, &cx(""));
        assert_eq!(template_generation(&same), 1);
        let mut changed = tree!({"spec": {"template": {"spec": {"hostNetwork": false}}}});
        kind.prepare_update(&mut changed, &old, &cx(""));
        assert_eq!(template_generation(&changed), 2);
    }

    #[test]
    fn exactly_one_of_surge_and_unavailable_is_used() {
        let at = Path::new("r");
        let faults = rolling_faults(&tree!({"maxUnavailable": 0, "maxSurge": 0}), &at);
        assert_eq!(texts(&faults), ["r.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"]);
        let faults = rolling_faults(&tree!({"maxUnavailable": 1, "maxSurge": "10%"}), &at);
        assert_eq!(
            texts(&faults),
            ["r.maxSurge: Invalid value: \"10%\": may not be set when maxUnavailable is non-zero"]
        );
        assert!(rolling_faults(&tree!({"maxUnavailable": 1, "maxSurge": 0}), &at).is_empty());
    }
}
