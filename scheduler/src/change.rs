//! What happened in the cluster, as far as pods that wait may fare better by it.

use crate::node::Node;
use crate::pod::Pod;
use crate::storage::StorageChange;
use std::sync::Arc;

/// See the head of the file.
#[derive(Clone, Debug)]
pub enum Change {
    /// A node came, or differs in something that pods ask for.
    Node { old: Option<Arc<Node>>, new: Arc<Node> },
    /// A node is gone.
    NodeGone,
    /// A pod got a node.
    PodPlaced(Arc<Pod>),
    /// A pod on a node has other labels, or asks for less.
    PodChanged { old: Arc<Pod>, new: Arc<Pod> },
    /// A pod that had a node is gone.
    PodGone(Arc<Pod>),
    /// The waiting pod itself was changed.
    Own,
    /// A claim, volume, class or driver came or changed.
    Storage(StorageChange),
}

impl Change {
    /// Whether it may help any pod that the plugin of this name turned down; who is not sure says yes.
    pub fn concerns(&self, plugin: &str) -> bool {
        match self {
            Change::PodPlaced(_) => matches!(plugin, "" | "InterPodAffinity" | "PodTopologySpread"),
            _ => true,
        }
    }

    /// Whether a node came or has something else that `differs` tells.
    pub fn of_node(&self, differs: impl Fn(&Node, &Node) -> bool) -> bool {
        match self {
            Change::Node { old: None, .. } => true,
            Change::Node { old: Some(old), new } => differs(old, new),
            _ => false,
        }
    }
}
