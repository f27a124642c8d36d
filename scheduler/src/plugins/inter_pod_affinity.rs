//! InterPodAffinity: pods that want to be near others or far from them. What pods that run already have against a new
//! one counts as well.

use super::{Filter, MOST, Plugin, Rejection};
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::terms::{PodTerm, PodTerms};
use api::{Map, Str};
use std::collections::HashMap;
use std::sync::Arc;

const NEAR: &str = "node(s) didn't match pod affinity rules";
const FAR: &str = "node(s) didn't match pod anti-affinity rules";
const OTHERS: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

#[derive(Clone, Debug)]
pub struct InterPodAffinity {
    /// What a running pod's required term counts when nodes are scored.
    pub hard_weight: i64,
    /// Ask running pods only when the new one prefers something itself.
    pub ignores_others: bool,
}

impl Default for InterPodAffinity {
    fn default() -> Self {
        InterPodAffinity { hard_weight: 1, ignores_others: false }
    }
}

/// Counts by topology key and value.
#[derive(Default)]
struct Places(HashMap<(Str, Str), i64>);

impl Places {
    fn add(&mut self, node: &Node, key: &Str, count: i64) {
        if let Some(value) = node.label(key) {
            *self.0.entry((key.clone(), value.into())).or_default() += count;
        }
    }

    fn at(&self, node: &Node, key: &Str) -> i64 {
        let value = node.label(key).map(Str::from);
        value.and_then(|value| self.0.get(&(key.clone(), value))).copied().unwrap_or(0)
    }

    /// The sum over all places that the node is in.
    fn sum(&self, node: &Node) -> i64 {
        let here = |((key, value), _): &(&(Str, Str), &i64)| node.label(key) == Some(value.as_str());
        self.0.iter().filter(here).map(|(_, count)| count).sum()
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        let against = others_against(snapshot, pod);
        let (near, far) = (&pod.affinity.required, &pod.anti_affinity.required);
        if against.0.is_empty() && near.is_empty() && far.is_empty() {
            return Filter::Pass;
        }
        let (wanted, unwanted) = places_of(snapshot, near, far);
        let namespace = snapshot.namespaces.get(&pod.namespace);
        let own = |term: &PodTerm| term.matches(&pod.namespace, namespace, &pod.labels);
        // The first of a group that wants to be together may go anywhere.
        let is_first = wanted.0.is_empty() && near.iter().all(own);
        Filter::Check(Box::new(move |node| {
            let placed = near.iter().all(|term| node.label(&term.topology_key).is_some());
            if !placed || !(is_first || near.iter().all(|term| wanted.at(node, &term.topology_key) > 0)) {
                return Err(Rejection::for_good(NEAR));
            }
            if far.iter().any(|term| unwanted.at(node, &term.topology_key) > 0) {
                return Err(Rejection::for_now(FAR));
            }
            if against.sum(node) > 0 {
                return Err(Rejection::for_now(OTHERS));
            }
            Ok(())
        }))
    }

    fn score(&self, snapshot: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        let places = self.preferences(snapshot, pod);
        if places.0.is_empty() {
            return None;
        }
        let sums: Vec<i64> = nodes.iter().map(|node| places.sum(node)).collect();
        let (least, most) = (*sums.iter().min()?, *sums.iter().max()?);
        let normal = |sum: i64| if most > least { MOST * (sum - least) / (most - least) } else { 0 };
        Some(sums.into_iter().map(normal).collect())
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        let wants = |other: &Pod| names(&pod.affinity.required, other);
        let dreads = |other: &Pod| {
            names(&pod.anti_affinity.required, other) || names(&other.anti_affinity.required, pod)
        };
        match change {
            Change::Own => true,
            Change::PodPlaced(other) => wants(other),
            Change::PodGone(other) => dreads(other),
            Change::PodChanged { old, new } => (!wants(old) && wants(new)) || (dreads(old) && !dreads(new)),
            Change::Node { .. } => change.of_node(|old, new| old.labels != new.labels),
            Change::NodeGone | Change::Storage(_) => false,
        }
    }
}

/// Whether terms may mean a pod; namespaces chosen by label count as meant.
fn names(terms: &[PodTerm], pod: &Pod) -> bool {
    terms.iter().any(|term| term.may_match(&pod.namespace, &pod.labels))
}

/// Where pods run that will not have this one near.
fn others_against(snapshot: &Snapshot, pod: &Pod) -> Places {
    let namespace = snapshot.namespaces.get(&pod.namespace);
    let mut places = Places::default();
    for node in snapshot.nodes().filter(|node| node.with_affinity > 0) {
        for other in &node.pods {
            for term in &other.anti_affinity.required {
                if term.matches(&pod.namespace, namespace, &pod.labels) {
                    places.add(node, &term.topology_key, 1);
                }
            }
        }
    }
    places
}

/// Where pods run that all terms want, and where such that any term does not want.
fn places_of(snapshot: &Snapshot, near: &[PodTerm], far: &[PodTerm]) -> (Places, Places) {
    let (mut wanted, mut unwanted) = (Places::default(), Places::default());
    if near.is_empty() && far.is_empty() {
        return (wanted, unwanted);
    }
    for node in snapshot.nodes() {
        for other in &node.pods {
            let labels = snapshot.namespaces.get(&other.namespace);
            let means = |term: &PodTerm| term.matches(&other.namespace, labels, &other.labels);
            if !near.is_empty() && near.iter().all(means) {
                near.iter().for_each(|term| wanted.add(node, &term.topology_key, 1));
            }
            far.iter().filter(|term| means(term)).for_each(|term| unwanted.add(node, &term.topology_key, 1));
        }
    }
    (wanted, unwanted)
}

impl InterPodAffinity {
    /// What the pod prefers, and what pods that run prefer of it.
    fn preferences(&self, snapshot: &Snapshot, pod: &Pod) -> Places {
        let own = !pod.affinity.preferred.is_empty() || !pod.anti_affinity.preferred.is_empty();
        let labels = snapshot.namespaces.get(&pod.namespace);
        let mut places = Places::default();
        if !own && self.ignores_others {
            return places;
        }
        for node in snapshot.nodes().filter(|node| own || node.with_affinity > 0) {
            for other in &node.pods {
                if own {
                    let theirs = snapshot.namespaces.get(&other.namespace);
                    weigh(&mut places, node, pod, (&other.namespace, theirs, &other.labels));
                }
                if other.has_affinity() {
                    weigh(&mut places, node, other, (&pod.namespace, labels, &pod.labels));
                    let required = other.affinity.required.iter();
                    for term in required
                        .filter(|t| self.hard_weight > 0 && t.matches(&pod.namespace, labels, &pod.labels))
                    {
                        places.add(node, &term.topology_key, self.hard_weight);
                    }
                }
            }
        }
        places
    }
}

/// Adds what `who` prefers of a pod of a namespace (with labels) and labels, to where it runs.
fn weigh(places: &mut Places, node: &Node, who: &Pod, of: (&Str, Option<&Map>, &Map)) {
    let mut add = |terms: &PodTerms, sign: i64| {
        for (weight, term) in terms.preferred.iter().filter(|(_, term)| term.matches(of.0, of.1, of.2)) {
            places.add(node, &term.topology_key, sign * weight);
        }
    };
    add(&who.affinity, 1);
    add(&who.anti_affinity, -1);
}
