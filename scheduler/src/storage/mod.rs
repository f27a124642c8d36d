//! Storage at one moment: claims, volumes, classes and what drivers say, with the bindings that were decided on and
//! that the server has not heard of yet.

pub mod claim;
pub mod class;
pub mod volume;

use api::{Str, Value};
use claim::Claim;
use class::{Attachment, Capacity, Class, Limits};
use client::key_of;
use std::collections::HashMap;
use std::sync::Arc;
use volume::Volume;

/// See the head of the file.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    claims: HashMap<String, Arc<Claim>>,
    volumes: HashMap<Str, Arc<Volume>>,
    classes: HashMap<Str, Arc<Class>>,
    limits: HashMap<Str, Limits>,
    /// Whether a driver tells of its capacity.
    drivers: HashMap<Str, bool>,
    capacities: HashMap<String, Capacity>,
    attachments: HashMap<Str, Attachment>,
    /// As the server has them: what is assumed above of claims and volumes, by UID of the pod.
    assumed: HashMap<Str, Vec<Bound>>,
}

/// What is decided about one unbound claim of a pod.
#[derive(Clone, Debug)]
pub enum Bound {
    /// It gets this volume.
    Volume { claim: Arc<Claim>, volume: Arc<Volume> },
    /// A volume is to be made for it, for the pod's node.
    Made { claim: Arc<Claim> },
}

/// What is different now, as far as it may help pods that wait.
#[derive(Clone, Debug)]
pub enum StorageChange {
    Claim { namespace: Str, name: Str, is_new: bool },
    Volume { is_new: bool, has_other_zones: bool },
    Class { is_new: bool, waits: bool, has_other_topologies: bool },
    Node { is_new: bool, takes_more: bool },
    Driver,
    Capacity,
    AttachmentGone,
}

/// The sorts of objects that tell of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Claim,
    Volume,
    Class,
    Node,
    Driver,
    Capacity,
    Attachment,
}

