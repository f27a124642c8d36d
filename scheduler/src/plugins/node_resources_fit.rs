//! NodeResourcesFit: what pods ask for must be left over; of nodes with room, those with most left come first
//! (LeastAllocated, cpu and memory alike).

use super::{Filter, MOST, Plugin, Rejection};
use crate::amounts::Amounts;
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use std::borrow::Cow;
use std::sync::Arc;

pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn filter<'a>(&self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        Filter::Check(Box::new(|node| fits(&pod.requests, node)))
    }

    fn score(&self, _: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        Some(nodes.iter().map(|node| least_allocated(pod, node)).collect())
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        let has_more = |old: &Node, new: &Node| {
            old.allocatable != new.allocatable || old.allowed_pods < new.allowed_pods
        };
        match change {
            Change::Own | Change::PodGone(_) => true,
            Change::PodChanged { old, new } => old.requests != new.requests,
            Change::Node { old, new } => {
                old.as_ref().is_none_or(|old| has_more(old, new)) && could_fit(&pod.requests, new)
            }
            _ => false,
        }
    }
}

/// What is missing, and whether it could be there were the node empty.
fn fits(asked: &Amounts, node: &Node) -> Result<(), Rejection> {
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
    for (name, amount) in &asked.scalars {
        check(&|| format!("Insufficient {name}").into(), *amount, has.scalar(name), used.scalar(name));
    }
    if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, is_final }) }
}

fn could_fit(asked: &Amounts, node: &Node) -> bool {
    let has = &node.allocatable;
    asked.milli_cpu <= has.milli_cpu
        && asked.memory <= has.memory
        && asked.ephemeral_storage <= has.ephemeral_storage
        && asked.scalars.iter().all(|(name, amount)| *amount <= has.scalar(name))
}

fn least_allocated(pod: &Pod, node: &Node) -> i64 {
    let left = |has: i64, used: i64| match used > has {
        true => 0,
        false => i64::try_from((i128::from(has) - i128::from(used)) * i128::from(MOST) / i128::from(has))
            .unwrap_or(MOST),
    };
    let parts = [
        (node.allocatable.milli_cpu, node.scored.milli_cpu.saturating_add(pod.scored.milli_cpu)),
        (node.allocatable.memory, node.scored.memory.saturating_add(pod.scored.memory)),
    ];
    let there = parts.iter().filter(|(has, _)| *has > 0);
    let (sum, count) = there.fold((0, 0), |(sum, n), (has, used)| (sum + left(*has, *used), n + 1));
    if count == 0 { 0 } else { sum / count }
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
        let mut node = node("1", "1Gi");
        let rejected = fits(&pod("2").requests, &node).unwrap_err();
        assert_eq!(rejected.reasons, ["Insufficient cpu", "Insufficient x.io/gpu"]);
        assert!(rejected.is_final);
        node.add(Arc::new(pod("600m")));
        node.allocatable.scalars = vec![("x.io/gpu".into(), 1)];
        let rejected = fits(&pod("600m").requests, &node).unwrap_err();
        assert_eq!(rejected.reasons, ["Too many pods", "Insufficient cpu", "Insufficient x.io/gpu"]);
        assert!(!rejected.is_final);
    }

    #[test]
    fn the_emptier_node_is_better() {
        let mut used = node("4", "8Gi");
        let empty = node("4", "8Gi");
        used.add(Arc::new(pod("2")));
        let pod = pod("1");
        assert!(least_allocated(&pod, &empty) > least_allocated(&pod, &used));
        // 3 of 4 cores and 8Gi less 200Mi are left: (75 + 97) / 2.
        assert_eq!(least_allocated(&pod, &empty), 86);
    }
}
