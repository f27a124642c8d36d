//! RuntimeClass: which container runtime a pod runs with, what it costs on top and where it can run.

use crate::core::pod_spec::{self, requirements};
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, selector, tree};
use std::collections::BTreeSet;

pub struct RuntimeClass(Info);

impl RuntimeClass {
    pub fn new() -> Self {
        let info = Info::new("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses");
        RuntimeClass(info.cluster_scoped().conditional_update().creates_on_update())
    }
}

fn toleration_faults(list: &[Value], at: &Path) -> Vec<Fault> {
    let mut faults = pod_spec::tolerations(list, at);
    let key = |t: &Value| ["key", "operator", "value", "effect"].map(|field| t.str_at(&[field]).to_owned());
    for (i, toleration) in list.iter().enumerate() {
        if list[..i].iter().any(|t| key(t) == key(toleration)) {
            let shown = internal_form(Some(toleration), "io.k8s.api.core.v1.Toleration");
            faults.push(Fault::duplicate(at.index(i), shown));
        }
    }
    faults
}

impl Kind for RuntimeClass {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let handler = obj.str_at(&["handler"]);
        let at = Path::new("handler");
        let mut faults = match handler {
            "" => vec![Fault::required(&at, "")],
            _ => validation::dns_label(handler, &at),
        };
        if let Some(fixed) = obj.at(&["overhead", "podFixed"]) {
            let limits = tree!({"limits": (fixed.clone())});
            faults.extend(requirements::container(&limits, &BTreeSet::new(), &Path::new("overhead")));
        }
        let scheduling = Path::new("scheduling");
        let selector = obj.map_at(&["scheduling", "nodeSelector"]);
        faults.extend(selector::label_faults(selector, &scheduling.child("nodeSelector")));
        let tolerations = obj.list_at(&["scheduling", "tolerations"]);
        faults.extend(toleration_faults(tolerations, &scheduling.child("tolerations")));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        faults.extend(validation::immutable(new.get("handler"), old.get("handler"), &Path::new("handler")));
        faults
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let keys = new.map_at(&["scheduling", "nodeSelector"]).into_iter().flat_map(|m| m.keys());
        keys.filter_map(|k| pod_spec::deprecated_node_label(k))
            .map(|t| format!("scheduling.nodeSelector: {t}"))
            .collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::text("Handler", "string", ""), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), obj.str_at(&["handler"]).into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_are_there_once() {
        let list = tree!([{"key": "k", "operator": "Exists"}, {"key": "k", "operator": "Exists"}]);
        let faults = toleration_faults(list.as_list().unwrap(), &Path::new("t"));
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].field, "t[1]");
    }
}
