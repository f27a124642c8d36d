//! TaintToleration: taints keep pods away that do not tolerate them, or let them come last.

use super::{Filter, Plugin, Rejection, normalise};
use crate::change::Change;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::node_selection::{Taint, Toleration};
use std::sync::Arc;

pub struct TaintToleration;

const SOFT: &str = "PreferNoSchedule";

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn weight(&self) -> i64 {
        3
    }

    fn filter<'a>(&'a self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        Filter::Check(Box::new(|node| {
            if node.taints.iter().all(|taint| !taint.is_hard() || is_tolerated(pod, taint)) {
                return Ok(());
            }
            Err(Rejection::for_good("node(s) had untolerated taint(s)"))
        }))
    }

    fn score(&self, _: &Snapshot, pod: &Pod, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
        let is_soft = |taint: &&Taint| taint.effect == *SOFT;
        nodes.iter().any(|node| node.taints.iter().any(|t| is_soft(&t))).then(|| {
            let soft = |t: &&Toleration| t.effect().is_empty() || t.effect() == SOFT;
            let tolerations: Vec<&Toleration> = pod.tolerations.iter().filter(soft).collect();
            let bears = |taint: &&Taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint));
            let count = |node: &&Arc<Node>| node.taints.iter().filter(is_soft).filter(bears).count() as i64;
            normalise(nodes.iter().map(count).collect(), true)
        })
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        let tolerable = |node: &Node| node.taints.iter().all(|t| !t.is_hard() || is_tolerated(pod, t));
        match change {
            Change::Own => true,
            Change::Node { old: None, new } => tolerable(new),
            Change::Node { old: Some(old), new } => old.taints != new.taints && tolerable(new),
            _ => false,
        }
    }
}

fn is_tolerated(pod: &Pod, taint: &Taint) -> bool {
    pod.tolerations.iter().any(|toleration| toleration.tolerates(taint))
}
