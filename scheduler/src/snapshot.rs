//! The cluster at one moment, as decisions see it. Cheap to copy: nodes are shared until one changes.

use crate::node::Node;
use crate::pod::Pod;
use crate::storage::Storage;
use api::selector::LabelSelector;
use api::{Map, Str};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// See the head of the file.
#[derive(Clone, Default)]
pub struct Snapshot {
    nodes: Vec<Arc<Node>>,
    places: Arc<HashMap<Str, usize>>,
    generation: u64,
    /// Labels of namespaces.
    pub namespaces: Arc<HashMap<Str, Map>>,
    /// What controllers and services select, by namespace: for spreading pods that say nothing.
    pub selections: Arc<HashMap<Str, Vec<Selection>>>,
    /// Pods for which room is being made, by node.
    pub nominated: Arc<HashMap<Str, Vec<Arc<Pod>>>>,
    pub storage: Arc<Storage>,
    /// On how many nodes an image is.
    images: Arc<HashMap<Str, usize>>,
    counts: Arc<Mutex<Counts>>,
}

/// What one object selects.
#[derive(Clone, Debug)]
pub struct Selection {
    /// `apiVersion` and `kind` of the object; a Service selects for all pods, others for their own.
    pub kind: (Str, Str),
    pub name: Str,
    pub selector: LabelSelector,
}

/// Matching pods by node, remembered while the node does not change.
#[derive(Default)]
struct Counts(HashMap<(Str, String), HashMap<Str, (u64, i64)>>);

/// Selectors that counts are remembered for.
const MOST_COUNTED: usize = 256;

impl Snapshot {
    /// Nodes that are known, in the order they came.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<Node>> {
        self.nodes.iter()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(*self.places.get(name)?)
    }

    /// The node at a place; places go round.
    pub fn at(&self, place: usize) -> &Arc<Node> {
        &self.nodes[place % self.nodes.len().max(1)]
    }

    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Changes a node, which may be new.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                Arc::make_mut(&mut self.places).insert(name.into(), self.nodes.len());
                self.nodes.push(Arc::new(Node::unknown(name)));
                self.nodes.len() - 1
            }
        };
        self.generation += 1;
        let node = Arc::make_mut(&mut self.nodes[place]);
        node.generation = self.generation;
        let images = Arc::make_mut(&mut self.images);
        node.images.keys().for_each(|image| uncount(images, image));
        change(node);
        for image in node.images.keys() {
            *images.entry(image.clone()).or_default() += 1;
        }
    }

    /// Changes the pods of a node that is there already; what else the node is stays.
    pub fn change_pods(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let Some(place) = self.places.get(name).copied() else { return self.change(name, change) };
        self.generation += 1;
        let node = Arc::make_mut(&mut self.nodes[place]);
        node.generation = self.generation;
        change(node);
    }

    /// Takes a node out.
    pub fn drop_node(&mut self, name: &str) {
        let places = Arc::make_mut(&mut self.places);
        let Some(place) = places.remove(name) else { return };
        places.values_mut().filter(|p| **p > place).for_each(|p| *p -= 1);
        let node = self.nodes.remove(place);
        let images = Arc::make_mut(&mut self.images);
        node.images.keys().for_each(|image| uncount(images, image));
    }

    /// The part of all nodes that have an image.
    pub fn image_spread(&self, image: &str) -> f64 {
        self.images.get(image).map_or(0.0, |nodes| *nodes as f64 / self.nodes.len().max(1) as f64)
    }

    /// The same cluster with other pods on one node. Nothing computed from it is remembered.
    pub fn with_pods(&self, name: &str, change: impl FnOnce(&mut Node)) -> Snapshot {
        let mut other = self.clone();
        other.counts = Arc::default();
        other.change_pods(name, change);
        other
    }

    /// How many pods of a namespace each node has that match, by place.
    pub fn count_matching(&self, namespace: &Str, selector: &LabelSelector) -> Vec<i64> {
        // As upstream: a selector that asks for nothing counts nobody.
        if selector.is_empty() {
            return vec![0; self.nodes.len()];
        }
        let mut counts = self.counts.lock();
        let key = (namespace.clone(), format!("{selector:?}"));
        if counts.0.len() >= MOST_COUNTED && !counts.0.contains_key(&key) {
            counts.0.clear();
        }
        let known = counts.0.entry(key).or_default();
        if known.len() > 2 * self.nodes.len() {
            known.clear();
        }
        let count = |node: &Arc<Node>| match known.get_mut(&node.name) {
            Some((generation, count)) if *generation == node.generation => *count,
            _ => {
                let count = node.count(namespace, |labels| selector.matches(Some(labels)));
                known.insert(node.name.clone(), (node.generation, count));
                count
            }
        };
        self.nodes.iter().map(count).collect()
    }

    /// What selects this pod: the Services of its namespace, and its controller.
    pub fn default_selector(&self, pod: &Pod) -> Option<LabelSelector> {
        let mut requirements = Vec::new();
        for selection in self.selections.get(&pod.namespace).into_iter().flatten() {
            let is_service = selection.kind.1 == *"Service";
            let owns = || {
                pod.controller.as_ref().is_some_and(|(version, kind, name)| {
                    selection.kind == (version.clone(), kind.clone()) && selection.name == *name
                })
            };
            let counts = if is_service { selection.selector.matches(Some(&pod.labels)) } else { owns() };
            if counts && !selection.selector.is_empty() && !selection.selector.is_nothing() {
                requirements.extend(selection.selector.requirements().iter().cloned());
            }
        }
        (!requirements.is_empty()).then(|| LabelSelector::new(requirements))
    }
}

fn uncount(images: &mut HashMap<Str, usize>, image: &Str) {
    if let Some(nodes) = images.get_mut(image) {
        *nodes -= 1;
        if *nodes == 0 {
            images.remove(image);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(name: &str) -> Arc<Pod> {
        Arc::new(Pod::of(
            &tree!({"metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}}}),
        ))
    }

    #[test]
    fn counts_follow_the_pods_of_each_node() {
        let mut snapshot = Snapshot::default();
        for name in ["m", "n"] {
            snapshot.change(name, |node| node.read(&tree!({"metadata": {"name": name}})));
        }
        let selector = LabelSelector::parse("app=web").unwrap();
        let count = |snapshot: &Snapshot| snapshot.count_matching(&"a".into(), &selector);
        assert_eq!(count(&snapshot), [0, 0]);
        snapshot.change_pods("n", |node| node.add(pod("p")));
        assert_eq!(count(&snapshot), [0, 1]);
        let other = snapshot.with_pods("n", |node| node.remove("p"));
        assert_eq!((count(&other), count(&snapshot)), (vec![0, 0], vec![0, 1]));
        snapshot.drop_node("m");
        assert_eq!(count(&snapshot), [1]);
        assert_eq!(snapshot.place("n"), Some(0));
    }

    #[test]
    fn services_and_the_own_controller_select_a_pod() {
        let mut snapshot = Snapshot::default();
        let selection = |kind: (&str, &str), name: &str, selector: &str| Selection {
            kind: (kind.0.into(), kind.1.into()),
            name: name.into(),
            selector: LabelSelector::parse(selector).unwrap(),
        };
        let all = vec![
            selection(("v1", "Service"), "s", "app=web"),
            selection(("apps/v1", "ReplicaSet"), "r", "x=y"),
        ];
        Arc::make_mut(&mut snapshot.selections).insert("a".into(), all);
        let selector = snapshot.default_selector(&pod("p")).unwrap();
        assert_eq!(selector.requirements().len(), 1);
    }
}
