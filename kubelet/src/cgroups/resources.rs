//! What a single container may use, as the runtime is told: shares, quota, memory, huge pages, and who is killed first
//! when memory runs out.

use super::limits::{QUOTA_PERIOD, milli_cpu_to_quota, milli_cpu_to_shares, page_size_name};
use crate::cri;
use api::resources::{self, amounts};
use api::{Quantity, Value};
use std::collections::HashMap;

const GUARANTEED_SCORE: i64 = -997;
const BEST_EFFORT_SCORE: i64 = 1000;
/// From here on the cluster needs a pod.
pub const CRITICAL_PRIORITY: i64 = 2_000_000_000;

/// What limits of containers depend on.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Bytes.
    pub memory: i64,
    /// Sizes of huge pages in bytes.
    pub page_sizes: Vec<i64>,
    /// Whether swap can be limited.
    pub limits_swap: bool,
    /// Whether it has the second version of control groups.
    pub is_unified: bool,
}

/// As the status says, or else as the spec does.
pub fn qos_class(pod: &Value) -> &str {
    match (pod.str_at(&["status", "qosClass"]), pod.get("spec")) {
        ("", Some(spec)) => resources::qos_class(spec),
        ("", None) => "BestEffort",
        (class, _) => class,
    }
}

pub fn of_container(pod: &Value, container: &Value, machine: &Machine) -> cri::LinuxContainerResources {
    let requests = amounts(container.at(&["resources", "requests"]));
    let cpu = limit(pod, container, "cpu");
    let memory = limit(pod, container, "memory").map_or(0, |memory| memory.value());
    let milli_limit = cpu.map_or(0, |cpu| cpu.milli());
    let asked = requests.get("cpu").map_or(milli_limit, Quantity::milli);
    cri::LinuxContainerResources {
        cpu_period: QUOTA_PERIOD,
        cpu_quota: milli_cpu_to_quota(milli_limit),
        cpu_shares: i64::try_from(milli_cpu_to_shares(asked)).unwrap_or(i64::MAX),
        memory_limit_in_bytes: memory,
        // Memory and swap together: no swap beyond the memory.
        memory_swap_limit_in_bytes: if machine.limits_swap && !machine.is_unified { memory } else { 0 },
        oom_score_adj: oom_score(pod, container, machine.memory),
        hugepage_limits: page_limits(pod, container, &machine.page_sizes),
        unified: if machine.is_unified { unified(machine) } else { HashMap::new() },
        ..Default::default()
    }
}

/// A process that runs out of memory takes the others of its container with it, and nothing is swapped, as the
/// original has it.
fn unified(machine: &Machine) -> HashMap<String, String> {
    let mut files = HashMap::from([("memory.oom.group".to_owned(), "1".to_owned())]);
    if machine.limits_swap {
        files.insert("memory.swap.max".to_owned(), "0".to_owned());
    }
    files
}

/// The container's own limit, or else the pod's.
fn limit(pod: &Value, container: &Value, resource: &str) -> Option<Quantity> {
    let own = |holder: Option<&Value>| amounts(holder?.at(&["resources", "limits"])).remove(resource);
    own(Some(container)).filter(|limit| !limit.is_zero()).or_else(|| own(pod.get("spec")))
}

fn page_limits(pod: &Value, container: &Value, page_sizes: &[i64]) -> Vec<cri::HugepageLimit> {
    let mut wanted = amounts(pod.at(&["spec", "resources", "limits"]));
    wanted.extend(amounts(container.at(&["resources", "limits"])));
    let of_size = |size: i64| {
        wanted.iter().find(|(name, _)| resources::page_size(name).is_some_and(|s| s.value() == size))
    };
    let limit = |size: &i64| cri::HugepageLimit {
        page_size: page_size_name(*size),
        limit: of_size(*size).map_or(0, |(_, amount)| u64::try_from(amount.value()).unwrap_or(0)),
    };
    page_sizes.iter().map(limit).collect()
}

