//! The heads of all objects of the cluster, as the garbage collector's watches see them go by, for others who want to
//! know that something came or went.

use client::{MetaEvent, Resource};
use parking_lot::RwLock;
use std::sync::Arc;

/// Told of each event; must be quick.
pub type Listener = Arc<dyn Fn(&Resource, &MetaEvent) + Send + Sync>;

/// Who listens. Cheap to clone; clones share the listeners.
#[derive(Clone, Default)]
pub struct Heads {
    listeners: Arc<RwLock<Vec<Listener>>>,
}

impl Heads {
    pub fn listen(&self, listener: Listener) {
        self.listeners.write().push(listener);
    }

    pub fn tell(&self, resource: &Resource, event: &MetaEvent) {
        for listener in self.listeners.read().iter() {
            listener(resource, event);
        }
    }
}
