//! CSINode: the CSI drivers that are installed on a node, and how many volumes each can attach there.

use super::GROUP;
use crate::core::pod_spec;
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};
use std::collections::HashSet;

const MAX_NODE_ID: usize = 256;
const DRIVERS: [&str; 2] = ["spec", "drivers"];

pub struct CSINode(Info);

impl CSINode {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "CSINode", "csinodes");
        CSINode(info.cluster_scoped().conditional_update().returns_deleted())
    }
}

fn driver_faults<'v>(entry: &'v Value, seen: &mut HashSet<&'v str>, at: &Path) -> Vec<Fault> {
    let (name, id) = (entry.str_at(&["name"]), entry.str_at(&["nodeID"]));
    let mut faults = pod_spec::csi_driver_name(name, &at.child("name"));
    faults.extend(validation::required(id, &at.child("nodeID")));
    if id.len() > MAX_NODE_ID {
        let text = format!("must be {MAX_NODE_ID} characters or less");
        faults.push(Fault::invalid(at.child("nodeID"), id, text));
    }
    let count = entry.i64_at(&["allocatable", "count"]);
    faults.extend(validation::not_negative(count, &at.child("allocatable").child("count")));
    if !seen.insert(name) {
        faults.push(Fault::duplicate(at.child("name"), name));
    }
    let mut keys = HashSet::new();
    for key in entry.list_at(&["topologyKeys"]).iter().filter_map(Value::as_str) {
        faults.extend(validation::required(key, at));
        if !keys.insert(key) {
            faults.push(Fault::duplicate(at, key));
        }
        faults.extend(validation::qualified_name(key, at));
    }
    faults
}

impl Kind for CSINode {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec").child("drivers");
        let mut seen = HashSet::new();
        let drivers = obj.list_at(&DRIVERS).iter().enumerate();
        drivers.flat_map(|(i, entry)| driver_faults(entry, &mut seen, &at.index(i))).collect()
    }

    /// What a driver says of itself stays, but for the number of volumes.
    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        let without_count = |entry: &Value| {
            let mut entry = entry.clone();
            entry.unset(&["allocatable"]);
            entry
        };
        for before in old.list_at(&DRIVERS) {
            let same_name = new.list_at(&DRIVERS).iter();
            for now in same_name.filter(|e| e.str_at(&["name"]) == before.str_at(&["name"])) {
                let (now, before) = (without_count(now), without_count(before));
                if !validation::same(Some(&now), Some(&before)) {
                    let shown = internal_form(Some(&now), "io.k8s.api.storage.v1.CSINodeDriver");
                    faults.push(Fault::invalid("spec.drivers", shown, validation::IMMUTABLE));
                }
            }
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        let text = "Drivers indicates the number of CSI drivers registered on the node";
        vec![Column::name(), Column::text("Drivers", "integer", text), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let count = i64::try_from(obj.list_at(&DRIVERS).len()).unwrap_or(i64::MAX);
        vec![print::name(obj), count.into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn drivers_and_their_keys_are_there_once() {
        let drivers =
            tree!([{"name": "d", "nodeID": ""}, {"name": "d", "nodeID": "x", "topologyKeys": ["a", "a"]}]);
        let mut seen = HashSet::new();
        let at = Path::new("spec").child("drivers");
        let list = drivers.as_list().unwrap().iter().enumerate();
        let texts: Vec<String> = list
            .flat_map(|(i, d)| driver_faults(d, &mut seen, &at.index(i)))
            .map(|f| f.to_string())
            .collect();
        assert_eq!(
            texts,
            [
                "spec.drivers[0].nodeID: Required value",
                "spec.drivers[1].name: Duplicate value: \"d\"",
                "spec.drivers[1]: Duplicate value: \"a\"",
            ]
        );
    }
}
