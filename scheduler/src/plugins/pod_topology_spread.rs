//! PodTopologySpread: pods that match are spread over zones, nodes or other places, as their constraints say; pods
//! that say nothing are spread by the cluster's own soft constraints, over nodes and zones.

use super::{Filter, MOST, Plugin, Rejection};
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::terms::SpreadConstraint;
use api::selector::LabelSelector;
use std::collections::HashMap;
use std::sync::Arc;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const SKEWED: &str = "node(s) didn't match pod topology spread constraints";
const UNPLACED: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

#[derive(Clone, Debug, Default)]
pub struct PodTopologySpread {
    /// What the cluster wants of pods that want nothing themselves, in place of `default_constraints`.
    pub defaults: Option<Vec<SpreadConstraint>>,
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        let hard = self.constraints(snapshot, pod, true);
        if hard.is_empty() {
            return Filter::Pass;
        }
        let domains: Vec<Domains> = hard.iter().map(|c| Domains::count(snapshot, pod, c, &hard)).collect();
        Filter::Check(Box::new(move |node| {
            for domains in &domains {
                let constraint = &domains.constraint;
                let Some(value) = node.label(&constraint.topology_key) else {
                    return Err(Rejection::for_good(UNPLACED));
                };
                let own = i64::from(constraint.selector.matches(Some(&pod.labels)));
                let there = domains.pods.get(value).copied().unwrap_or(0);
                if there + own - domains.least > constraint.max_skew {
                    return Err(Rejection::for_now(SKEWED));
                }
            }
            Ok(())
        }))
    }

    fn score(&self, snapshot: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        let own = self.constraints(snapshot, pod, false);
        if own.is_empty() {
            return None;
        }
        let needs_all = !pod.spread.is_empty() || self.defaults.is_some();
        Some(soft_scores(snapshot, pod, &own, nodes, needs_all))
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        // Who is selected by the cluster's own constraints is found out when the pod is tried.
        let by_default = pod.spread.is_empty() && self.defaults.iter().flatten().any(|c| c.is_hard);
        let concerns = |other: &Pod| {
            let selects = |c: &SpreadConstraint| c.is_hard && c.selector.matches(Some(&other.labels));
            other.namespace == pod.namespace && (by_default || pod.spread.iter().any(selects))
        };
        match change {
            Change::Own | Change::Node { .. } | Change::NodeGone => true,
            Change::PodPlaced(other) | Change::PodGone(other) => concerns(other),
            Change::PodChanged { old, new } => {
                concerns(old) != concerns(new) || (by_default && concerns(new) && old.labels != new.labels)
            }
            Change::Storage(_) => false,
        }
    }
}

impl PodTopologySpread {
    /// The pod's own constraints, or those of the cluster when something selects the pod.
    fn constraints(&self, snapshot: &Snapshot, pod: &Pod, is_hard: bool) -> Vec<SpreadConstraint> {
        if !pod.spread.is_empty() {
            return pod.spread.iter().filter(|c| c.is_hard == is_hard).cloned().collect();
        }
        if is_hard && self.defaults.is_none() {
            return Vec::new();
        }
        let Some(selector) = snapshot.default_selector(pod) else { return Vec::new() };
        let Some(defaults) = &self.defaults else { return default_constraints(&selector) };
        let selecting = |c: &SpreadConstraint| SpreadConstraint { selector: selector.clone(), ..c.clone() };
        defaults.iter().filter(|c| c.is_hard == is_hard).map(selecting).collect()
    }
}

/// What every cluster wants, softly.
fn default_constraints(selector: &LabelSelector) -> Vec<SpreadConstraint> {
    vec![
        SpreadConstraint::soft(HOSTNAME, 3, selector.clone()),
        SpreadConstraint::soft(ZONE, 5, selector.clone()),
    ]
}

/// The places of one constraint, and the matching pods in each.
struct Domains<'a> {
    constraint: SpreadConstraint,
    pods: HashMap<&'a str, i64>,
    /// In the emptiest place; 0 while there are fewer places than asked for.
    least: i64,
}

impl<'a> Domains<'a> {
    fn count(
        snapshot: &'a Snapshot,
        pod: &Pod,
        constraint: &SpreadConstraint,
        all: &[SpreadConstraint],
    ) -> Self {
        let matching = snapshot.count_matching(&pod.namespace, &constraint.selector);
        let mut pods = HashMap::new();
        for (node, count) in snapshot.nodes().zip(matching) {
            let complete = all.iter().all(|c| node.label(&c.topology_key).is_some());
            if let Some(value) = node.label(&constraint.topology_key)
                && complete
                && is_counted(pod, constraint, node)
            {
                *pods.entry(value).or_insert(0) += count;
            }
        }
        let enough = pods.len() as i64 >= constraint.min_domains;
        let least = if enough { pods.values().copied().min().unwrap_or(i64::from(i32::MAX)) } else { 0 };
        Domains { constraint: constraint.clone(), pods, least }
    }
}

