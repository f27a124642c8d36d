//! NodeResourcesFit: what pods ask for must be left over; which of the nodes with room come first is up to a strategy
//! (the emptiest, the fullest, or by a curve).

use super::{Filter, MOST, Plugin, Rejection};
use crate::amounts::Amounts;
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::Str;
use std::borrow::Cow;
use std::sync::Arc;

/// What counts, and how.
#[derive(Clone, Debug)]
pub struct NodeResourcesFit {
    /// Extended resources that nodes need not have, and groups of such (`GROUP/NAME`).
    pub ignored: Vec<Str>,
    pub ignored_groups: Vec<Str>,
    pub strategy: Strategy,
    /// The resources that are scored, with their weights.
    pub resources: Vec<(Str, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    /// Points (used percentage, score of `MOST`), with straight lines between.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

impl Default for NodeResourcesFit {
    fn default() -> Self {
        NodeResourcesFit {
            ignored: Vec::new(),
            ignored_groups: Vec::new(),
            strategy: Strategy::LeastAllocated,
            resources: vec![("cpu".into(), 1), ("memory".into(), 1)],
        }
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn filter<'a>(&'a self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        Filter::Check(Box::new(|node| self.fits(&pod.requests, node)))
    }

    fn score(&self, _: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        Some(nodes.iter().map(|node| self.score_of(pod, node)).collect())
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        let has_more = |old: &Node, new: &Node| {
            old.allocatable != new.allocatable || old.allowed_pods < new.allowed_pods
        };
        match change {
            Change::Own | Change::PodGone(_) => true,
            Change::PodChanged { old, new } => old.requests != new.requests,
            Change::Node { old, new } => {
                old.as_ref().is_none_or(|old| has_more(old, new)) && self.could_fit(&pod.requests, new)
            }
            _ => false,
        }
    }
}

impl NodeResourcesFit {
    fn ignores(&self, name: &str) -> bool {
        let group = || name.split_once('/').map_or("", |(group, _)| group);
        (!self.ignored.is_empty() && self.ignored.iter().any(|ignored| *ignored == *name))
            || (!self.ignored_groups.is_empty() && self.ignored_groups.iter().any(|g| *g == *group()))
    }

    /// What is missing, and whether it could be there were the node empty.
    fn fits(&self, asked: &Amounts, node: &Node) -> Result<(), Rejection> {
        let (has, used) = (&node.allocatable, &node.requested);
        let mut reasons: Vec<Cow<'static, str>> = Vec::new();
        let mut is_final = false;
        if node.pods.len() + 1 > node.allowed_pods {
            reasons.push("Too many pods".into());
        }
        let mut check = |reason: &dyn Fn() -> Cow<'static, str>, asked: i64, has: i64, used: i64| {
            if asked > 0 && asked > has.saturating_sub(used) {
                reasons.push(reason());
                is_final |= asked > has;
            }
        };
        check(&|| "Insufficient cpu".into(), asked.milli_cpu, has.milli_cpu, used.milli_cpu);
        check(&|| "Insufficient memory".into(), asked.memory, has.memory, used.memory);
        let storage = (asked.ephemeral_storage, has.ephemeral_storage, used.ephemeral_storage);
        check(&|| "Insufficient ephemeral-storage".into(), storage.0, storage.1, storage.2);
        for (name, amount) in asked.scalars.iter().filter(|(name, _)| !self.ignores(name)) {
            check(&|| format!("Insufficient {name}").into(), *amount, has.scalar(name), used.scalar(name));
        }
        if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, is_final }) }
    }

    fn could_fit(&self, asked: &Amounts, node: &Node) -> bool {
        let has = &node.allocatable;
        let scalars = asked.scalars.iter().filter(|(name, _)| !self.ignores(name));
        asked.milli_cpu <= has.milli_cpu
            && asked.memory <= has.memory
            && asked.ephemeral_storage <= has.ephemeral_storage
            && scalars.into_iter().all(|(name, amount)| *amount <= has.scalar(name))
    }

    /// The weighted mean over the resources that count here.
    fn score_of(&self, pod: &Pod, node: &Node) -> i64 {
        let (mut sum, mut weights) = (0_i64, 0_i64);
        for (name, weight) in &self.resources {
            let (asked, used) = match name.as_str() {
                "cpu" => (pod.scored.milli_cpu, node.scored.milli_cpu),
                "memory" => (pod.scored.memory, node.scored.memory),
                name => (pod.requests.get(name), node.requested.get(name)),
            };
            let has = node.allocatable.get(name);
            let is_native = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
            if has == 0 || (asked == 0 && !is_native) {
                continue;
            }
            let score = self.strategy.score(used.saturating_add(asked), has);
            if matches!(self.strategy, Strategy::RequestedToCapacityRatio(_)) && score <= 0 {
                continue;
            }
            sum += score * weight;
            weights += weight;
        }
        match self.strategy {
            _ if weights == 0 => 0,
            Strategy::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }
}