/// Who is killed first when memory runs out: -997 last, 1000 first. `capacity` is the machine's memory in bytes.
pub fn oom_score(pod: &Value, container: &Value, capacity: i64) -> i64 {
    let critical = pod.i64_at(&["spec", "priority"]).is_some_and(|p| p >= CRITICAL_PRIORITY);
    if critical && pod.str_at(&["spec", "priorityClassName"]) == "system-node-critical" {
        return GUARANTEED_SCORE;
    }
    match qos_class(pod) {
        "Guaranteed" => return GUARANTEED_SCORE,
        "BestEffort" => return BEST_EFFORT_SCORE,
        _ => {}
    }
    let spare = spare_of_pod(pod);
    let score = |asked: i64| 1000 - 1000_i64.saturating_mul(asked + spare) / capacity.max(1);
    let mut own = score(memory_requested(container));
    if resources::is_sidecar(container) {
        let regular = pod.list_at(&["spec", "containers"]).iter().map(memory_requested).min();
        own = own.min(score(regular.unwrap_or(0)));
    }
    own.clamp(1000 + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1)
}

fn memory_requested(container: &Value) -> i64 {
    amounts(container.at(&["resources", "requests"])).get("memory").map_or(0, Quantity::value)
}

/// What the pod asks for beyond its containers, in equal parts.
fn spare_of_pod(pod: &Value) -> i64 {
    let Some(spec) = pod.get("spec").filter(|s| s.at(&["resources", "requests"]).is_some()) else { return 0 };
    let sidecars = spec.list_at(&["initContainers"]).iter().filter(|c| resources::is_sidecar(c)).count();
    let containers = i64::try_from(spec.list_at(&["containers"]).len() + sidecars).unwrap_or(1).max(1);
    let memory = |amounts: resources::Amounts| amounts.get("memory").map_or(0, Quantity::value);
    let whole = memory(resources::requests(pod, false));
    (whole - memory(resources::sum_over_containers(spec, "requests"))).max(0) / containers
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const GI: i64 = 1 << 30;

    #[test]
    fn requests_default_to_limits_and_limits_to_the_pods() {
        let container = tree!({"resources": {"limits": {"cpu": "500m"}}});
        let pod = tree!({"spec": {"containers": [(container.clone())], "resources": {"limits": {"memory": "1Gi"}}}});
        let mut machine = Machine { memory: 4 * GI, page_sizes: vec![2 << 20], ..Machine::default() };
        let resources = of_container(&pod, &container, &machine);
        assert_eq!((resources.cpu_shares, resources.cpu_quota, resources.cpu_period), (512, 50_000, 100_000));
        assert_eq!(resources.memory_limit_in_bytes, GI);
        assert_eq!(resources.hugepage_limits, vec![cri::HugepageLimit { page_size: "2MB".into(), limit: 0 }]);
        assert_eq!((resources.memory_swap_limit_in_bytes, resources.unified.len()), (0, 0));
        machine.limits_swap = true;
        assert_eq!(of_container(&pod, &container, &machine).memory_swap_limit_in_bytes, GI);
        machine.is_unified = true;
        let resources = of_container(&pod, &container, &machine);
        assert_eq!(resources.memory_swap_limit_in_bytes, 0);
        assert_eq!(resources.unified["memory.swap.max"], "0");
    }

    #[test]
    fn who_asks_for_less_is_killed_first() {
        let burstable = tree!({"resources": {"requests": {"memory": "1Gi"}}});
        let pod = tree!({"spec": {"containers": [(burstable.clone())]}});
        assert_eq!(oom_score(&pod, &burstable, 4 * GI), 750);
        let small = tree!({"resources": {"requests": {"cpu": "1m"}}});
        assert_eq!(oom_score(&tree!({"spec": {"containers": [(small.clone())]}}), &small, 4 * GI), 999);
        assert_eq!(oom_score(&tree!({"spec": {"containers": [{"name": "a"}]}}), &tree!({}), GI), 1000);
        let all = tree!({"cpu": "1", "memory": "1Gi"});
        let full = tree!({"resources": {"limits": (all.clone()), "requests": (all)}});
        assert_eq!(oom_score(&tree!({"spec": {"containers": [(full.clone())]}}), &full, GI), -997);
    }

    #[test]
    fn a_sidecar_lives_at_least_as_long_as_the_rest() {
        let sidecar = tree!({"restartPolicy": "Always"});
        let main = tree!({"resources": {"requests": {"memory": "1Gi"}}});
        let pod = tree!({"spec": {"containers": [(main)], "initContainers": [(sidecar.clone())]}});
        assert_eq!(oom_score(&pod, &sidecar, 4 * GI), 750);
    }
}
