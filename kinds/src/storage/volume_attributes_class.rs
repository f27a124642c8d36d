//! VolumeAttributesClass: attributes of volumes that can be changed while they are in use.

use super::{GROUP, parameters};
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};

pub struct VolumeAttributesClass(Info);

impl VolumeAttributesClass {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "VolumeAttributesClass", "volumeattributesclasses");
        VolumeAttributesClass(info.short(&["vac"]).cluster_scoped().returns_deleted())
    }
}

impl Kind for VolumeAttributesClass {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let driver = obj.str_at(&["driverName"]);
        let mut faults = parameters::provisioner_faults(driver, &Path::new("driverName"));
        faults.extend(parameters::faults(obj, false));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let changed = ["driverName", "parameters"].into_iter();
        let changed = changed.filter(|field| !validation::same(new.get(field), old.get(field)));
        let mut faults: Vec<Fault> =
            changed.map(|f| Fault::forbidden(f, format!("updates to {f} are forbidden."))).collect();
        faults.extend(self.validate(new, cx));
        faults
    }

    fn columns(&self) -> Vec<Column> {
        let definition = "io.k8s.api.storage.v1.VolumeAttributesClass";
        vec![Column::name(), Column::field("DriverName", "string", definition, "driverName"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), obj.str_at(&["driverName"]).into(), print::age(obj, now)]
    }
}
