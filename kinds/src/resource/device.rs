//! Devices as drivers offer them in slices: attributes, capacities, taints, and where they can be used.

use super::{device_capacity, device_config, device_taint, sized};
use crate::core::pod_spec;
use crate::validation;
use api::{Fault, Path, Value};

const MAX_POOL_NAME: usize = 253;
const MAX_ATTRIBUTES_AND_CAPACITIES: usize = 32;
const MAX_ATTRIBUTE_VALUE: usize = 64;
const MAX_TAINTS: usize = 16;
const MAX_COUNTER_SETS_USED: usize = 2;
const MAX_COUNTERS: usize = 32;
const MAX_BINDING_CONDITIONS: usize = 4;
const BINDING_FIELDS: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];

/// Faults of a pool's name: subdomains with slashes between.
pub fn pool_name_faults(name: &str, at: &Path) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::required(at, "")];
    }
    let mut faults = Vec::new();
    if name.len() > MAX_POOL_NAME {
        faults.push(Fault::too_long(at, MAX_POOL_NAME));
    }
    faults.extend(name.split('/').flat_map(|part| validation::dns_subdomain(part, at)));
    faults
}

/// Faults of one device. `old` is the stored one of the same name; `own_nodes` says that each device of the slice names
/// its nodes itself.
pub fn faults(device: &Value, old: Option<&Value>, own_nodes: bool, at: &Path) -> Vec<Fault> {
    let attributes = device.map_at(&["attributes"]);
    let capacity = device.map_at(&["capacity"]);
    let mut faults = validation::dns_label(device.str_at(&["name"]), &at.child("name"));
    let total = attributes.map_or(0, |m| m.len()) + capacity.map_or(0, |m| m.len());
    if total > MAX_ATTRIBUTES_AND_CAPACITIES {
        let shown = i64::try_from(total).unwrap_or(i64::MAX);
        let text = format!(
            "the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES_AND_CAPACITIES}"
        );
        faults.push(Fault::invalid(at, shown, text));
    }
    let names = device_config::qualified_name_faults;
    faults.extend(sized::map(attributes, usize::MAX, &at.child("attributes"), names, attribute_faults));
    let shared = device.bool_at(&["allowMultipleAllocations"]);
    faults.extend(sized::map(capacity, usize::MAX, &at.child("capacity"), names, |capacity, at| {
        device_capacity::faults(capacity, shared, at)
    }));
    let taints = device.list_at(&["taints"]);
    if !old.is_some_and(|old| validation::same(old.get("taints"), device.get("taints"))) {
        faults.extend(sized::list(taints, MAX_TAINTS, &at.child("taints"), device_taint::taint_faults));
    }
    let consumed = device.list_at(&["consumesCounters"]);
    let path = at.child("consumesCounters");
    faults.extend(sized::set(consumed, MAX_COUNTER_SETS_USED, &path, sized::by("counterSet"), |set, at| {
        counter_faults(set, "counterSet", at)
    }));
    faults.extend(node_faults(device, own_nodes, at));
    faults.extend(binding_faults(device, at));
    faults
}

/// Faults of a set of counters whose name is in `name_field`.
pub fn counter_faults(set: &Value, name_field: &str, at: &Path) -> Vec<Fault> {
    let name = set.str_at(&[name_field]);
    let mut faults = match name {
        "" => vec![Fault::required(at.child(name_field), "")],
        _ => validation::dns_label(name, &at.child(name_field)),
    };
    let (counters, path) = (set.map_at(&["counters"]), at.child("counters"));
    if counters.is_none_or(|c| c.is_empty()) {
        faults.push(Fault::required(path, ""));
        return faults;
    }
    faults.extend(sized::map(counters, MAX_COUNTERS, &path, validation::dns_label, |_, _| Vec::new()));
    faults
}

fn attribute_faults(attribute: &Value, at: &Path) -> Vec<Fault> {
    let values = attribute.as_map().into_iter().flat_map(|m| m.iter()).filter(|(_, v)| !v.is_null());
    let count = values.count();
    let mut faults = Vec::new();
    for field in ["string", "version"] {
        let Some(text) = attribute.get(field).and_then(Value::as_str) else { continue };
        if field == "version" && !is_semver(text) {
            let problem = "must be a string compatible with semver.org spec 2.0.0";
            faults.push(Fault::invalid(at.child(field), text, problem));
        }
        if text.len() > MAX_ATTRIBUTE_VALUE {
            faults.push(Fault::too_long(at.child(field), MAX_ATTRIBUTE_VALUE));
        }
    }
    if count != 1 {
        let shown = if count == 0 { "".into() } else { attribute.clone() };
        faults.push(Fault::invalid(at, shown, "exactly one value must be specified"));
    }
    faults
}

