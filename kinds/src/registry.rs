//! The list of kinds, and the look-up by group, version and resource. A registry is a value: adding a custom kind
//! makes a new one, which the server swaps in.

use crate::{Info, Kind};
use std::collections::HashMap;
use std::sync::Arc;

/// All kinds that are served.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: Vec<Arc<dyn Kind>>,
    by_resource: HashMap<(String, String), usize>,
}

/// A kind at one of its versions.
#[derive(Clone)]
pub struct Served {
    pub kind: Arc<dyn Kind>,
    pub version: String,
}

impl Registry {
    /// All built-in kinds, in the order of discovery.
    pub fn builtin() -> Self {
        let mut registry = Registry::default();
        let groups = [
            crate::core::kinds(),
            crate::apiregistration::kinds(),
            crate::apps::kinds(),
            crate::events::kinds(),
            crate::authentication::kinds(),
            crate::authorization::kinds(),
            crate::autoscaling::kinds(),
            crate::batch::kinds(),
            crate::certificates::kinds(),
            crate::networking::kinds(),
            crate::policy::kinds(),
            crate::rbac::kinds(),
            crate::storage::kinds(),
            crate::admissionregistration::kinds(),
            crate::apiextensions::kinds(),
            crate::scheduling::kinds(),
            crate::coordination::kinds(),
            crate::node::kinds(),
            crate::discovery::kinds(),
            crate::resource::kinds(),
            crate::flowcontrol::kinds(),
        ];
        for kind in groups.into_iter().flatten() {
            registry.add(kind);
        }
        registry
    }

    /// Adds a kind, or replaces the one with the same group and plural.
    pub fn add(&mut self, kind: Arc<dyn Kind>) {
        let key = (kind.info().group.to_string(), kind.info().plural.to_string());
        match self.by_resource.get(&key) {
            Some(&at) => self.kinds[at] = kind,
            None => {
                self.by_resource.insert(key, self.kinds.len());
                self.kinds.push(kind);
            }
        }
    }

    /// Takes a custom kind away.
    pub fn remove(&mut self, group: &str, plural: &str) {
        self.kinds.retain(|k| !(k.info().group == group && k.info().plural == plural));
        self.by_resource = self
            .kinds
            .iter()
            .enumerate()
            .map(|(i, k)| ((k.info().group.to_string(), k.info().plural.to_string()), i))
            .collect();
    }

    pub fn find(&self, group: &str, plural: &str) -> Option<&Arc<dyn Kind>> {
        self.by_resource.get(&(group.to_owned(), plural.to_owned())).and_then(|i| self.kinds.get(*i))
    }

    /// The kind with a Kind name in a group, whatever version serves it.
    pub fn find_kind(&self, group: &str, kind: &str) -> Option<&Arc<dyn Kind>> {
        self.kinds.iter().find(|k| k.info().group == group && k.info().kind == kind)
    }

    pub fn kinds(&self) -> impl Iterator<Item = &Arc<dyn Kind>> {
        self.kinds.iter()
    }

    pub fn infos(&self) -> impl Iterator<Item = &Info> {
        self.kinds.iter().map(|k| k.info())
    }

    /// True when any kind is served in the group.
    pub fn has_group(&self, group: &str) -> bool {
        self.infos().any(|i| i.group == group)
    }

    /// True when any kind is served at this version of the group.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.infos().any(|i| i.group == group && i.versions.iter().any(|v| v == version))
    }
}
