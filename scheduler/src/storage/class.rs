//! What classes, drivers and nodes say of storage: StorageClass, CSINode, CSIStorageCapacity and VolumeAttachment.

use super::claim::texts;
use crate::node::Node;
use api::selector::LabelSelector;
use api::{Str, Value, resources};
use std::collections::HashMap;

/// The provisioner that makes no volumes.
const NONE: &str = "kubernetes.io/no-provisioner";

/// A StorageClass.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub provisioner: Str,
    /// Volumes wait for a pod.
    pub waits: bool,
    /// Where volumes can be made: one of these, each with all of its keys at one of their values.
    topologies: Vec<Vec<(Str, Vec<Str>)>>,
}

impl Class {
    pub fn of(class: &Value) -> Self {
        let expression = |e: &Value| (e.str_at(&["key"]).into(), texts(e.list_at(&["values"])));
        let term = |t: &Value| t.list_at(&["matchLabelExpressions"]).iter().map(expression).collect();
        Class {
            provisioner: class.str_at(&["provisioner"]).into(),
            waits: class.str_at(&["volumeBindingMode"]) == "WaitForFirstConsumer",
            topologies: class.list_at(&["allowedTopologies"]).iter().map(term).collect(),
        }
    }

    pub fn provisions(&self) -> bool {
        !self.provisioner.is_empty() && self.provisioner != *NONE
    }

    /// Whether volumes can be made for a node.
    pub fn reaches(&self, node: &Node) -> bool {
        let holds = |(key, values): &(Str, Vec<Str>)| {
            node.label(key).is_some_and(|value| values.iter().any(|v| v == value))
        };
        self.topologies.is_empty() || self.topologies.iter().any(|t| !t.is_empty() && t.iter().all(holds))
    }

    pub fn has_other_topologies(&self, other: &Class) -> bool {
        self.topologies != other.topologies
    }
}

/// How many volumes of each driver a node takes, from its CSINode.
pub type Limits = HashMap<Str, i64>;

pub fn limits(csi_node: &Value) -> Limits {
    let read = |driver: &Value| {
        let count = driver.i64_at(&["allocatable", "count"])?;
        Some((driver.str_at(&["name"]).into(), count))
    };
    csi_node.list_at(&["spec", "drivers"]).iter().filter_map(read).collect()
}

/// A CSIStorageCapacity: room that some nodes reach.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub class: Str,
    /// The largest volume that can be made, if it is known.
    pub limit: Option<i64>,
    /// `None`: reached from nowhere.
    nodes: Option<LabelSelector>,
}

impl Capacity {
    pub fn of(capacity: &Value) -> Self {
        let bytes =
            |field: &str| capacity.get(field).and_then(resources::quantity).map(|quantity| quantity.value());
        let nodes = capacity.get("nodeTopology").filter(|topology| !topology.is_null());
        Capacity {
            class: capacity.str_at(&["storageClassName"]).into(),
            limit: bytes("maximumVolumeSize").or_else(|| bytes("capacity")),
            nodes: nodes.and_then(|selector| LabelSelector::from_value(Some(selector)).ok()),
        }
    }

    pub fn holds(&self, class: &str, bytes: i64, node: &Node) -> bool {
        self.class == *class
            && self.limit.is_some_and(|limit| limit >= bytes)
            && self.nodes.as_ref().is_some_and(|selector| selector.matches(Some(&node.labels)))
    }
}

/// A VolumeAttachment: a volume that a driver has on a node.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub driver: Str,
    pub node: Str,
    pub volume: Str,
}

impl Attachment {
    pub fn of(attachment: &Value) -> Self {
        Attachment {
            driver: attachment.str_at(&["spec", "attacher"]).into(),
            node: attachment.str_at(&["spec", "nodeName"]).into(),
            volume: attachment.str_at(&["spec", "source", "persistentVolumeName"]).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn node() -> Node {
        let mut node = Node::unknown("n");
        node.read(&tree!({"metadata": {"name": "n", "labels": {"zone": "x", "rack": "1"}}}));
        node
    }

    #[test]
    fn a_class_reaches_the_nodes_of_its_topologies() {
        let class =
            |topologies: Value| Class::of(&tree!({"provisioner": "p", "allowedTopologies": (topologies)}));
        let term =
            |key: &str, value: &str| tree!({"matchLabelExpressions": [{"key": key, "values": ["o", value]}]});
        assert!(class(tree!([])).reaches(&node()));
        assert!(class(tree!([(term("zone", "y")), (term("zone", "x"))])).reaches(&node()));
        assert!(!class(tree!([(term("zone", "y"))])).reaches(&node()));
        assert!(!class(tree!([(term("row", "x"))])).reaches(&node()));
        assert!(!class(tree!([{}])).reaches(&node()));
    }

    #[test]
    fn room_counts_for_its_class_and_its_nodes() {
        let capacity = |rest: &[(&str, Value)]| {
            let mut object = tree!({"storageClassName": "c", "capacity": "10Gi", "nodeTopology": {"matchLabels": {"zone": "x"}}});
            rest.iter().for_each(|(field, value)| object.set(&[*field], value.clone()));
            Capacity::of(&object)
        };
        let gib = 1_i64 << 30;
        assert!(capacity(&[]).holds("c", 10 * gib, &node()));
        assert!(!capacity(&[]).holds("c", 11 * gib, &node()) && !capacity(&[]).holds("d", gib, &node()));
        assert!(!capacity(&[("maximumVolumeSize", "1Gi".into())]).holds("c", 2 * gib, &node()));
        assert!(!capacity(&[("nodeTopology", Value::Null)]).holds("c", gib, &node()));
    }
}
