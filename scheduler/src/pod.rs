//! A pod as the scheduler sees it: read once from its tree, then only looked at.

use crate::amounts::{Amounts, Scored};
use crate::disk::Disk;
use crate::terms::{PodTerms, SpreadConstraint};
use api::node_selection::{NodeTerm, Toleration, node_selector};
use api::selector::LabelSelector;
use api::{Map, Str, Value, time};

/// See the head of the file.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: Str,
    pub name: Str,
    pub uid: Str,
    pub resource_version: Str,
    /// Of its spec.
    pub generation: i64,
    pub labels: Map,
    /// Seconds since the epoch.
    pub created: i64,
    /// When the kubelet took it, seconds since the epoch.
    pub started: Option<i64>,
    pub scheduler: Str,
    /// The node that it is bound to, or will be; empty while it has none.
    pub node: Str,
    /// Where room is being made for it.
    pub nominated_node: Str,
    /// Why it is not to be scheduled yet.
    pub gates: Vec<Str>,
    pub priority: i32,
    /// Whether others may be made to leave for it.
    pub preempts: bool,
    pub is_terminating: bool,
    /// A scheduler made it leave for another pod.
    pub is_preempted: bool,
    pub requests: Amounts,
    pub scored: Scored,
    pub ports: Vec<HostPort>,
    pub node_selector: LabelSelector,
    /// `None`: any node. An empty list matches none.
    pub node_terms: Option<Vec<NodeTerm>>,
    pub preferred_nodes: Vec<(i64, NodeTerm)>,
    pub tolerations: Vec<Toleration>,
    pub affinity: PodTerms,
    pub anti_affinity: PodTerms,
    pub spread: Vec<SpreadConstraint>,
    /// Images of its containers and image volumes, with a tag.
    pub images: Vec<Str>,
    /// Its containers, init containers too.
    pub containers: usize,
    /// The names of its claims in its namespace, and whether each is made for this pod alone.
    pub claims: Vec<(Str, bool)>,
    pub disks: Vec<Disk>,
    /// `apiVersion`, `kind` and name of its controller.
    pub controller: Option<(Str, Str, Str)>,
}

/// A port of the node that a container takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    ip: Str,
    protocol: Str,
    port: i64,
}

impl HostPort {
    fn of(port: &Value) -> Option<Self> {
        let number = port.i64_at(&["hostPort"]).filter(|number| *number > 0)?;
        let or = |field: &str, default: &str| match port.str_at(&[field]) {
            "" => default.into(),
            text => text.into(),
        };
        Some(HostPort { ip: or("hostIP", "0.0.0.0"), protocol: or("protocol", "TCP"), port: number })
    }

    pub fn conflicts(&self, other: &HostPort) -> bool {
        let any = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == *any || other.ip == *any)
    }
}

impl Pod {
    pub fn of(pod: &Value) -> Self {
        let none = Value::map();
        let spec = pod.get("spec").unwrap_or(&none);
        let meta = |field: &str| pod.str_at(&["metadata", field]).into();
        let text = |field: &str| spec.str_at(&[field]).into();
        let lists = ["containers", "initContainers"].map(|list| spec.list_at(&[list]));
        let containers = || lists.iter().copied().flatten();
        let namespace: Str = meta("namespace");
        let term = |kind: &str| PodTerms::of(spec.at(&["affinity", kind]), &namespace);
        Pod {
            name: meta("name"),
            uid: meta("uid"),
            resource_version: meta("resourceVersion"),
            generation: pod.i64_at(&["metadata", "generation"]).unwrap_or(0),
            labels: pod.map_at(&["metadata", "labels"]).cloned().unwrap_or_default(),
            created: seconds(pod.str_at(&["metadata", "creationTimestamp"])).unwrap_or(0),
            started: seconds(pod.str_at(&["status", "startTime"])),
            scheduler: text("schedulerName"),
            node: text("nodeName"),
            nominated_node: pod.str_at(&["status", "nominatedNodeName"]).into(),
            gates: spec
                .list_at(&["schedulingGates"])
                .iter()
                .map(|gate| gate.str_at(&["name"]).into())
                .collect(),
            priority: spec.i64_at(&["priority"]).and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
            preempts: spec.str_at(&["preemptionPolicy"]) != "Never",
            is_terminating: !pod.str_at(&["metadata", "deletionTimestamp"]).is_empty(),
            is_preempted: is_preempted(pod),
            requests: Amounts::of_pod(pod),
            scored: Scored::of_pod(pod),
            ports: containers().flat_map(|c| c.list_at(&["ports"])).filter_map(HostPort::of).collect(),
            node_selector: node_selector(spec),
            node_terms: NodeTerm::required(spec),
            preferred_nodes: preferred_nodes(spec),
            tolerations: Toleration::all(spec),
            affinity: term("podAffinity"),
            anti_affinity: term("podAntiAffinity"),
            spread: SpreadConstraint::all(pod),
            images: images(spec),
            containers: containers().count(),
            claims: claims(pod.str_at(&["metadata", "name"]), spec),
            disks: spec.list_at(&["volumes"]).iter().filter_map(Disk::of).collect(),
            controller: controller(pod),
            namespace,
        }
    }

    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether its name and labels allow this node.
    pub fn selects(&self, node: &str, labels: &Map) -> bool {
        self.node_selector.matches(Some(labels))
            && self.node_terms.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(node, labels)))
    }

    /// Whether it uses a claim, by name or as one of its own.
    pub fn uses_claim(&self, namespace: &str, name: &str) -> bool {
        self.namespace == *namespace && self.claims.iter().any(|(claim, _)| *claim == *name)
    }

    /// Whether it uses a claim that it names.
    pub fn names_claim(&self, namespace: &str, name: &str) -> bool {
        self.namespace == *namespace && self.claims.iter().any(|(claim, own)| !own && *claim == *name)
    }

    pub fn has_affinity(&self) -> bool {
        !self.affinity.is_empty() || !self.anti_affinity.is_empty()
    }
}

