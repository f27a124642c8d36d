//! A node with the pods on it, and the sums over them that filters and scores look at.

use crate::amounts::{Amounts, Scored};
use crate::pod::{HostPort, Pod, tagged};
use api::node_selection::Taint;
use api::{Map, Quantity, Str, Value, resources};
use std::collections::HashMap;
use std::sync::Arc;

/// See the head of the file. Changing one gives it a new generation, so that what was computed from the old is known
/// to be old.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: Str,
    /// Empty for a node that pods name before it is known.
    pub labels: Map,
    pub is_known: bool,
    pub is_unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Amounts,
    pub allowed_pods: usize,
    /// Bytes by name with tag.
    pub images: HashMap<Str, i64>,
    pub pods: Vec<Arc<Pod>>,
    pub requested: Amounts,
    pub scored: Scored,
    pub ports: Vec<HostPort>,
    /// How many of its pods have affinity terms of any kind.
    pub with_affinity: usize,
    pub generation: u64,
}

impl Node {
    /// A node that only pods speak of.
    pub fn unknown(name: &str) -> Self {
        Node { name: name.into(), ..Node::default() }
    }

    /// Takes what the object says; the pods stay.
    pub fn read(&mut self, node: &Value) {
        let quantities = resources::amounts(node.at(&["status", "allocatable"]));
        let pods = quantities.get("pods").map_or(0, Quantity::value);
        self.is_known = true;
        self.labels = node.map_at(&["metadata", "labels"]).cloned().unwrap_or_default();
        self.is_unschedulable = node.bool_at(&["spec", "unschedulable"]);
        self.taints = node.list_at(&["spec", "taints"]).iter().map(Taint::of).collect();
        self.allocatable = Amounts::of(&quantities);
        self.allowed_pods = usize::try_from(pods).unwrap_or(0);
        self.images = images(node);
    }

    /// Forgets the object; the pods stay.
    pub fn forget(&mut self) {
        let pods = std::mem::take(&mut self.pods);
        *self = Node { generation: self.generation, ..Node::unknown(&self.name) };
        pods.into_iter().for_each(|pod| self.add(pod));
    }

    pub fn add(&mut self, pod: Arc<Pod>) {
        self.requested.add(&pod.requests);
        self.scored.add(pod.scored);
        self.ports.extend(pod.ports.iter().cloned());
        self.with_affinity += usize::from(pod.has_affinity());
        self.pods.push(pod);
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(at) = self.pods.iter().position(|pod| pod.uid == *uid) else { return };
        let pod = self.pods.swap_remove(at);
        self.requested.sub(&pod.requests);
        self.scored.sub(pod.scored);
        self.with_affinity -= usize::from(pod.has_affinity());
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|p| p == port) {
                self.ports.swap_remove(at);
            }
        }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).and_then(Value::as_str)
    }

    /// How many of its pods that stay are of a namespace and match.
    pub fn count(&self, namespace: &Str, matches: impl Fn(&Map) -> bool) -> i64 {
        let counted =
            |pod: &&Arc<Pod>| !pod.is_terminating && pod.namespace == *namespace && matches(&pod.labels);
        i64::try_from(self.pods.iter().filter(counted).count()).unwrap_or(i64::MAX)
    }
}

fn images(node: &Value) -> HashMap<Str, i64> {
    let mut images = HashMap::new();
    for image in node.list_at(&["status", "images"]) {
        let size = image.i64_at(&["sizeBytes"]).unwrap_or(0);
        for name in image.list_at(&["names"]).iter().filter_map(Value::as_str) {
            images.insert(tagged(name), size);
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(uid: &str, cpu: &str) -> Arc<Pod> {
        Arc::new(Pod::of(
            &tree!({"metadata": {"name": uid, "namespace": "a", "uid": uid}, "spec": {"containers": [
            {"resources": {"requests": {"cpu": cpu}}, "ports": [{"hostPort": 80}]}]}}),
        ))
    }

    #[test]
    fn what_is_added_and_removed_leaves_nothing() {
        let mut node = Node::unknown("n");
        node.add(pod("1", "1"));
        node.add(pod("2", "500m"));
        assert_eq!((node.requested.milli_cpu, node.ports.len()), (1500, 2));
        node.remove("1");
        node.remove("gone");
        assert_eq!((node.requested.milli_cpu, node.ports.len(), node.pods.len()), (500, 1, 1));
        node.remove("2");
        assert_eq!(node.requested, Amounts::default());
        assert_eq!(node.scored, Scored::default());
    }

    #[test]
    fn a_node_that_goes_keeps_its_pods_until_they_go() {
        let mut node = Node::unknown("n");
        node.read(&tree!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "pods": "10"}}}));
        node.add(pod("1", "1"));
        assert_eq!((node.allocatable.milli_cpu, node.allowed_pods), (2000, 10));
        node.forget();
        assert!(!node.is_known && node.pods.len() == 1 && node.requested.milli_cpu == 1000);
    }
}
