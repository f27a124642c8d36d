//! TaintNodesByCondition: a new node is tainted `node.kubernetes.io/not-ready:NoSchedule` until it says that it is ready.

use super::{Plugin, push};
use crate::review::{Cluster, Review};
use api::{Status, Value, tree};
use futures::future::BoxFuture;

const TAINT: &str = "node.kubernetes.io/not-ready";

pub struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.creates("", "nodes")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let Some(node) = review.object.as_deref_mut() {
            add(node);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn add(node: &mut Value) {
    let taints = node.list_at(&["spec", "taints"]);
    if !taints.iter().any(|t| t.str_at(&["key"]) == TAINT && t.str_at(&["effect"]) == "NoSchedule") {
        push(node, &["spec"], "taints", tree!({"key": TAINT, "effect": "NoSchedule"}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taint_is_there_once() {
        let mut node = tree!({"metadata": {"name": "n"}});
        add(&mut node);
        add(&mut node);
        assert_eq!(node.at(&["spec", "taints"]), Some(&tree!([{"key": TAINT, "effect": "NoSchedule"}])));
    }
}