impl Strategy {
    /// Of 0 to `MOST`, when so much of what a node has is used.
    fn score(&self, used: i64, has: i64) -> i64 {
        let part = |amount: i64| {
            i64::try_from(i128::from(amount) * i128::from(MOST) / i128::from(has)).unwrap_or(MOST)
        };
        match self {
            Strategy::LeastAllocated if used > has => 0,
            Strategy::LeastAllocated => part(has - used),
            Strategy::MostAllocated => part(used.min(has)),
            Strategy::RequestedToCapacityRatio(points) => {
                on_line(points, if used > has { MOST } else { part(used) })
            }
        }
    }
}

/// The score at a percentage, on the straight lines between points.
fn on_line(points: &[(i64, i64)], at: i64) -> i64 {
    let mut before: Option<(i64, i64)> = None;
    for (percentage, score) in points {
        if at <= *percentage {
            return before
                .map_or(*score, |(from, low)| low + (score - low) * (at - from) / (percentage - from));
        }
        before = Some((*percentage, *score));
    }
    before.map_or(0, |(_, score)| score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn node(cpu: &str, memory: &str) -> Node {
        let mut node = Node::unknown("n");
        node.read(&tree!({"status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "1"}}}));
        node
    }

    fn pod(cpu: &str) -> Pod {
        Pod::of(
            &tree!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "x.io/gpu": "1"}}}]}}),
        )
    }

    #[test]
    fn every_missing_resource_is_named() {
        let plugin = NodeResourcesFit::default();
        let mut node = node("1", "1Gi");
        let rejected = plugin.fits(&pod("2").requests, &node).unwrap_err();
        assert_eq!(rejected.reasons, ["Insufficient cpu", "Insufficient x.io/gpu"]);
        assert!(rejected.is_final);
        node.add(Arc::new(pod("600m")));
        node.allocatable.scalars = vec![("x.io/gpu".into(), 1)];
        let rejected = plugin.fits(&pod("600m").requests, &node).unwrap_err();
        assert_eq!(rejected.reasons, ["Too many pods", "Insufficient cpu", "Insufficient x.io/gpu"]);
        assert!(!rejected.is_final);
    }

    #[test]
    fn ignored_resources_need_not_be_there() {
        let ignored = NodeResourcesFit { ignored: vec!["x.io/gpu".into()], ..NodeResourcesFit::default() };
        let group = NodeResourcesFit { ignored_groups: vec!["x.io".into()], ..NodeResourcesFit::default() };
        let other = NodeResourcesFit { ignored_groups: vec!["y.io".into()], ..NodeResourcesFit::default() };
        let node = node("4", "1Gi");
        let fits = |plugin: &NodeResourcesFit| plugin.fits(&pod("1").requests, &node).is_ok();
        assert!(fits(&ignored) && fits(&group) && !fits(&other));
    }

    #[test]
    fn the_emptier_node_is_better_unless_asked_otherwise() {
        let mut used = node("4", "8Gi");
        let empty = node("4", "8Gi");
        used.add(Arc::new(pod("2")));
        let pod = pod("1");
        let least = NodeResourcesFit::default();
        assert!(least.score_of(&pod, &empty) > least.score_of(&pod, &used));
        // 3 of 4 cores and 8Gi less 200Mi are left: (75 + 97) / 2.
        assert_eq!(least.score_of(&pod, &empty), 86);
        let most = NodeResourcesFit { strategy: Strategy::MostAllocated, ..least.clone() };
        assert!(most.score_of(&pod, &empty) < most.score_of(&pod, &used));
        assert_eq!(most.score_of(&pod, &empty), (25 + 2) / 2);
        let cpu = NodeResourcesFit {
            strategy: Strategy::RequestedToCapacityRatio(vec![(0, 0), (50, 100), (100, 0)]),
            resources: vec![("cpu".into(), 3)],
            ..least
        };
        assert_eq!((cpu.score_of(&pod, &empty), cpu.score_of(&pod, &used)), (50, 50));
    }

    #[test]
    fn scores_lie_on_straight_lines() {
        let points = [(10, 20), (50, 100), (90, 0)];
        let scores = [0, 10, 30, 50, 70, 90, 100].map(|at| on_line(&points, at));
        assert_eq!(scores, [20, 20, 60, 100, 50, 0, 0]);
    }
}
