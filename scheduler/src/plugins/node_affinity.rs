//! NodeAffinity: `nodeSelector` and node affinity choose nodes by label and by name, or prefer some.

use super::{Check, Filter, Plugin, Rejection, normalise};
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::Str;
use api::node_selection::NodeTerm;
use std::sync::Arc;

/// Also what the cluster asks of nodes for every pod of the profile.
#[derive(Clone, Debug, Default)]
pub struct NodeAffinity {
    pub required: Option<Vec<NodeTerm>>,
    pub preferred: Vec<(i64, NodeTerm)>,
}

const ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";
const UNMATCHED: &str = "node(s) didn't match Pod's node affinity/selector";

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn filter<'a>(&'a self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        if pod.node_selector.is_empty() && pod.node_terms.is_none() && self.required.is_none() {
            return Filter::Pass;
        }
        let check: Check<'a> = Box::new(|node| match () {
            () if !self.allows(node) => Err(Rejection::for_good(ENFORCED)),
            () if !pod.selects(&node.name, &node.labels) => Err(Rejection::for_good(UNMATCHED)),
            () => Ok(()),
        });
        match names(pod) {
            Some(names) => Filter::Among(names, check),
            None => Filter::Check(check),
        }
    }

    fn score(&self, _: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        if pod.preferred_nodes.is_empty() && self.preferred.is_empty() {
            return None;
        }
        let sum = |node: &&Arc<Node>| {
            let all = pod.preferred_nodes.iter().chain(&self.preferred);
            all.filter(|(_, t)| t.matches(&node.name, &node.labels)).map(|(weight, _)| weight).sum()
        };
        Some(normalise(nodes.iter().map(sum).collect(), false))
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        let selects = |node: &Node| self.allows(node) && pod.selects(&node.name, &node.labels);
        match change {
            Change::Own => true,
            Change::Node { old: None, new } => selects(new),
            Change::Node { old: Some(old), new } => !selects(old) && selects(new),
            _ => false,
        }
    }
}

impl NodeAffinity {
    fn allows(&self, node: &Node) -> bool {
        let matches = |term: &NodeTerm| term.matches(&node.name, &node.labels);
        self.required.as_ref().is_none_or(|terms| terms.iter().any(matches))
    }
}

/// The nodes that the pod is bound to by name, when each of its terms names some.
fn names(pod: &Pod) -> Option<Vec<Str>> {
    let terms = pod.node_terms.as_ref().filter(|terms| !terms.is_empty())?;
    let mut names: Vec<Str> = Vec::new();
    for term in terms {
        names.extend_from_slice(term.names()?);
    }
    Some(names)
}