/// Three numbers, then maybe `-pre.release` and `+build`.
fn is_semver(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(a, b)| (a, Some(b)));
    let (numbers, pre) = rest.split_once('-').map_or((rest, None), |(a, b)| (a, Some(b)));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let number = |s: &str| digits(s) && (s == "0" || !s.starts_with('0'));
    let word = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(|s| word(s) && (!digits(s) || number(s))))
        && build.is_none_or(|build| build.split('.').all(word))
}

fn node_faults(device: &Value, own_nodes: bool, at: &Path) -> Vec<Fault> {
    const FIELDS: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
    let present = |field: &str| device.get(field).filter(|v| !v.is_null());
    if !own_nodes {
        let text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                    in the ResourceSlice spec";
        let any = FIELDS.iter().any(|f| present(f).is_some());
        return any.then(|| Fault::invalid(at, Value::Null, text)).into_iter().collect();
    }
    let mut faults = Vec::new();
    let mut set = Vec::new();
    match present("nodeName").and_then(Value::as_str) {
        Some("") => faults.push(Fault::invalid(at.child("nodeName"), "", "must not be empty")),
        Some(name) => {
            set.push("`nodeName`");
            faults.extend(validation::dns_subdomain(name, &at.child("nodeName")));
        }
        None => {}
    }
    if let Some(selector) = present("nodeSelector") {
        set.push("`nodeSelector`");
        faults.extend(pod_spec::node_selector(selector, &at.child("nodeSelector")));
    }
    match present("allNodes").and_then(Value::as_bool) {
        Some(true) => set.push("`allNodes`"),
        Some(false) => {
            let text = "must be either unset or set to true";
            faults.push(Fault::invalid(at.child("allNodes"), false, text));
        }
        None => {}
    }
    let text = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set \
                to true in the ResourceSlice spec";
    match set.len() {
        0 => faults.push(Fault::required(at, text)),
        1 => {}
        _ => faults.push(Fault::invalid(at, format!("{{{}}}", set.join(", ")), text)),
    }
    faults
}

/// Faults of the conditions that must hold, or not, before a pod is bound to a node with the device.
pub fn binding_faults(device: &Value, at: &Path) -> Vec<Fault> {
    let list = |field: &str| device.list_at(&[field]);
    let mut faults = Vec::new();
    for field in BINDING_FIELDS {
        faults.extend(sized::list(list(field), MAX_BINDING_CONDITIONS, &at.child(field), |item, at| {
            validation::qualified_name(item.as_str().unwrap_or_default(), at)
        }));
    }
    for field in BINDING_FIELDS {
        for (i, condition) in list(field).iter().enumerate() {
            let path = at.child(field).index(i);
            if list(field)[..i].contains(condition) {
                faults.push(Fault::duplicate(&path, condition.clone()));
            }
            if field == BINDING_FIELDS[1] && list(BINDING_FIELDS[0]).contains(condition) {
                let text = "bindingFailureConditions must not overlap with bindingConditions";
                faults.push(Fault::invalid(path, condition.clone(), text));
            }
        }
    }
    let [first, second] = BINDING_FIELDS;
    for (field, other) in [(first, second), (second, first)] {
        if list(field).is_empty() && !list(other).is_empty() {
            let shown = device.get(field).cloned().unwrap_or_default();
            faults.push(Fault::invalid(
                at.child(field),
                shown,
                format!("{field} are required to use {other}"),
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn versions_are_semantic() {
        for good in ["1.2.3", "0.0.0", "1.0.0-alpha.1+build.5", "1.0.0-0a"] {
            assert!(is_semver(good), "{good}");
        }
        for bad in ["1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3"] {
            assert!(!is_semver(bad), "{bad}");
        }
    }

    #[test]
    fn an_attribute_has_one_value() {
        let texts = |v: Value| {
            attribute_faults(&v, &Path::new("a")).iter().map(|f| f.to_string()).collect::<Vec<_>>()
        };
        assert!(texts(tree!({"int": 1})).is_empty());
        assert_eq!(texts(tree!({})), ["a: Invalid value: \"\": exactly one value must be specified"]);
    }

    #[test]
    fn devices_name_nodes_only_where_the_slice_does_not() {
        let device = tree!({"name": "d", "allNodes": true});
        assert!(faults(&device, None, true, &Path::new("d")).is_empty());
        assert_eq!(faults(&device, None, false, &Path::new("d")).len(), 1);
        let none = tree!({"name": "d"});
        assert_eq!(faults(&none, None, true, &Path::new("d")).len(), 1);
    }
}
