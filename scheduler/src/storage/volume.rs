//! A PersistentVolume, and which of several suits a claim best.

use super::claim::{Claim, annotation, bytes, class, texts, volume_mode};
use crate::node::Node;
use api::node_selection::NodeTerm;
use api::{Map, Str, Value};
use std::sync::Arc;

/// Says that a binding is a controller's rather than a user's.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Where the terms of nodes stand that a volume can be reached from.
const TERMS: [&str; 4] = ["spec", "nodeAffinity", "required", "nodeSelectorTerms"];

/// See the head of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub name: Str,
    pub resource_version: Str,
    pub class: Str,
    pub labels: Map,
    /// The claim that it is for: namespace, name and UID (empty for any UID).
    pub claim: Option<(Str, Str, Str)>,
    pub bound_by_controller: bool,
    pub is_available: bool,
    pub is_terminating: bool,
    pub capacity: i64,
    pub access_modes: Vec<Str>,
    pub volume_mode: Str,
    pub attributes_class: Str,
    /// CSI driver and handle.
    pub csi: Option<(Str, Str)>,
    /// `None`: reached from everywhere.
    pub terms: Option<Vec<NodeTerm>>,
}

impl Volume {
    pub fn of(volume: &Value) -> Self {
        let spec = |path: &[&str]| volume.str_at(&[&["spec"], path].concat()).into();
        let reference = volume.at(&["spec", "claimRef"]).filter(|reference| !reference.is_null());
        let claim = |reference: &Value| {
            let text = |field: &str| reference.str_at(&[field]).into();
            (text("namespace"), text("name"), text("uid"))
        };
        let csi = volume.at(&["spec", "csi"]).filter(|csi| !csi.is_null());
        Volume {
            name: volume.str_at(&["metadata", "name"]).into(),
            resource_version: volume.str_at(&["metadata", "resourceVersion"]).into(),
            class: class(volume),
            labels: volume.map_at(&["metadata", "labels"]).cloned().unwrap_or_default(),
            claim: reference.map(claim),
            bound_by_controller: annotation(volume, BOUND_BY_CONTROLLER).is_some(),
            is_available: volume.str_at(&["status", "phase"]) == "Available",
            is_terminating: !volume.str_at(&["metadata", "deletionTimestamp"]).is_empty(),
            capacity: bytes(volume.at(&["spec", "capacity"])).unwrap_or(0),
            access_modes: texts(volume.list_at(&["spec", "accessModes"])),
            volume_mode: volume_mode(volume),
            attributes_class: spec(&["volumeAttributesClassName"]),
            csi: csi.map(|_| (spec(&["csi", "driver"]), spec(&["csi", "volumeHandle"]))),
            terms: volume.at(&TERMS).and_then(Value::as_list).map(|l| l.iter().map(NodeTerm::of).collect()),
        }
    }

    /// Whether it can be reached from a node.
    pub fn is_reached_from(&self, node: &Node) -> bool {
        self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches("", &node.labels)))
    }

    /// Whether it is, or is to be, this claim's.
    pub fn is_for(&self, claim: &Claim) -> bool {
        self.claim.as_ref().is_some_and(|(namespace, name, uid)| {
            *namespace == claim.namespace && *name == claim.name && (uid.is_empty() || *uid == claim.uid)
        })
    }

    /// Whether it has what the claim asks for, wherever it is.
    fn suits(&self, claim: &Claim) -> bool {
        (self.claim.is_none() || self.is_for(claim))
            && self.capacity >= claim.request.unwrap_or(0)
            && self.volume_mode == claim.volume_mode
            && self.attributes_class == claim.attributes_class
            && !self.is_terminating
    }

    /// Whether it may be given to a claim that it was not kept for.
    fn is_free_for(&self, claim: &Claim) -> bool {
        self.is_available
            && self.class == claim.class
            && claim.selector.as_ref().is_none_or(|selector| selector.matches(Some(&self.labels)))
            && claim.access_modes.iter().all(|mode| self.access_modes.contains(mode))
    }
}