/// Whether the pods of a node count for a constraint.
fn is_counted(pod: &Pod, constraint: &SpreadConstraint, node: &Node) -> bool {
    let tolerated =
        || node.taints.iter().all(|t| !t.is_hard() || pod.tolerations.iter().any(|own| own.tolerates(t)));
    (!constraint.honors_affinity || pod.selects(&node.name, &node.labels))
        && (!constraint.honors_taints || tolerated())
}

/// Fewer matching pods in a node's places are better. A node without a place counts for nothing.
fn soft_scores(
    snapshot: &Snapshot,
    pod: &Pod,
    constraints: &[SpreadConstraint],
    nodes: &[&Arc<Node>],
    needs_all: bool,
) -> Vec<i64> {
    let complete =
        |node: &Node| !needs_all || constraints.iter().all(|c| node.label(&c.topology_key).is_some());
    let judged = nodes.iter().filter(|node| complete(node)).count();
    let mut sums = vec![0.0; nodes.len()];
    for constraint in constraints {
        let matching = snapshot.count_matching(&pod.namespace, &constraint.selector);
        let by_node = constraint.topology_key == *HOSTNAME;
        let value = |node: &Node| node.label(&constraint.topology_key).unwrap_or_default().to_owned();
        let mut places: HashMap<String, i64> = HashMap::new();
        if !by_node {
            places.extend(nodes.iter().filter(|n| complete(n)).map(|node| (value(node), 0)));
            for (node, count) in snapshot.nodes().zip(&matching) {
                if complete(node) && is_counted(pod, constraint, node) {
                    places.entry(value(node)).and_modify(|sum| *sum += count);
                }
            }
        }
        let weight = (if by_node { judged } else { places.len() } as f64 + 2.0).ln();
        for (node, sum) in nodes.iter().zip(&mut sums) {
            if node.label(&constraint.topology_key).is_none() {
                continue;
            }
            let here = snapshot.place(&node.name).and_then(|place| matching.get(place)).copied().unwrap_or(0);
            let count = if by_node { here } else { places.get(&value(node)).copied().unwrap_or(0) };
            *sum += count as f64 * weight + (constraint.max_skew - 1) as f64;
        }
    }
    let scores = nodes.iter().zip(sums).map(|(n, sum): (_, f64)| complete(n).then(|| sum.round() as i64));
    let scores: Vec<Option<i64>> = scores.collect();
    let least = scores.iter().flatten().copied().min().unwrap_or(0);
    let most = scores.iter().flatten().copied().max().unwrap_or(0);
    let normal = |score: Option<i64>| match score {
        None => 0,
        Some(_) if most == 0 => MOST,
        Some(score) => MOST * (most + least - score) / most,
    };
    scores.into_iter().map(normal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(namespace: &str, app: &str, spread: api::Value) -> Arc<Pod> {
        Arc::new(Pod::of(&tree!({"metadata": {"name": "p", "namespace": namespace, "labels": {"app": app}},
            "spec": {"topologySpreadConstraints": (spread)}})))
    }

    #[test]
    fn pods_held_back_by_the_clusters_own_constraints_hear_of_the_pods_of_their_namespace() {
        let hard =
            SpreadConstraint { is_hard: true, ..SpreadConstraint::soft(ZONE, 1, LabelSelector::nothing()) };
        let soft = SpreadConstraint { is_hard: false, ..hard.clone() };
        let told =
            |constraint: &SpreadConstraint| PodTopologySpread { defaults: Some(vec![constraint.clone()]) };
        let silent = pod("a", "web", tree!([]));
        let gone = |namespace: &str| Change::PodGone(pod(namespace, "web", tree!([])));
        assert!(told(&hard).may_help(&silent, &gone("a")) && !told(&hard).may_help(&silent, &gone("b")));
        assert!(!told(&soft).may_help(&silent, &gone("a")));
        assert!(!PodTopologySpread::default().may_help(&silent, &gone("a")));
        let changed =
            |app: &str| Change::PodChanged { old: pod("a", "web", tree!([])), new: pod("a", app, tree!([])) };
        assert!(
            told(&hard).may_help(&silent, &changed("db")) && !told(&hard).may_help(&silent, &changed("web"))
        );
    }

    #[test]
    fn pods_with_constraints_hear_of_those_that_the_hard_ones_select() {
        let constraint = |when: &str| {
            tree!([{"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": when,
                "labelSelector": {"matchLabels": {"app": "web"}}}])
        };
        let spread = PodTopologySpread::default();
        let own = pod("a", "web", constraint("DoNotSchedule"));
        let gone = |app: &str| Change::PodGone(pod("a", app, tree!([])));
        assert!(spread.may_help(&own, &gone("web")) && !spread.may_help(&own, &gone("db")));
        assert!(!spread.may_help(&pod("a", "web", constraint("ScheduleAnyway")), &gone("web")));
    }
}
