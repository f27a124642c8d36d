//! NodeResourcesBalancedAllocation: prefers nodes whose cpu and memory (or other resources) come to be used evenly.

use super::{MOST, Plugin};
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::Str;
use std::sync::Arc;

/// The resources that count.
#[derive(Clone, Debug)]
pub struct NodeResourcesBalancedAllocation(pub Vec<Str>);

impl Default for NodeResourcesBalancedAllocation {
    fn default() -> Self {
        NodeResourcesBalancedAllocation(vec!["cpu".into(), "memory".into()])
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, _: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        let asked: Vec<i64> = self.0.iter().map(|name| pod.requests.get(name)).collect();
        if asked.iter().all(|amount| *amount == 0) {
            return None;
        }
        let mut score = Balance::default();
        Some(nodes.iter().map(|node| score.of(&self.0, &asked, node)).collect())
    }
}

/// Used parts before and after, in rooms that are used again for each node.
#[derive(Default)]
struct Balance {
    before: Vec<f64>,
    after: Vec<f64>,
}

impl Balance {
    fn of(&mut self, names: &[Str], asked: &[i64], node: &Node) -> i64 {
        self.before.clear();
        self.after.clear();
        for (name, asked) in names.iter().zip(asked) {
            let has = node.allocatable.get(name);
            let is_native = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
            if has == 0 || (*asked == 0 && !is_native) {
                continue;
            }
            let used = node.requested.get(name);
            let part = |used: i64| (used as f64 / has as f64).min(1.0);
            self.before.push(part(used));
            self.after.push(part(used.saturating_add(*asked)));
        }
        MOST / 2 + (MOST / 2 + balance(&self.after) - balance(&self.before)) / 2
    }
}

/// `MOST` less the standard deviation of the used parts.
fn balance(parts: &[f64]) -> i64 {
    let deviation = match parts {
        [] | [_] => 0.0,
        [one, other] => ((one - other) / 2.0).abs(),
        several => {
            let mean = several.iter().sum::<f64>() / several.len() as f64;
            let square = |part: &f64| (part - mean) * (part - mean);
            (several.iter().map(square).sum::<f64>() / several.len() as f64).sqrt()
        }
    };
    ((1.0 - deviation) * MOST as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_used_is_best() {
        assert_eq!(balance(&[0.5, 0.5]), 100);
        assert_eq!(balance(&[1.0, 0.0]), 50);
        assert_eq!(balance(&[0.7]), 100);
        assert_eq!(balance(&[0.5, 0.5, 0.5]), 100);
        assert_eq!(balance(&[1.0, 0.0, 0.0]), 52);
    }
}
