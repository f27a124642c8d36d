//! ConfigMap: text and bytes by key, optionally frozen.

use crate::{Column, Cx, Info, Kind};
use api::{Fault, Path, Value};

const DEFINITION: &str = "io.k8s.api.core.v1.ConfigMap";
/// Keys and values of all entries together; upstream's limit for config maps and secrets.
const MAX_BYTES: usize = 1024 * 1024;

pub struct ConfigMap(Info);

impl ConfigMap {
    pub fn new() -> Self {
        ConfigMap(Info::new("", "v1", "ConfigMap", "configmaps").short(&["cm"]))
    }
}

impl Kind for ConfigMap {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let total: usize = ["data", "binaryData"]
            .iter()
            .filter_map(|field| obj.map_at(&[field]))
            .flat_map(|map| map.values())
            .map(|v| v.as_str().map_or(0, str::len))
            .sum();
        if total > MAX_BYTES {
            faults.push(Fault::too_long(Path::new(""), MAX_BYTES));
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::field("Data", "string", DEFINITION, "data"), Column::age()]
    }

    fn fields(&self, _obj: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