fn seconds(text: &str) -> Option<i64> {
    time::parse(text).ok().map(|time| time.secs)
}

fn is_preempted(pod: &Value) -> bool {
    let mut conditions = pod.list_at(&["status", "conditions"]).iter();
    conditions.any(|c| {
        c.str_at(&["type"]) == "DisruptionTarget"
            && c.str_at(&["status"]) == "True"
            && c.str_at(&["reason"]) == "PreemptionByScheduler"
    })
}

fn preferred_nodes(spec: &Value) -> Vec<(i64, NodeTerm)> {
    let preferred =
        spec.list_at(&["affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"]);
    let read = |term: &Value| {
        let preference = term.get("preference")?;
        Some((term.i64_at(&["weight"]).unwrap_or(0), NodeTerm::of(preference)))
    };
    preferred.iter().filter_map(read).filter(|(weight, _)| *weight != 0).collect()
}

fn images(spec: &Value) -> Vec<Str> {
    let lists = ["initContainers", "containers"].map(|list| spec.list_at(&[list]));
    let containers = lists.iter().copied().flatten().map(|c| c.str_at(&["image"]));
    let volumes = spec.list_at(&["volumes"]).iter().map(|v| v.str_at(&["image", "reference"]));
    containers.chain(volumes).filter(|image| !image.is_empty()).map(tagged).collect()
}

/// An image's name with the tag that it has when none is given.
pub fn tagged(image: &str) -> Str {
    if image.rfind(':') <= image.rfind('/') { format!("{image}:latest").into() } else { image.into() }
}

fn claims(pod: &str, spec: &Value) -> Vec<(Str, bool)> {
    let read = |volume: &Value| {
        if volume.get("ephemeral").is_some_and(|e| !e.is_null()) {
            return Some((format!("{pod}-{}", volume.str_at(&["name"])).into(), true));
        }
        let name = volume.str_at(&["persistentVolumeClaim", "claimName"]);
        (!name.is_empty()).then(|| (name.into(), false))
    };
    spec.list_at(&["volumes"]).iter().filter_map(read).collect()
}

fn controller(pod: &Value) -> Option<(Str, Str, Str)> {
    let owners = pod.list_at(&["metadata", "ownerReferences"]);
    let owner = owners.iter().find(|owner| owner.bool_at(&["controller"]))?;
    let text = |field: &str| owner.str_at(&[field]).into();
    Some((text("apiVersion"), text("kind"), text("name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn host_ports_conflict_by_number_protocol_and_address() {
        let port = |value: Value| HostPort::of(&value).unwrap();
        let web = port(tree!({"hostPort": 80}));
        assert!(web.conflicts(&port(tree!({"hostPort": 80, "hostIP": "10.0.0.1"}))));
        assert!(!web.conflicts(&port(tree!({"hostPort": 80, "protocol": "UDP"}))));
        let (one, other) =
            (tree!({"hostPort": 80, "hostIP": "10.0.0.1"}), tree!({"hostPort": 80, "hostIP": "10.0.0.2"}));
        assert!(!port(one).conflicts(&port(other)));
        assert!(HostPort::of(&tree!({"containerPort": 80})).is_none());
    }

    #[test]
    fn images_without_a_tag_are_the_latest() {
        assert_eq!(tagged("r:5000/a"), *"r:5000/a:latest");
        assert_eq!(tagged("a:1"), *"a:1");
        assert_eq!(tagged("a"), *"a:latest");
    }

    #[test]
    fn claims_are_named_or_made_for_the_pod() {
        let spec = tree!({"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "ephemeral": {}}, {"name": "d"}]});
        assert_eq!(claims("p", &spec), [("c".into(), false), ("p-b".into(), true)]);
    }
}
