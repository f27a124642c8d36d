//! RuntimeClass: which container runtime a pod runs with, what it costs on top and where it can run.

use super::labels;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value, selector};

pub struct RuntimeClass(Info);

impl RuntimeClass {
    pub fn new() -> Self {
        let info = Info::new("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses");
        RuntimeClass(info.cluster_scoped().conditional_update().creates_on_update())
    }
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
        let scheduling = Path::new("scheduling");
        let selector = obj.map_at(&["scheduling", "nodeSelector"]);
        faults.extend(selector::label_faults(selector, &scheduling.child("nodeSelector")));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        faults.extend(validation::immutable(new.get("handler"), old.get("handler"), &Path::new("handler")));
        faults
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let keys = new.map_at(&["scheduling", "nodeSelector"]).into_iter().flat_map(|m| m.keys());
        keys.filter_map(|k| labels::deprecation(k)).map(|t| format!("scheduling.nodeSelector: {t}")).collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::text("Handler", "string", ""), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), obj.str_at(&["handler"]).into(), print::age(obj, now)]
    }
}