impl Storage {
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&Arc<Claim>> {
        self.claims.get(&format!("{namespace}/{name}"))
    }

    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }

    pub fn volumes(&self) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.values()
    }

    pub fn class(&self, name: &str) -> Option<&Arc<Class>> {
        self.classes.get(name)
    }

    /// How many volumes of each driver a node takes.
    pub fn limits(&self, node: &str) -> Option<&Limits> {
        self.limits.get(node).filter(|limits| !limits.is_empty())
    }

    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.values()
    }

    /// Whether a driver has room for a volume on a node, as far as it tells.
    pub fn has_room(&self, driver: &str, class: &str, bytes: Option<i64>, node: &crate::node::Node) -> bool {
        let Some(bytes) = bytes.filter(|_| self.drivers.get(driver).is_some_and(|tells| *tells)) else {
            return true;
        };
        self.capacities.values().any(|capacity| capacity.holds(class, bytes, node))
    }

    /// An object of a sort came, changed or went.
    pub fn take(&mut self, sort: Sort, old: Option<&Value>, new: Option<&Value>) -> Option<StorageChange> {
        let object = new.or(old)?;
        let name: Str = object.str_at(&["metadata", "name"]).into();
        match sort {
            Sort::Claim => self.take_claim(&key_of(object), new),
            Sort::Volume => self.take_volume(&name, new),
            Sort::Class => self.take_class(&name, new),
            Sort::Node => {
                let before = self.limits.remove(&name);
                let limits = new.map(class::limits)?;
                let had = |driver: &Str| before.as_ref().and_then(|b| b.get(driver)).copied().unwrap_or(0);
                let takes_more = limits.iter().any(|(driver, count)| *count > had(driver));
                self.limits.insert(name, limits);
                Some(StorageChange::Node { is_new: before.is_none(), takes_more })
            }
            Sort::Driver => {
                let tells = new.map(|driver| driver.bool_at(&["spec", "storageCapacity"]));
                let told = self.drivers.remove(&name).unwrap_or(false);
                self.drivers.extend(tells.map(|tells| (name, tells)));
                (told && tells != Some(true)).then_some(StorageChange::Driver)
            }
            Sort::Capacity => {
                let before = self.capacities.remove(&key_of(object)).and_then(|capacity| capacity.limit);
                let capacity = new.map(Capacity::of)?;
                let is_larger = capacity.limit.is_some_and(|limit| before.is_none_or(|had| limit > had));
                self.capacities.insert(key_of(object), capacity);
                is_larger.then_some(StorageChange::Capacity)
            }
            Sort::Attachment => {
                self.attachments.remove(&name);
                let Some(attachment) = new else { return Some(StorageChange::AttachmentGone) };
                self.attachments.insert(name, Attachment::of(attachment));
                None
            }
        }
    }

    fn take_claim(&mut self, key: &str, new: Option<&Value>) -> Option<StorageChange> {
        let before = self.claims.remove(key);
        let claim = Arc::new(Claim::of(new?));
        let is_new = before.is_none_or(|before| before.uid != claim.uid);
        let change =
            StorageChange::Claim { namespace: claim.namespace.clone(), name: claim.name.clone(), is_new };
        self.claims.insert(key.to_owned(), claim);
        Some(change)
    }

    fn take_volume(&mut self, name: &Str, new: Option<&Value>) -> Option<StorageChange> {
        let before = self.volumes.remove(name);
        let volume = Arc::new(Volume::of(new?));
        let has_other_zones = before.as_ref().is_some_and(|before| before.labels != volume.labels);
        self.volumes.insert(name.clone(), volume);
        Some(StorageChange::Volume { is_new: before.is_none(), has_other_zones })
    }

    fn take_class(&mut self, name: &Str, new: Option<&Value>) -> Option<StorageChange> {
        let before = self.classes.remove(name);
        let class = Arc::new(Class::of(new?));
        let has_other_topologies = before.as_ref().is_some_and(|before| before.has_other_topologies(&class));
        let change =
            StorageChange::Class { is_new: before.is_none(), waits: class.waits, has_other_topologies };
        self.classes.insert(name.clone(), class);
        Some(change)
    }

    /// Counts bindings as made, until the server says otherwise.
    pub fn assume(&mut self, pod: &Str, node: &Str, bound: &[Bound]) {
        if bound.is_empty() {
            return;
        }
        for each in bound {
            match each {
                Bound::Volume { claim, volume } => {
                    let (namespace, name, uid) = (&claim.namespace, &claim.name, &claim.uid);
                    let claim = Some((namespace.clone(), name.clone(), uid.clone()));
                    self.volumes
                        .insert(volume.name.clone(), Arc::new(Volume { claim, ..Volume::clone(volume) }));
                }
                Bound::Made { claim } => {
                    let selected = Claim { selected_node: Some(node.clone()), ..Claim::clone(claim) };
                    self.claims.insert(claim.key(), Arc::new(selected));
                }
            }
        }
        self.assumed.insert(pod.clone(), bound.to_vec());
    }

    /// Takes back what was assumed for a pod and what the server has said nothing of since. Whether that was anything.
    pub fn revert(&mut self, pod: &str) -> bool {
        let Some(bound) = self.assumed.remove(pod) else { return false };
        for each in bound {
            match each {
                Bound::Volume { volume, .. } => {
                    let now = self.volumes.get_mut(&volume.name);
                    if let Some(now) = now.filter(|now| now.resource_version == volume.resource_version) {
                        *now = volume;
                    }
                }
                Bound::Made { claim } => {
                    let now = self.claims.get_mut(&claim.key());
                    if let Some(now) = now.filter(|now| now.resource_version == claim.resource_version) {
                        *now = claim;
                    }
                }
            }
        }
        true
    }

    pub fn is_assumed(&self, pod: &str) -> bool {
        self.assumed.contains_key(pod)
    }

    /// The server knows all that was assumed for a pod.
    pub fn settle(&mut self, pod: &str) {
        self.assumed.remove(pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_is_assumed_is_taken_back_unless_the_server_spoke_since() {
        let mut storage = Storage::default();
        let volume = tree!({"metadata": {"name": "v", "resourceVersion": "1"}});
        storage.take(Sort::Volume, None, Some(&volume));
        let claim = tree!({"metadata": {"namespace": "a", "name": "c", "uid": "u", "resourceVersion": "2"}});
        storage.take(Sort::Claim, None, Some(&claim));
        let claim = storage.claim("a", "c").unwrap().clone();
        let bound = [
            Bound::Volume { claim: claim.clone(), volume: storage.volume("v").unwrap().clone() },
            Bound::Made { claim },
        ];
        storage.assume(&"p".into(), &"n".into(), &bound);
        assert!(storage.volume("v").unwrap().is_for(storage.claim("a", "c").unwrap()));
        assert_eq!(storage.claim("a", "c").unwrap().selected_node, Some("n".into()));
        let newer =
            tree!({"metadata": {"name": "v", "resourceVersion": "3"}, "spec": {"claimRef": {"name": "x"}}});
        storage.take(Sort::Volume, Some(&volume), Some(&newer));
        assert!(storage.revert("p") && !storage.revert("p"));
        assert!(storage.volume("v").unwrap().claim.is_some());
        assert_eq!(storage.claim("a", "c").unwrap().selected_node, None);
    }

    #[test]
    fn only_more_room_is_news() {
        let mut storage = Storage::default();
        let capacity = |size: &str| tree!({"metadata": {"namespace": "a", "name": "c"}, "capacity": size});
        let mut take = |size: &str| storage.take(Sort::Capacity, None, Some(&capacity(size))).is_some();
        assert!(take("1Gi") && take("2Gi") && !take("1Gi"));
    }
}
