//! A small cluster to try single plugins on.

use super::{Filter, Plugin};
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::storage::{Bound, Sort, Storage};
use api::{Value, tree};
use std::sync::Arc;

pub struct Trial(Snapshot);

impl Trial {
    pub fn with_nodes(names: &[&str]) -> Self {
        let mut trial = Trial(Snapshot::default());
        names.iter().for_each(|name| trial.node(name, tree!({})));
        trial
    }

    pub fn storage(&mut self) -> &mut Storage {
        Arc::make_mut(&mut self.0.storage)
    }

    pub fn node(&mut self, name: &str, labels: Value) {
        let node = tree!({"metadata": {"name": name, "labels": (labels)}});
        self.0.change(name, |n| n.read(&node));
    }

    pub fn claim(&mut self, claim: Value) {
        self.object(Sort::Claim, claim);
    }

    pub fn object(&mut self, sort: Sort, object: Value) {
        self.storage().take(sort, None, Some(&object));
    }

    pub fn place(&mut self, node: &str, pod: Pod) {
        self.0.change_pods(node, |n| n.add(Arc::new(pod)));
    }

    /// What one plugin says of a node, its reasons with commas between.
    pub fn judge(&self, plugin: &dyn Plugin, pod: &Pod, node: &str) -> Result<(), String> {
        let Some(node) = self.0.node(node) else { return Err("there is no such node".to_owned()) };
        match plugin.filter(&self.0, pod) {
            Filter::Pass => Ok(()),
            Filter::Never(why) => Err(why),
            Filter::Check(check) | Filter::Among(_, check) => check(node).map_err(|r| r.reasons.join(", ")),
        }
    }

    pub fn decide(&self, pod: &Pod, node: &str) -> Vec<Bound> {
        let node = self.0.node(node);
        node.map(|node| super::volume_binding::decide(&self.0, pod, node)).unwrap_or_default()
    }
}
