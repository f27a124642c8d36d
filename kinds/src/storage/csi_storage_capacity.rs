//! CSIStorageCapacity: how much storage of a class is left in some part of the cluster.

use super::GROUP;
use crate::node::labels;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::selector::label_selector_faults;
use api::{Fault, Path, Value};

const DEFINITION: &str = "io.k8s.api.storage.v1.CSIStorageCapacity";

pub struct CSIStorageCapacity(Info);

impl CSIStorageCapacity {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "CSIStorageCapacity", "csistoragecapacities");
        CSIStorageCapacity(info.conditional_update())
    }
}

fn faults(obj: &Value, allow_invalid_values: bool) -> Vec<Fault> {
    let selector = obj.get("nodeTopology").filter(|s| !s.is_null());
    let mut faults: Vec<Fault> = selector
        .map(|s| label_selector_faults(s, allow_invalid_values, &Path::new("nodeTopology")))
        .unwrap_or_default();
    let class = obj.str_at(&["storageClassName"]);
    faults.extend(validation::dns_subdomain(class, &Path::new("storageClassName")));
    let capacity = obj.str_at(&["capacity"]);
    if capacity.starts_with('-') {
        faults.push(Fault::invalid("capacity", capacity, validation::NOT_NEGATIVE));
    }
    faults
}

impl Kind for CSIStorageCapacity {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, false)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let had_bad = !validation::label_selector(old.get("nodeTopology"), &Path::default()).is_empty();
        let mut faults = faults(new, had_bad);
        for field in ["nodeTopology", "storageClassName"] {
            faults.extend(validation::immutable(new.get(field), old.get(field), &Path::new(field)));
        }
        faults
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        labels::selector_warnings(new.get("nodeTopology"), &Path::new("nodeTopology"))
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("StorageClassName", "string", DEFINITION, "storageClassName"),
            Column::field("Capacity", "string", DEFINITION, "capacity"),
        ]
    }

    fn cells(&self, obj: &Value, _now: i64) -> Vec<Value> {
        let class = obj.str_at(&["storageClassName"]);
        vec![print::name(obj), class.into(), print::or_else(obj.str_at(&["capacity"]), "<unset>").into()]
    }
}
