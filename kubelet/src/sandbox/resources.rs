//! What a sandbox may use as a whole, for runtimes that make machines of sandboxes.

use crate::cgroups::{milli_cpu_to_quota, milli_cpu_to_shares};
use crate::cri::LinuxContainerResources;
use api::Value;
use api::resources::{Amounts, amounts, limits, requests};

/// Microseconds in which a CPU quota is used up and renewed.
const QUOTA_PERIOD: i64 = 100_000;

/// What the containers of a pod may use together.
pub fn of_pod(pod: &Value) -> LinuxContainerResources {
    of(&requests(pod, false), &limits(pod, false))
}

/// What running the pod costs besides its containers.
pub fn overhead(pod: &Value) -> LinuxContainerResources {
    let overhead = amounts(pod.at(&["spec", "overhead"]));
    match overhead.is_empty() {
        true => LinuxContainerResources::default(),
        false => of(&overhead, &overhead),
    }
}

fn of(requests: &Amounts, limits: &Amounts) -> LinuxContainerResources {
    let milli = |amounts: &Amounts| amounts.get("cpu").map(api::Quantity::milli);
    let limit = milli(limits).unwrap_or(0);
    let shares = milli_cpu_to_shares(milli(requests).unwrap_or(limit));
    LinuxContainerResources {
        cpu_period: QUOTA_PERIOD,
        cpu_quota: milli_cpu_to_quota(limit),
        cpu_shares: i64::try_from(shares).unwrap_or(i64::MAX),
        memory_limit_in_bytes: limits.get("memory").map_or(0, api::Quantity::value),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_sandbox_has_the_sum_of_its_containers_and_its_overhead_apart() {
        let container =
            tree!({"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "1", "memory": "64Mi"}}});
        let pod = tree!({"spec": {"containers": [(container.clone()), (container)], "overhead": {"memory": "1Mi"}}});
        let own = of_pod(&pod);
        assert_eq!((own.cpu_shares, own.cpu_quota, own.memory_limit_in_bytes), (512, 200_000, 128 << 20));
        assert_eq!(overhead(&pod).memory_limit_in_bytes, 1 << 20);
    }
}
