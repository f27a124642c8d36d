//! NodeResourcesBalancedAllocation: prefers nodes whose cpu and memory come to be used evenly.

use super::{MOST, Plugin};
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use std::sync::Arc;

pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, _: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        let asked = &pod.requests;
        if asked.milli_cpu == 0 && asked.memory == 0 {
            return None;
        }
        let score = |node: &&Arc<Node>| {
            let (has, used) = (&node.allocatable, &node.requested);
            let before = balance([(used.milli_cpu, has.milli_cpu), (used.memory, has.memory)]);
            let after = balance([
                (used.milli_cpu.saturating_add(asked.milli_cpu), has.milli_cpu),
                (used.memory.saturating_add(asked.memory), has.memory),
            ]);
            MOST / 2 + (MOST / 2 + after - before) / 2
        };
        Some(nodes.iter().map(score).collect())
    }
}

/// `MOST` less the standard deviation of the used parts.
fn balance(resources: [(i64, i64); 2]) -> i64 {
    let part = |(used, has): (i64, i64)| (has != 0).then(|| (used as f64 / has as f64).min(1.0));
    let deviation = match resources.map(part) {
        [Some(one), Some(other)] => ((one - other) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * MOST as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_used_is_best() {
        assert_eq!(balance([(1, 2), (50, 100)]), 100);
        assert_eq!(balance([(2, 2), (0, 100)]), 50);
        assert_eq!(balance([(2, 0), (70, 100)]), 100);
    }
}
