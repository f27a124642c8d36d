//! ReplicaSet: so many pods of a template.

use super::deployment::template_faults;
use super::template;
use super::workload::{self, default_to};
use crate::validation::{self, not_negative};
use crate::{Column, Cx, Info, Kind, keep_field, print, reset_status};
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.apps.v1.ReplicaSetSpec";
const STATUS: &str = "io.k8s.api.apps.v1.ReplicaSetStatus";

pub struct ReplicaSet(Info);

impl ReplicaSet {
    pub fn new() -> Self {
        let info = Info::new("apps", "v1", "ReplicaSet", "replicasets")
            .short(&["rs"])
            .categories(&["all"])
            .with_generation()
            .with_scale("spec.replicas", "status.replicas", "spec.selector")
            .with_status();
        ReplicaSet(info)
    }
}

impl Kind for ReplicaSet {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_to(obj, &["spec", "replicas"], 1);
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

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = spec_faults(new, Some(old));
        let at = Path::new("spec").child("selector");
        let path = ["spec", "selector"];
        faults.extend(validation::immutable(new.at(&path), old.at(&path), &at));
        faults
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        replica_status_faults(new, &["terminatingReplicas"])
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        template_warnings(new, old, cx)
    }

    fn columns(&self) -> Vec<Column> {
        replica_columns(SPEC, STATUS)
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        replica_cells(obj, print::label_selector(obj.at(&["spec", "selector"])), now)
    }
}

fn spec_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let Some(spec) = obj.get("spec") else { return vec![Fault::required(at.child("selector"), "")] };
    let mut faults = not_negative(spec.i64_at(&["replicas"]), &at.child("replicas"));
    faults.extend(not_negative(spec.i64_at(&["minReadySeconds"]), &at.child("minReadySeconds")));
    // Upstream says deployment here, too.
    faults.extend(workload::selector_faults(spec.get("selector"), "deployment", &at.child("selector")));
    faults.extend(template_faults(spec, old.and_then(|o| o.get("spec")), &at));
    faults
}

/// Faults of the status of a ReplicaSet or ReplicationController.
pub(crate) fn replica_status_faults(obj: &Value, more_counters: &[&str]) -> Vec<Fault> {
    let at = Path::new("status");
    let Some(status) = obj.get("status") else { return Vec::new() };
    let mut counters =
        vec!["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    counters.extend(more_counters);
    let mut faults = workload::counter_faults(status, &counters, &at);
    let capped = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    faults.extend(workload::ceiling_faults(status, &capped, "readyReplicas", &at));
    faults
}

/// Warnings about the name (of a new object) and about the template, where the spec changed.
pub(crate) fn template_warnings(new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
    if !cx.subresource.is_empty() || old.is_some_and(|old| !workload::differs(new, old, &["spec"])) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(workload::name_warning(new));
    }
    warnings.extend(template::warnings_at(new, old, &["spec", "template"]));
    warnings
}

/// The columns of ReplicaSets and ReplicationControllers.
pub(crate) fn replica_columns(spec: &'static str, status: &'static str) -> Vec<Column> {
    let mut columns = vec![
        Column::name(),
        Column::field("Desired", "integer", spec, "replicas"),
        Column::field("Current", "integer", status, "replicas"),
        Column::field("Ready", "integer", status, "readyReplicas"),
        Column::age(),
    ];
    columns.extend(workload::container_columns());
    columns.push(Column::field("Selector", "string", spec, "selector").wide());
    columns
}

/// The cells of ReplicaSets and ReplicationControllers.
pub(crate) fn replica_cells(obj: &Value, selector: String, now: i64) -> Vec<Value> {
    let (containers, images) = print::containers(obj.at(&["spec", "template", "spec"]));
    vec![
        print::name(obj),
        workload::count_cell(obj, &["spec", "replicas"]),
        workload::count_cell(obj, &["status", "replicas"]),
        workload::count_cell(obj, &["status", "readyReplicas"]),
        print::age(obj, now),
        containers.into(),
        images.into(),
        selector.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn counters_of_status_stay_below_replicas() {
        let obj = tree!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}});
        assert_eq!(
            texts(&replica_status_faults(&obj, &[])),
            [
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            ]
        );
    }

    #[test]
    fn a_row_shows_numbers_and_the_selector() {
        let obj = tree!({"metadata": {"name": "r"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"q": "r"}},
            "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}}});
        let wanted = tree!(["r", 2, 0, 0, "<unknown>", "c,d", "i,j", "q=r"]);
        assert_eq!(Value::List(ReplicaSet::new().cells(&obj, 0)), wanted);
    }
}
