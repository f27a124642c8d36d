//! Resources of containers and pods: defaults, rounding. What they come to is in `api::resources`.
//! Source: `defaults.go`.

use super::defaults::each;
use api::{Map, Value, quantity::Quantity};

pub use api::resources::{
    Amounts, amounts, is_extended, is_huge_page, is_native, is_pod_level, page_size, qos_class, quantity,
    sum_over_containers,
};

const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGER: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Known to the system without a domain before it.
pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// What a container may ask for without a domain before it.
pub fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

/// Counted in whole numbers.
pub fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// Requests may be below limits.
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Rounds `limits` and `requests` up to thousandths.
pub fn round_requirements(requirements: Option<&mut Value>) {
    if let Some(requirements) = requirements {
        round_list(requirements.get_mut("limits"));
        round_list(requirements.get_mut("requests"));
    }
}

/// Rounds the amounts of a `ResourceList` up to thousandths.
pub fn round_list(list: Option<&mut Value>) {
    /// Beyond this, thousandths do not fit and fractions do not occur.
    const BIG: i64 = 1 << 50;
    for (_, value) in list.and_then(Value::as_map_mut).into_iter().flat_map(Map::iter_mut) {
        let Some(exact) = quantity(value) else { continue };
        let rounded = Quantity::from_milli(exact.milli(), exact.format());
        if exact.value().abs() < BIG && rounded != exact {
            *value = rounded.to_string().into();
        }
    }
}

/// Limits without a request are requests as well.
pub fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container.map_at(&["resources", "limits"]).cloned() else { return };
    fill_missing(container, "requests", limits);
}

fn fill_missing(holder: &mut Value, field: &str, amounts: Map) {
    if amounts.is_empty() {
        return;
    }
    let map = holder.make_map(&["resources", field]);
    for (name, value) in amounts {
        if !map.contains_key(&name) {
            map.insert(name, value);
        }
    }
    map.sort();
}

/// Fills resources of the pod as a whole, where some are given: limits of huge pages from the containers' limits,
/// requests from the containers' requests, then from its own limits.
pub fn fill_pod_level(spec: &mut Value) {
    if spec.get("resources").is_none_or(Value::is_null) {
        return;
    }
    let has = |spec: &Value, field: &str| spec.map_at(&["resources", field]).is_some_and(|m| !m.is_empty());
    let as_map = |amounts: Amounts| -> Map { amounts.into_iter().map(|(k, q)| (k, q.to_string())).collect() };
    if has(spec, "limits") || has(spec, "requests") {
        let requests = amounts(spec.at(&["resources", "requests"]));
        let mut limits = sum_over_containers(spec, "limits");
        limits.retain(|name, _| is_huge_page(name) && !requests.contains_key(name));
        fill_missing(spec, "limits", as_map(limits));
    }
    if has(spec, "limits") {
        let mut requests = sum_over_containers(spec, "requests");
        requests.retain(|name, _| is_pod_level(name) && may_overcommit(name));
        fill_missing(spec, "requests", as_map(requests));
        let mut limits = spec.map_at(&["resources", "limits"]).cloned().unwrap_or_default();
        limits.retain(|name, _| is_pod_level(name));
        fill_missing(spec, "requests", limits);
    }
}

/// Rounds the resources that statuses of containers show.
pub fn round_statuses(pod: &mut Value) {
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        if let Some(status) = pod.get_mut("status") {
            each(status, list, |status| {
                round_list(status.get_mut("allocatedResources"));
                round_requirements(status.get_mut("resources"));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn fractions_of_thousandths_are_rounded_up() {
        let mut requirements =
            tree!({"limits": {"cpu": "100u", "memory": "1Gi", "big": "12345678901234567890"}});
        round_requirements(Some(&mut requirements));
        assert_eq!(
            requirements,
            tree!({"limits": {"cpu": "1m", "memory": "1Gi", "big": "12345678901234567890"}})
        );
    }

    #[test]
    fn pod_level_requests_come_from_limits() {
        let mut spec = tree!({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "containers": [{"resources": {"requests": {"cpu": "250m"}}}]});
        fill_pod_level(&mut spec);
        assert_eq!(spec.at(&["resources", "requests"]), Some(&tree!({"cpu": "250m", "memory": "1Gi"})));
    }
}
