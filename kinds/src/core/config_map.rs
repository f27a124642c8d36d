//! ConfigMap: text and bytes by key, optionally frozen.

use super::data;
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Path, Value, names};

const DEFINITION: &str = "io.k8s.api.core.v1.ConfigMap";

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
        for field in ["data", "binaryData"] {
            let path = Path::new(field);
            for key in obj.map_at(&[field]).into_iter().flat_map(|m| m.keys()) {
                let at = path.key(key);
                faults.extend(names::is_config_map_key(key).into_iter().map(|e| Fault::invalid(&at, key, e)));
                if field == "data" && obj.at(&["binaryData", key]).is_some() {
                    faults.push(Fault::invalid(at, key, "duplicate of key present in binaryData"));
                }
            }
        }
        let text = obj.map_at(&["data"]).into_iter().flat_map(|m| m.values()).filter_map(Value::as_str);
        let bytes = obj.map_at(&["binaryData"]).into_iter().flat_map(|m| m.values());
        let total = text.map(str::len).sum::<usize>() + bytes.map(data::decoded_len).sum::<usize>();
        if total > data::MAX_BYTES {
            faults.push(Fault::too_long("[]", data::MAX_BYTES));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = data::frozen(new, old, &["data", "binaryData"]);
        faults.extend(self.validate(new, cx));
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::field("Data", "string", DEFINITION, "data"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let count = |field: &str| obj.map_at(&[field]).map_or(0, |m| m.len());
        let entries = i64::try_from(count("data") + count("binaryData")).unwrap_or(i64::MAX);
        vec![print::name(obj), entries.into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn keys_are_checked_and_unique() {
        let map = tree!({"data": {"..": "", "same": "a"}, "binaryData": {"same": "AA=="}});
        assert_eq!(
            texts(&ConfigMap::new().validate(&map, &cx(""))),
            [
                "data[..]: Invalid value: \"..\": must not be '..'",
                "data[same]: Invalid value: \"same\": duplicate of key present in binaryData",
            ]
        );
    }

    #[test]
    fn frozen_maps_stay_as_they_are() {
        let old = tree!({"data": {"k": "v"}, "immutable": true});
        let new = tree!({"data": {"k": "w"}});
        assert_eq!(
            texts(&ConfigMap::new().validate_update(&new, &old, &cx(""))),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
    }
}
