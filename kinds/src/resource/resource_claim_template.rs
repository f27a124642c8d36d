//! ResourceClaimTemplate: what the claims of pods are made from.

use super::{GROUP, device_claim};
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, names, selector};

const SPEC: &str = "io.k8s.api.resource.v1.ResourceClaimTemplateSpec";
const MAX_ANNOTATIONS: usize = 256 * 1024;

pub struct ResourceClaimTemplate(Info);

impl ResourceClaimTemplate {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "ResourceClaimTemplate", "resourceclaimtemplates");
        ResourceClaimTemplate(info.returns_deleted())
    }
}

/// A template's metadata has labels and annotations and nothing else.
fn meta_faults(meta: Option<&Value>, at: &Path) -> Vec<Fault> {
    let annotations = meta.and_then(|m| m.map_at(&["annotations"]));
    let path = at.child("annotations");
    let mut faults = Vec::new();
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flat_map(|m| m.iter()) {
        faults.extend(validation::texts(&path, key, names::is_qualified_name(&key.to_lowercase())));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MAX_ANNOTATIONS {
        faults.push(Fault::too_long(path, MAX_ANNOTATIONS));
    }
    faults.extend(selector::label_faults(meta.and_then(|m| m.map_at(&["labels"])), &at.child("labels")));
    let fields = meta.and_then(Value::as_map).into_iter().flat_map(|m| m.iter());
    let extra =
        fields.filter(|(key, value)| !matches!(key.as_str(), "labels" | "annotations") && !value.is_empty());
    faults.extend(extra.map(|(key, _)| Fault::forbidden(at.child(key), "cannot be set")));
    faults
}

impl Kind for ResourceClaimTemplate {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        device_claim::fill(obj.at_mut(&["spec", "spec"]));
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec");
        let mut faults = meta_faults(obj.at(&["spec", "metadata"]), &at.child("metadata"));
        faults.extend(device_claim::faults(obj.at(&["spec", "spec"]), &at.child("spec")));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        if !validation::same(new.get("spec"), old.get("spec")) {
            let shown = internal_form(new.get("spec"), SPEC);
            faults.push(Fault::invalid("spec", shown, validation::IMMUTABLE));
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), print::age(obj, now)]
    }
}
