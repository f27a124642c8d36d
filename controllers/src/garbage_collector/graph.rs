//! Who owns whom: a node for every object that has owners, is an owner, or waits for its dependents. Pure.
//!
//! Objects without ties have no node, so that a million of them cost nothing: an owner that an object names is looked
//! up once when its first dependent appears, and is a node from then on.

use api::Str;
use client::{EventKind, Meta, Owner, Resource};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

pub const ORPHAN: &str = "orphan";
pub const FOREGROUND: &str = "foregroundDeletion";

/// How many owners are remembered as gone.
const ABSENT: usize = 500;

/// Where an object is, or what a reference says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Known(Arc<Resource>),
    /// `apiVersion` and `kind` of a reference.
    Named(Str, Str),
}

/// One object.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub namespace: Str,
    pub name: Str,
    pub owners: Vec<Owner>,
    pub dependents: HashSet<Str>,
    /// Marked for deletion.
    pub is_leaving: bool,
    /// It stays until its dependents are gone.
    pub deletes_dependents: bool,
    /// Nobody has seen it yet; a reference names it.
    pub is_virtual: bool,
    orphans: bool,
}

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// Whether the object must go.
    Delete(Str),
    /// The object leaves, and its dependents stay.
    Orphan(Str),
}

/// All nodes, by uid.
#[derive(Default)]
pub struct Graph {
    nodes: HashMap<Str, Node>,
    absent: VecDeque<Str>,
}

impl Graph {
    pub fn node(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// True for an owner that was found gone.
    pub fn is_absent(&self, uid: &str) -> bool {
        self.absent.iter().any(|known| known.as_str() == uid)
    }

    pub fn note_absent(&mut self, uid: &Str) {
        if !self.is_absent(uid) {
            if self.absent.len() >= ABSENT {
                self.absent.pop_front();
            }
            self.absent.push_back(uid.clone());
        }
    }

    /// The server knows this owner: it is more than a name.
    pub fn note_present(&mut self, uid: &str, resource: &Arc<Resource>) {
        if let Some(node) = self.nodes.get_mut(uid) {
            node.is_virtual = false;
            node.place = Place::Known(resource.clone());
        }
    }

    /// Uids of nodes of a resource.
    pub fn uids_of(&self, resource: &Resource) -> Vec<Str> {
        let known = |node: &Node| matches!(&node.place, Place::Known(r) if **r == *resource);
        self.nodes
            .iter()
            .filter(|(_, node)| !node.is_virtual && known(node))
            .map(|(uid, _)| uid.clone())
            .collect()
    }

    /// The dependents that an owner must wait for.
    pub fn blocking(&self, uid: &str) -> Vec<Str> {
        let Some(node) = self.nodes.get(uid) else { return Vec::new() };
        let blocks = |dependent: &&Str| {
            let owners = self.nodes.get(dependent.as_str()).map_or(&[][..], |d| &d.owners);
            owners.iter().any(|owner| owner.uid.as_str() == uid && owner.blocks_deletion)
        };
        node.dependents.iter().filter(blocks).cloned().collect()
    }

    /// Takes in one event; what must be looked at because of it.
    pub fn observe(&mut self, resource: &Arc<Resource>, kind: EventKind, meta: Meta) -> Vec<Task> {
        match kind {
            EventKind::Bookmark => Vec::new(),
            EventKind::Deleted => self.remove(&meta.uid),
            EventKind::Added | EventKind::Modified => self.put(resource, meta),
        }
    }

    fn put(&mut self, resource: &Arc<Resource>, meta: Meta) -> Vec<Task> {
        let has = |name: &str| meta.finalizers.iter().any(|f| f.as_str() == name);
        let (orphans, foreground) = (meta.is_leaving && has(ORPHAN), meta.is_leaving && has(FOREGROUND));
        let tied = !meta.owners.is_empty() || orphans || foreground;
        if !tied && !self.nodes.contains_key(&meta.uid) {
            return Vec::new();
        }
        let mut tasks = self.tie(&meta);
        let place = Place::Known(resource.clone());
        let node = self.nodes.entry(meta.uid.clone()).or_insert_with(|| Node::new(place.clone()));
        node.place = place;
        (node.namespace, node.name) = (meta.namespace, meta.name);
        (node.owners, node.is_leaving, node.is_virtual) = (meta.owners, meta.is_leaving, false);
        if orphans && !node.orphans {
            node.orphans = true;
            tasks.push(Task::Orphan(meta.uid.clone()));
        }
        if foreground && !node.deletes_dependents {
            node.deletes_dependents = true;
            tasks.extend(node.dependents.iter().cloned().map(Task::Delete));
            tasks.push(Task::Delete(meta.uid.clone()));
        }
        tasks.sort();
        tasks
    }

    /// Brings the ties to owners up to date.
    fn tie(&mut self, meta: &Meta) -> Vec<Task> {
        let mut tasks = Vec::new();
        let before = self.nodes.get(&meta.uid).map(|node| node.owners.clone()).unwrap_or_default();
        for owner in &before {
            let now = meta.owners.iter().find(|o| o.uid == owner.uid);
            if now.is_none() {
                self.untie(&owner.uid, &meta.uid);
            }
            // One dependent less to wait for.
            let waits = self.nodes.get(&owner.uid).is_some_and(|node| node.deletes_dependents);
            if waits && owner.blocks_deletion && !now.is_some_and(|now| now.blocks_deletion) {
                tasks.push(Task::Delete(owner.uid.clone()));
            }
        }
        for owner in &meta.owners {
            let known = self.nodes.contains_key(&owner.uid);
            let node = self.nodes.entry(owner.uid.clone()).or_insert_with(|| Node {
                namespace: meta.namespace.clone(),
                name: owner.name.clone(),
                is_virtual: true,
                ..Node::new(Place::Named(owner.api_version.clone(), owner.kind.clone()))
            });
            node.dependents.insert(meta.uid.clone());
            if !known {
                tasks.push(Task::Delete(owner.uid.clone()));
                // The owner may have gone before: then nothing else would ever ask for this one.
                tasks.push(Task::Delete(meta.uid.clone()));
            }
        }
        tasks
    }

    fn untie(&mut self, owner: &str, dependent: &str) {
        let Some(node) = self.nodes.get_mut(owner) else { return };
        node.dependents.remove(dependent);
        if node.dependents.is_empty() && node.owners.is_empty() && !node.is_leaving {
            self.nodes.remove(owner);
        }
    }

    /// The object is gone: its dependents may have to follow, and its owners wait no longer.
    pub fn remove(&mut self, uid: &Str) -> Vec<Task> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        self.note_absent(uid);
        let mut tasks: Vec<Task> = node.dependents.into_iter().map(Task::Delete).collect();
        for owner in &node.owners {
            if self.nodes.get(&owner.uid).is_some_and(|node| node.deletes_dependents) {
                tasks.push(Task::Delete(owner.uid.clone()));
            }
            self.untie(&owner.uid, uid);
        }
        tasks.sort();
        tasks
    }
}

