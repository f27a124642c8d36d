//! The objects that are served: the store, the kinds that are in it, and each kind's place. Rooms that decide
//! (authn, authz, admission) read the cluster by it.

mod follow;

use crate::stored;
use api::{Follow, Later, Reader, Value};
use arc_swap::ArcSwap;
use kinds::{Kind, Registry};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::Ids;
use store::{Key, ListQuery, Scope, Space, Store};

/// What is listed with many requests, and is little.
const LISTED_OFTEN: [&str; 8] = [
    "deviceclasses",
    "endpointslices",
    "ingressclasses",
    "limitranges",
    "priorityclasses",
    "resourcequotas",
    "servicecidrs",
    "storageclasses",
];

/// Store, kinds and places. Cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    store: Store,
    registry: ArcSwap<Registry>,
    /// One change of the registry at a time.
    registering: Mutex<()>,
    /// Rings with every change of the registry.
    registered: tokio::sync::watch::Sender<()>,
    spaces: RwLock<HashMap<String, Space>>,
    ids: Ids,
}

impl Objects {
    /// The built-in kinds, in `store`; names that plugins make up end as `ids` says.
    pub fn new(store: Store, ids: Ids) -> Self {
        Objects(Arc::new(Inner {
            store,
            registry: ArcSwap::from_pointee(Registry::builtin()),
            registering: Mutex::new(()),
            registered: tokio::sync::watch::Sender::new(()),
            spaces: RwLock::default(),
            ids,
        }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// The kinds that are served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.0.registry.load_full()
    }

    /// Changes the list of kinds, then calls `done`, before anybody who waits for changes is told.
    pub fn register(&self, change: impl FnOnce(&mut Registry), done: impl FnOnce()) {
        let _one = self.0.registering.lock();
        let mut registry = Registry::clone(&self.0.registry.load());
        change(&mut registry);
        self.0.registry.store(Arc::new(registry));
        done();
        self.0.registered.send_replace(());
    }

    /// Returns once a custom kind is not served any more, or not in this edition; never for built-in kinds.
    pub async fn replaced(&self, kind: &dyn Kind) {
        if !kind.stored_as_json() {
            return std::future::pending().await;
        }
        let info = kind.info();
        let mut changes = self.0.registered.subscribe();
        loop {
            let registry = self.registry();
            let found = registry.find(&info.group, &info.plural);
            let here = found.map(|found| found.at(&info.storage_version).unwrap_or_else(|| found.clone()));
            if here.is_none_or(|here| here.edition() != kind.edition()) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The kind's place in the store.
    pub fn space(&self, kind: &dyn Kind) -> Space {
        let prefix = kind.info().prefix.as_str();
        if let Some(space) = self.0.spaces.read().get(prefix) {
            return space.clone();
        }
        self.0.spaces.write().entry(prefix.to_owned()).or_insert_with(|| Space::new(prefix)).clone()
    }

    /// An object of any kind in the stored version.
    pub async fn find(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        latest: bool,
    ) -> Option<Value> {
        let registry = self.registry();
        let kind = registry.find(group, resource)?;
        let key = Key::new(&self.space(&**kind), crate::call::rest(kind.info(), namespace, name));
        let found = if latest { self.0.store.get(&key).await } else { self.0.store.get_stale(&key).await };
        let entry = found.ok()??;
        stored::look_up(&**kind, &entry).ok()
    }

    /// All objects of a kind in a namespace, or everywhere.
    pub async fn find_all(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let registry = self.registry();
        let Some(kind) = registry.find(group, resource) else { return Vec::new() };
        let scope = if namespace.is_empty() { Scope::All } else { Scope::prefix(&format!("{namespace}/")) };
        let query = ListQuery { scope, ..ListQuery::default() };
        let Ok(page) = self.0.store.list(&self.space(&**kind), &query).await else { return Vec::new() };
        let read = if LISTED_OFTEN.contains(&resource) { stored::look_up } else { stored::decode };
        page.entries.iter().filter_map(|entry| read(&**kind, entry).ok()).collect()
    }
}

impl admission::Cluster for Objects {
    fn name_suffix(&self) -> String {
        self.0.ids.name_suffix()
    }

    fn resource_of(&self, group: &str, version: &str, kind: &str) -> Option<(String, bool)> {
        let registry = self.registry();
        let kind = registry.find_kind(group, kind)?;
        let info = kind.info();
        let is_served = info.versions.iter().any(|served| *served == *version);
        is_served.then(|| (info.plural.to_string(), info.namespaced))
    }
}

impl Reader for Objects {
    fn get<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        Box::pin(self.find(group, resource, namespace, name, false))
    }

    fn get_latest<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        Box::pin(self.find(group, resource, namespace, name, true))
    }

    fn list<'a>(&'a self, group: &'a str, resource: &'a str, namespace: &'a str) -> Later<'a, Vec<Value>> {
        Box::pin(self.find_all(group, resource, namespace))
    }

    fn follow<'a>(&'a self, group: &'static str, resource: &'static str, follow: Follow) -> Later<'a, ()> {
        Box::pin(follow::follow(self, group, resource, follow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;
    use store::{StoreConfig, Txn};

    #[tokio::test]
    async fn lists_keep_the_trees_of_what_is_little_and_listed_often_and_of_nothing_else() {
        let objects = Objects::new(Store::open(StoreConfig::memory()).await.unwrap(), Ids::seeded(1));
        for (resource, is_kept) in [("limitranges", true), ("pods", false)] {
            let registry = objects.registry();
            let kind = registry.find("", resource).unwrap();
            let object = tree!({"metadata": {"name": "x", "namespace": "a"}});
            let key = Key::new(&objects.space(&**kind), "a/x");
            let txn = Txn::new().put(key.clone(), stored::encode(&**kind, &object).unwrap());
            objects.store().commit(txn).await.unwrap();
            let found = objects.find_all("", resource, "a").await;
            assert_eq!(found[0].str_at(&["metadata", "name"]), "x");
            let entry = objects.store().get(&key).await.unwrap().unwrap();
            assert_eq!(stored::is_kept(&**kind, &entry), is_kept, "{resource}");
        }
    }
}
