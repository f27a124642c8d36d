//! ResourceSlice: some of the devices of a driver's pool.

use super::{GROUP, device, device_taint, sized};
use crate::core::pod_spec;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.resource.v1.ResourceSliceSpec";
const POOL: &str = "io.k8s.api.resource.v1.ResourcePool";
const MAX_DEVICES: usize = 128;
const MAX_ADVANCED_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
/// Fields of attributes and devices whose gates are off by default: dropped unless stored already.
const GATED_ATTRIBUTES: [&str; 4] = ["bools", "ints", "strings", "versions"];
const GATED_DEVICE: &str = "nodeAllocatableResourceMappings";
const ONE_NODE_FIELD: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

pub struct ResourceSlice(Info);

impl ResourceSlice {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "ResourceSlice", "resourceslices");
        ResourceSlice(info.cluster_scoped().with_generation().returns_deleted())
    }
}

fn devices(obj: &Value) -> &[Value] {
    obj.list_at(&["spec", "devices"])
}

fn pool_faults(pool: Option<&Value>, at: &Path) -> Vec<Fault> {
    let number = |field: &str| pool.and_then(|p| p.i64_at(&[field])).unwrap_or_default();
    let name = pool.map(|p| p.str_at(&["name"])).unwrap_or_default();
    let mut faults = device::pool_name_faults(name, &at.child("name"));
    let count = number("resourceSliceCount");
    if count <= 0 {
        faults.push(Fault::invalid(at.child("resourceSliceCount"), count, "must be greater than zero"));
    }
    let generation = number("generation");
    if generation < 0 {
        let text = "must be greater than or equal to zero";
        faults.push(Fault::invalid(at.child("generation"), generation, text));
    }
    faults
}

fn node_faults(obj: &Value, at: &Path) -> Vec<Fault> {
    let present = |field: &str| obj.at(&["spec", field]).filter(|v| !v.is_null());
    let mut faults = Vec::new();
    let mut set = Vec::new();
    match present("nodeName").and_then(Value::as_str) {
        Some("") => {
            let text = "must be either unset or set to a non-empty string";
            faults.push(Fault::invalid(at.child("nodeName"), "", text));
        }
        Some(name) => {
            set.push("`nodeName`");
            faults.extend(validation::dns_subdomain(name, &at.child("nodeName")));
        }
        None => {}
    }
    if let Some(selector) = present("nodeSelector") {
        set.push("`nodeSelector`");
        let path = at.child("nodeSelector");
        let terms = selector.list_at(&["nodeSelectorTerms"]);
        faults.extend(pod_spec::node_selector(selector, &path));
        if terms.len() != 1 {
            let text = "must have exactly one node selector term";
            faults.push(Fault::invalid(path.child("nodeSelectorTerms"), terms.to_vec(), text));
        }
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        match present(field).and_then(Value::as_bool) {
            Some(true) => set.push(shown),
            Some(false) => {
                let text = "must be either unset or set to true";
                faults.push(Fault::invalid(at.child(field), false, text));
            }
            None => {}
        }
    }
    match set.len() {
        0 => faults.push(Fault::required(at, ONE_NODE_FIELD)),
        1 => {}
        _ => {
            let text = format!("{ONE_NODE_FIELD}, but multiple fields are set");
            faults.push(Fault::invalid(at, format!("{{{}}}", set.join(", ")), text));
        }
    }
    faults
}

fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec");
    let mut faults = pod_spec::csi_driver_name(obj.str_at(&["spec", "driver"]), &at.child("driver"));
    faults.extend(pool_faults(obj.at(&["spec", "pool"]), &at.child("pool")));
    if let Some(old) = old {
        let fields: [&[&str]; 3] = [&["spec", "pool", "name"], &["spec", "driver"], &["spec", "nodeName"]];
        for path in fields {
            let shown = Path::new(&path.join("."));
            faults.extend(validation::immutable(obj.at(path), old.at(path), &shown));
        }
    }
    faults.extend(node_faults(obj, &at));
    let is_set = |field: &str| obj.at(&["spec", field]).is_some_and(|v| !v.is_null());
    if is_set("sharedCounters") && is_set("devices") {
        faults.push(Fault::invalid(&at, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let advanced =
        |d: &Value| !d.list_at(&["taints"]).is_empty() || !d.list_at(&["consumesCounters"]).is_empty();
    let max = if devices(obj).iter().any(advanced) { MAX_ADVANCED_DEVICES } else { MAX_DEVICES };
    let own_nodes = obj.bool_at(&["spec", "perDeviceNodeSelection"]);
    faults.extend(sized::set(devices(obj), max, &at.child("devices"), sized::by("name"), |entry, at| {
        let mut stored = old.map(devices).unwrap_or_default().iter();
        let stored = stored.find(|o| o.str_at(&["name"]) == entry.str_at(&["name"]));
        device::faults(entry, stored, own_nodes, at)
    }));
    let sets = obj.list_at(&["spec", "sharedCounters"]);
    let path = at.child("sharedCounters");
    faults.extend(sized::set(sets, MAX_COUNTER_SETS, &path, sized::by("name"), |set, at| {
        device::counter_faults(set, "name", at)
    }));
    faults
}

/// Drops what gates that are off hide, unless the stored slice has any of it.
fn drop_disabled(obj: &mut Value, old: Option<&Value>) {
    let attributes = |d: &Value| -> Vec<Value> {
        d.map_at(&["attributes"]).into_iter().flat_map(|m| m.values().cloned()).collect()
    };
    let stored = old.map(devices).unwrap_or_default();
    let has_list = |a: &Value| GATED_ATTRIBUTES.iter().any(|f| a.get(f).is_some());
    let lists_stored = stored.iter().any(|d| attributes(d).iter().any(has_list));
    let mappings_stored = stored.iter().any(|d| d.map_at(&[GATED_DEVICE]).is_some_and(|m| !m.is_empty()));
    for entry in obj.at_mut(&["spec", "devices"]).and_then(Value::as_list_mut).into_iter().flatten() {
        if !mappings_stored {
            entry.unset(&[GATED_DEVICE]);
        }
        let attributes = entry.get_mut("attributes").and_then(Value::as_map_mut).filter(|_| !lists_stored);
        for (_, attribute) in attributes.into_iter().flat_map(|m| m.iter_mut()) {
            for field in GATED_ATTRIBUTES {
                attribute.unset(&[field]);
            }
        }
    }
}

impl Kind for ResourceSlice {
    fn info(&self) -> &Info {
        &self.0
    }

    fn prepare_create(&self, obj: &mut Value, cx: &Cx<'_>) {
        device_taint::fill_times(obj, cx.now);
        drop_disabled(obj, None);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, cx: &Cx<'_>) {
        device_taint::fill_times(new, cx.now);
        drop_disabled(new, Some(old));
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(new, Some(old))
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let driver = new.str_at(&["spec", "driver"]);
        if driver == driver.to_lowercase() {
            return Vec::new();
        }
        let quoted = api::quote(driver);
        vec![format!("spec.driver: driver names should be lowercase; {quoted} contains uppercase characters")]
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        let text = |field: &str| obj.str_at(&["spec", field]).to_owned();
        vec![("spec.nodeName", text("nodeName")), ("spec.driver", text("driver"))]
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Node", "string", SPEC, "nodeName"),
            Column::field("Driver", "string", SPEC, "driver"),
            Column::field("Pool", "string", POOL, "name"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![
            print::name(obj),
            obj.str_at(&["spec", "nodeName"]).into(),
            obj.str_at(&["spec", "driver"]).into(),
            obj.str_at(&["spec", "pool", "name"]).into(),
            print::age(obj, now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_slice_says_where_its_devices_are() {
        let slice = |spec: Value| tree!({"spec": spec});
        let pool = tree!({"name": "p", "resourceSliceCount": 1});
        let good = slice(tree!({"driver": "d.example", "pool": (pool.clone()), "nodeName": "n"}));
        assert!(faults(&good, None).is_empty());
        let none = slice(tree!({"driver": "d.example", "pool": (pool.clone())}));
        assert_eq!(faults(&none, None)[0].to_string(), format!("spec: Required value: {ONE_NODE_FIELD}"));
        let two = slice(tree!({"driver": "d.example", "pool": pool, "nodeName": "n", "allNodes": true}));
        assert_eq!(
            faults(&two, None)[0].to_string(),
            format!(
                "spec: Invalid value: \"{{`nodeName`, `allNodes`}}\": {ONE_NODE_FIELD}, but multiple fields are set"
            )
        );
    }

    #[test]
    fn hidden_fields_are_dropped_unless_stored() {
        let with = tree!({"spec": {"devices": [{"name": "d", "attributes": {"a": {"ints": [1]}}}]}});
        let mut new = with.clone();
        drop_disabled(&mut new, None);
        assert_eq!(new, tree!({"spec": {"devices": [{"name": "d", "attributes": {"a": {}}}]}}));
        new = with.clone();
        drop_disabled(&mut new, Some(&with));
        assert_eq!(new, with);
    }
}