/// The volume kept for the claim, or the smallest free one that will do, of those a node reaches. `taken` are none.
pub fn best<'v>(
    claim: &Claim,
    volumes: impl Iterator<Item = &'v Arc<Volume>>,
    node: &Node,
    taken: &[Str],
) -> Option<&'v Arc<Volume>> {
    let mut smallest: Option<&Arc<Volume>> = None;
    for volume in volumes.filter(|v| !taken.contains(&v.name) && v.suits(claim)) {
        let reached = volume.is_reached_from(node);
        if volume.is_for(claim) {
            return reached.then_some(volume);
        }
        let is_smaller = smallest.is_none_or(|best| {
            volume.capacity < best.capacity || (volume.capacity == best.capacity && volume.name < best.name)
        });
        if reached && is_smaller && volume.is_free_for(claim) {
            smallest = Some(volume);
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn volume(name: &str, size: &str, rest: &[(&[&str], Value)]) -> Arc<Volume> {
        let mut object = tree!({
            "metadata": {"name": name},
            "spec": {"storageClassName": "local", "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]},
            "status": {"phase": "Available"}
        });
        rest.iter().for_each(|(path, value)| object.set(path, value.clone()));
        Arc::new(Volume::of(&object))
    }

    fn claim() -> Claim {
        Claim::of(&tree!({
            "metadata": {"namespace": "a", "name": "c", "uid": "1"},
            "spec": {"storageClassName": "local", "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "5Gi"}}}
        }))
    }

    fn node(zone: &str) -> Node {
        let mut node = Node::unknown("n");
        node.read(&tree!({"metadata": {"name": "n", "labels": {"zone": zone}}}));
        node
    }

    #[test]
    fn the_smallest_free_volume_that_is_large_enough_is_taken() {
        let in_zone = tree!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x"]}]}]);
        let table = [
            (vec![volume("v", "1Gi", &[])], None),
            (vec![volume("v", "9Gi", &[]), volume("w", "6Gi", &[]), volume("u", "6Gi", &[])], Some("u")),
            (vec![volume("v", "9Gi", &[(&["spec", "storageClassName"], "other".into())])], None),
            (vec![volume("v", "9Gi", &[(&["status", "phase"], "Released".into())])], None),
            (vec![volume("v", "9Gi", &[(&["spec", "volumeMode"], "Block".into())])], None),
            (vec![volume("v", "9Gi", &[(&["spec", "accessModes"], tree!(["ReadOnlyMany"]))])], None),
            (vec![volume("v", "9Gi", &[(&TERMS, in_zone.clone())])], None),
            (vec![volume("v", "9Gi", &[(&["metadata", "deletionTimestamp"], "t".into())])], None),
            (vec![volume("v", "9Gi", &[(&["spec", "volumeAttributesClassName"], "fast".into())])], None),
        ];
        for (volumes, wanted) in table {
            let found = best(&claim(), volumes.iter(), &node("y"), &[]);
            assert_eq!(found.map(|v| v.name.as_str()), wanted, "{volumes:?}");
        }
        let far = [volume("v", "9Gi", &[(&TERMS, in_zone)])];
        assert!(best(&claim(), far.iter(), &node("x"), &[]).is_some());
        assert!(best(&claim(), far.iter(), &node("x"), &["v".into()]).is_none());
    }

    #[test]
    fn a_volume_kept_for_the_claim_comes_first_and_one_kept_for_another_never() {
        let kept = |uid: &str| tree!({"namespace": "a", "name": "c", "uid": uid});
        let own = volume("own", "90Gi", &[(&["spec", "claimRef"], kept(""))]);
        let others = volume("others", "6Gi", &[(&["spec", "claimRef"], kept("2"))]);
        let free = volume("free", "6Gi", &[]);
        let all = [others.clone(), free, own];
        assert_eq!(best(&claim(), all.iter(), &node("x"), &[]).map(|v| v.name.as_str()), Some("own"));
        assert!(best(&claim(), [others].iter(), &node("x"), &[]).is_none());
    }
}