impl Node {
    fn new(place: Place) -> Self {
        Node {
            place,
            namespace: Str::default(),
            name: Str::default(),
            owners: Vec::new(),
            dependents: HashSet::new(),
            is_leaving: false,
            deletes_dependents: false,
            is_virtual: false,
            orphans: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: &str, owner: &str, finalizer: &str) -> Meta {
        let owners = match owner {
            "" => Vec::new(),
            uid => vec![Owner { uid: uid.into(), blocks_deletion: true, ..Owner::default() }],
        };
        let finalizers = if finalizer.is_empty() { Vec::new() } else { vec![finalizer.into()] };
        Meta { uid: uid.into(), owners, is_leaving: !finalizers.is_empty(), finalizers, ..Meta::default() }
    }

    fn pods() -> Arc<Resource> {
        Arc::new(Resource::namespaced("", "v1", "pods"))
    }

    #[test]
    fn objects_without_ties_leave_no_trace() {
        let mut graph = Graph::default();
        assert!(graph.observe(&pods(), EventKind::Added, meta("a", "", "")).is_empty());
        assert!(graph.node("a").is_none());
    }

    #[test]
    fn an_unknown_owner_is_looked_up_once_and_its_end_reaches_the_dependents() {
        let mut graph = Graph::default();
        let tasks = graph.observe(&pods(), EventKind::Added, meta("a", "o", ""));
        assert_eq!(tasks, [Task::Delete("a".into()), Task::Delete("o".into())]);
        assert!(graph.node("o").unwrap().is_virtual);
        graph.note_present("o", &pods());
        assert!(graph.observe(&pods(), EventKind::Added, meta("b", "o", "")).is_empty());
        let tasks = graph.observe(&pods(), EventKind::Deleted, meta("o", "", ""));
        assert_eq!(tasks, [Task::Delete("a".into()), Task::Delete("b".into())]);
        assert!(graph.is_absent("o"));
    }

    #[test]
    fn an_owner_that_waits_hears_of_each_dependent_that_goes() {
        let mut graph = Graph::default();
        graph.observe(&pods(), EventKind::Added, meta("a", "o", ""));
        let tasks = graph.observe(&pods(), EventKind::Modified, meta("o", "", FOREGROUND));
        assert_eq!(tasks, [Task::Delete("a".into()), Task::Delete("o".into())]);
        assert_eq!(graph.blocking("o"), [Str::from("a")]);
        assert!(graph.observe(&pods(), EventKind::Modified, meta("o", "", FOREGROUND)).is_empty());
        assert_eq!(
            graph.observe(&pods(), EventKind::Deleted, meta("a", "o", "")),
            [Task::Delete("o".into())]
        );
        assert!(graph.blocking("o").is_empty());
    }

    #[test]
    fn orphaning_is_asked_for_once_and_ties_are_cut_when_references_go() {
        let mut graph = Graph::default();
        graph.observe(&pods(), EventKind::Added, meta("a", "o", ""));
        assert_eq!(
            graph.observe(&pods(), EventKind::Modified, meta("o", "", ORPHAN)),
            [Task::Orphan("o".into())]
        );
        assert!(graph.observe(&pods(), EventKind::Modified, meta("o", "", ORPHAN)).is_empty());
        graph.observe(&pods(), EventKind::Modified, meta("a", "", ""));
        assert!(graph.node("o").unwrap().dependents.is_empty());
    }
}
