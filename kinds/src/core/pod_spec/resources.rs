//! Resources of containers and pods: defaults, sums over containers, quality of service.
//! Source: `defaults.go`, `component-helpers/resource`, `pkg/apis/core/helper/qos`.

use super::{defaults::each, is_sidecar};
use api::{Map, Value, quantity::Quantity};
use std::collections::BTreeMap;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

const HUGE_PAGES: &str = "hugepages-";
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

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// The size of a page of a `hugepages-SIZE` resource.
pub fn page_size(name: &str) -> Option<Quantity> {
    Quantity::parse(name.strip_prefix(HUGE_PAGES)?).ok()
}

/// Known to the system without a domain before it.
pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// What a container may ask for without a domain before it.
pub fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

/// Of no domain or kubernetes.io's.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A device or the like: of a domain of its own, countable by quota.
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && api::names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// Counted in whole numbers.
pub fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// Requests may be below limits.
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// What pods as a whole may have.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// The amounts of a `ResourceList`; what is no quantity is left out.
pub fn amounts(list: Option<&Value>) -> Amounts {
    let pairs = list.and_then(Value::as_map).into_iter().flat_map(Map::iter);
    pairs.filter_map(|(name, v)| Some((name.to_string(), quantity(v)?))).collect()
}

/// A quantity as JSON has it.
pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::Str(text) => Quantity::parse(text).ok(),
        Value::Int(int) => Quantity::parse(&int.to_string()).ok(),
        Value::Float(float) => Quantity::parse(&float.to_string()).ok(),
        _ => None,
    }
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

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(slot) => slot.add(amount),
            None => drop(sum.insert(name.clone(), amount.clone())),
        }
    }
}

fn raise(most: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        if most.get(&name).is_none_or(|have| amount > *have) {
            most.insert(name, amount);
        }
    }
}

/// What a pod needs at most at any time: containers and sidecars run together, each init container runs along with
/// the sidecars started before it. `field` is `requests` or `limits`.
pub fn sum_over_containers(spec: &Value, field: &str) -> Amounts {
    let mut sum = Amounts::new();
    for container in spec.list_at(&["containers"]) {
        add(&mut sum, &amounts(container.at(&["resources", field])));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.list_at(&["initContainers"]) {
        let mut own = amounts(container.at(&["resources", field]));
        if is_sidecar(container) {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, sidecars.clone());
        } else {
            add(&mut own, &sidecars);
            raise(&mut starting, own);
        }
    }
    raise(&mut sum, starting);
    sum
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(spec: &Value) -> &'static str {
    let (mut requests, mut limits, mut guaranteed) = (Amounts::new(), Amounts::new(), true);
    let mut count = |holder: &Value, counts_without_limits: bool| {
        add(&mut requests, &computing(holder.at(&["resources", "requests"])));
        let own = computing(holder.at(&["resources", "limits"]));
        guaranteed &= own.len() == 2 || !counts_without_limits;
        add(&mut limits, &own);
    };
    if spec.get("resources").is_some_and(|r| !r.is_null()) {
        let has_limits = spec.map_at(&["resources", "limits"]).is_some_and(|m| !m.is_empty());
        count(spec, has_limits);
    } else {
        for list in ["containers", "initContainers"] {
            spec.list_at(&[list]).iter().for_each(|container| count(container, true));
        }
    }
    match () {
        () if requests.is_empty() && limits.is_empty() => "BestEffort",
        () if guaranteed && requests == limits => "Guaranteed",
        () => "Burstable",
    }
}

/// The amounts of cpu and memory above zero.
fn computing(list: Option<&Value>) -> Amounts {
    let mut amounts = amounts(list);
    amounts.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && amount.sign() > 0);
    amounts
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
    fn quality_of_service_follows_requests_and_limits() {
        let class =
            |resources: Value| qos_class(&tree!({"containers": [{"name": "c", "resources": resources}]}));
        assert_eq!(class(tree!({})), "BestEffort");
        assert_eq!(class(tree!({"requests": {"cpu": "1"}})), "Burstable");
        let full = tree!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            class(tree!({"limits": full.clone(), "requests": {"cpu": "1000m", "memory": "1024Mi"}})),
            "Guaranteed"
        );
        assert_eq!(
            qos_class(&tree!({"resources": {"limits": full.clone(), "requests": full}})),
            "Guaranteed"
        );
    }

    #[test]
    fn pod_level_requests_come_from_limits() {
        let mut spec = tree!({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "containers": [{"resources": {"requests": {"cpu": "250m"}}}]});
        fill_pod_level(&mut spec);
        assert_eq!(spec.at(&["resources", "requests"]), Some(&tree!({"cpu": "250m", "memory": "1Gi"})));
    }

    #[test]
    fn sidecars_run_along_with_the_rest() {
        let spec = tree!({
            "containers": [{"resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                {"resources": {"requests": {"cpu": "3"}}},
            ],
        });
        assert_eq!(sum_over_containers(&spec, "requests")["cpu"].to_string(), "4");
    }
}
