//! What pods as a whole may use: quantities of the spec in the kernel's units.

use super::resources::qos_class;
use api::Value;
use api::resources::{self, Amounts};
use std::collections::BTreeMap;

/// The kernel's bounds of `cpu.shares`.
pub const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
/// Microseconds over which CPU time is shared out.
pub const QUOTA_PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1000;

/// What is not set stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// 2 to 262,144, a whole CPU is 1,024.
    pub cpu_shares: Option<u64>,
    /// Microseconds in each `QUOTA_PERIOD`; 0 is no limit.
    pub cpu_quota: Option<i64>,
    /// Bytes; 0 is no limit.
    pub memory: Option<i64>,
    /// Bytes for each size of pages in bytes.
    pub huge_pages: BTreeMap<i64, i64>,
}

pub fn milli_cpu_to_shares(milli: i64) -> u64 {
    u64::try_from(milli.saturating_mul(1024) / 1000).unwrap_or(0).clamp(MIN_SHARES, MAX_SHARES)
}

/// Microseconds of CPU time in each `QUOTA_PERIOD`; 0 for no limit.
pub fn milli_cpu_to_quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli.saturating_mul(QUOTA_PERIOD) / 1000).max(MIN_QUOTA) }
}

/// `cpu.weight` of the second version, 1 to 10,000, for shares of the first.
pub fn shares_to_weight(shares: u64) -> u64 {
    if shares >= MAX_SHARES { 10_000 } else { 1 + shares.saturating_sub(MIN_SHARES) * 9999 / 262_142 }
}

/// Thousandths of CPUs that a pod asks for.
pub fn cpu_requested(pod: &Value) -> i64 {
    requests(pod).get("cpu").map_or(0, api::Quantity::milli)
}

fn requests(pod: &Value) -> Amounts {
    let mut requests = resources::requests(pod, false);
    resources::add(&mut requests, &resources::amounts(pod.at(&["spec", "overhead"])));
    requests
}

/// Overhead counts only where there is a limit.
fn limits(pod: &Value) -> Amounts {
    let mut limits = resources::limits(pod, false);
    let mut overhead = resources::amounts(pod.at(&["spec", "overhead"]));
    overhead.retain(|name, _| limits.get(name).is_some_and(|limit| !limit.is_zero()));
    resources::add(&mut limits, &overhead);
    limits
}

/// The limits of a pod's group. A burstable pod has one only if each of its containers has it, or the pod itself.
pub fn of_pod(pod: &Value, page_sizes: &[i64]) -> Limits {
    let (requests, limits) = (requests(pod), limits(pod));
    let mut result = Limits { huge_pages: huge_pages(&requests, page_sizes), ..Limits::default() };
    let class = qos_class(pod);
    if class == "BestEffort" {
        result.cpu_shares = Some(MIN_SHARES);
        return result;
    }
    result.cpu_shares = Some(milli_cpu_to_shares(requests.get("cpu").map_or(0, api::Quantity::milli)));
    if class == "Guaranteed" || is_limited(pod, "cpu") {
        result.cpu_quota = Some(milli_cpu_to_quota(limits.get("cpu").map_or(0, api::Quantity::milli)));
    }
    if class == "Guaranteed" || is_limited(pod, "memory") {
        result.memory = Some(limits.get("memory").map_or(0, api::Quantity::value));
    }
    result
}

/// Whether a limit of the pod or of its containers, of `resource`, holds for its group: each must have one.
pub fn is_limited(pod: &Value, resource: &str) -> bool {
    let has = |holder: Option<&Value>| {
        let amounts = resources::amounts(holder.and_then(|h| h.at(&["resources", "limits"])));
        amounts.get(resource).is_some_and(|limit| !limit.is_zero())
    };
    let mut containers = ["containers", "initContainers"].iter().flat_map(|l| pod.list_at(&["spec", l]));
    has(pod.get("spec")) || containers.all(|container| has(Some(container)))
}

fn huge_pages(requests: &Amounts, page_sizes: &[i64]) -> BTreeMap<i64, i64> {
    let mut pages: BTreeMap<i64, i64> = page_sizes.iter().map(|size| (*size, 0)).collect();
    for (name, amount) in requests {
        if let Some(size) = resources::page_size(name) {
            *pages.entry(size.value()).or_default() += amount.value();
        }
    }
    pages
}

/// The sizes of huge pages that this machine has, in bytes.
pub fn page_sizes() -> Vec<i64> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<i64>().ok();
    let mut sizes: Vec<i64> =
        entries.filter_map(|entry| size(entry.file_name().to_str()?)).map(|kilo| kilo << 10).collect();
    sizes.sort_unstable();
    sizes
}

/// As the kernel's files and the runtime name a page size: `2MB`, `1GB`.
pub fn page_size_name(bytes: i64) -> String {
    let (mut size, mut unit) = (bytes, 0);
    while size >= 1024 && unit < 4 {
        size /= 1024;
        unit += 1;
    }
    format!("{size}{}", ["B", "KB", "MB", "GB", "TB"][unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn shares_quota_and_weight_are_the_originals() {
        assert_eq!([0, 1, 100, 1500, 1_000_000].map(milli_cpu_to_shares), [2, 2, 102, 1536, 262_144]);
        assert_eq!([0, 1, 10, 250, 2000].map(milli_cpu_to_quota), [0, 1000, 1000, 25_000, 200_000]);
        assert_eq!([2, 1024, 262_144].map(shares_to_weight), [1, 39, 10_000]);
        assert_eq!([2 << 20, 1 << 30, 64 << 10].map(page_size_name), ["2MB", "1GB", "64KB"]);
    }

    #[test]
    fn a_burstable_pod_has_a_limit_only_when_all_its_containers_have() {
        let with =
            tree!({"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "1Mi"}}});
        let without = tree!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}});
        let pod = tree!({"spec": {"containers": [(with.clone()), (without)]}});
        let limits = of_pod(&pod, &[]);
        assert_eq!(limits.cpu_shares, Some(1126));
        assert_eq!((limits.cpu_quota, limits.memory), (Some(120_000), None));
        let best_effort = of_pod(&tree!({"spec": {"containers": [{"name": "a"}]}}), &[2 << 20]);
        assert_eq!((best_effort.cpu_shares, best_effort.cpu_quota), (Some(2), None));
        assert_eq!(best_effort.huge_pages.get(&(2 << 20)), Some(&0));
    }

    #[test]
    fn limits_of_the_pod_itself_and_overhead_count() {
        let pod = tree!({"spec": {
            "overhead": {"cpu": "100m", "memory": "1Mi"}, "resources": {"limits": {"memory": "10Mi"}},
            "containers": [{"resources": {"requests": {"cpu": "100m"}}}]
        }});
        let limits = of_pod(&pod, &[]);
        assert_eq!((limits.cpu_shares, limits.cpu_quota, limits.memory), (Some(204), None, Some(11 << 20)));
    }
}
