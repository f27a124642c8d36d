//! ReplicationController: so many pods of a template, chosen by plain labels. ReplicaSet has taken its place.

use super::pod_spec;
use crate::apps::replica_set::{replica_cells, replica_columns, replica_status_faults, template_warnings};
use crate::apps::template;
use crate::apps::workload::{self, default_to};
use crate::validation::not_negative;
use crate::{Column, Cx, Info, Kind, Propagation, keep_field, print, reset_status};
use api::selector::LabelSelector;
use api::{Fault, Map, Path, Value};

const SPEC: &str = "io.k8s.api.core.v1.ReplicationControllerSpec";
const STATUS: &str = "io.k8s.api.core.v1.ReplicationControllerStatus";
const TEMPLATE: [&str; 2] = ["spec", "template"];

pub struct ReplicationController(Info);

impl ReplicationController {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "ReplicationController", "replicationcontrollers")
            .short(&["rc"])
            .categories(&["all"])
            .prefix("controllers")
            .with_generation()
            .with_scale("spec.replicas", "status.replicas", "spec.selector")
            .with_status();
        ReplicationController(info)
    }
}

impl Kind for ReplicationController {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_to(obj, &["spec", "replicas"], 1);
        let labels = obj.map_at(&["spec", "template", "metadata", "labels"]).cloned().unwrap_or_default();
        for path in [["spec", "selector"], ["metadata", "labels"]] {
            if !labels.is_empty() && obj.map_at(&path).is_none_or(Map::is_empty) {
                obj.set(&path, labels.clone());
            }
        }
        if let Some(template) = obj.at_mut(&TEMPLATE).filter(|t| !t.is_null()) {
            pod_spec::fill_template(template);
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        reset_status(obj);
        template::drop_disabled_at(obj, None, &TEMPLATE);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        template::drop_disabled_at(new, Some(old), &TEMPLATE);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        spec_faults(new, Some(old))
    }

    fn validate_lens(&self, new: &Value, _old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        replica_status_faults(new, &[])
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        template_warnings(new, old, cx)
    }

    fn columns(&self) -> Vec<Column> {
        replica_columns(SPEC, STATUS)
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        replica_cells(obj, print::labels(obj.map_at(&["spec", "selector"])), now)
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        vec![("status.replicas", obj.i64_at(&["status", "replicas"]).unwrap_or(0).to_string())]
    }

    fn default_propagation(&self) -> Propagation {
        Propagation::Orphan
    }
}

fn spec_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = obj.get("spec").unwrap_or(&empty);
    let mut faults = not_negative(spec.i64_at(&["minReadySeconds"]), &at.child("minReadySeconds"));
    let selector = spec.map_at(&["selector"]).filter(|s| !s.is_empty());
    if selector.is_none() {
        faults.push(Fault::required(at.child("selector"), ""));
    }
    match spec.i64_at(&["replicas"]) {
        Some(replicas) => faults.extend(not_negative(Some(replicas), &at.child("replicas"))),
        None => faults.push(Fault::required(at.child("replicas"), "")),
    }
    let template_at = at.child("template");
    let Some(template) = spec.get("template").filter(|t| !t.is_null()) else {
        faults.push(Fault::required(template_at, ""));
        return faults;
    };
    if let Some(labels) = selector {
        let selector = LabelSelector::from_labels(labels);
        faults.extend(workload::label_mismatch(&selector, Some(template), &template_at));
    }
    faults.extend(template::faults(Some(template), old.and_then(|o| o.at(&TEMPLATE)), &template_at));
    faults.extend(workload::always_restarts(Some(template), "ReplicationController", &template_at));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn selector_and_labels_come_from_the_template() {
        let mut obj = tree!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}}});
        ReplicationController::new().fill(&mut obj, "v1");
        assert_eq!(obj.at(&["spec", "selector"]), Some(&tree!({"a": "b"})));
        assert_eq!(obj.at(&["metadata", "labels"]), Some(&tree!({"a": "b"})));
        assert_eq!(obj.i64_at(&["spec", "replicas"]), Some(1));
    }

    #[test]
    fn selector_and_template_are_required() {
        let faults = spec_faults(&tree!({"spec": {"replicas": (-1)}}), None);
        assert_eq!(
            texts(&faults),
            [
                "spec.selector: Required value",
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.template: Required value",
            ]
        );
    }
}
