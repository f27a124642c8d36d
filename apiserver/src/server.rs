//! The server: what all requests share.

use crate::command::signer::Signer;
use crate::documents::Documents;
use crate::door::Drain;
use crate::metrics::Metrics;
use crate::stored;
use admission::Chain;
use api::Value;
use arc_swap::ArcSwap;
use authn::Authenticator;
use authz::Authorizer;
use futures::FutureExt;
use futures::future::BoxFuture;
use kinds::{Kind, Registry};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::{Clock, Ids};
use store::{Key, ListQuery, Scope, Space, Store};

/// What all requests share.
pub struct Server {
    pub store: Store,
    registry: ArcSwap<Registry>,
    /// One change of the registry at a time.
    registering: Mutex<()>,
    /// Rings with every change of the registry.
    registered: tokio::sync::watch::Sender<()>,
    pub authenticator: Authenticator,
    pub authorizer: Authorizer,
    pub admission: Chain,
    pub clock: Clock,
    pub ids: Ids,
    /// Signs the tokens of service accounts, when there is a key.
    pub signer: Option<Signer>,
    pub metrics: Metrics,
    pub documents: Documents,
    spaces: RwLock<HashMap<String, Space>>,
    drain: Drain,
}

/// The rooms that a server is put together from.
pub struct Rooms {
    pub store: Store,
    pub authenticator: Authenticator,
    pub authorizer: Authorizer,
    pub admission: Chain,
    pub clock: Clock,
    pub ids: Ids,
    /// Signs the tokens of service accounts; without one there are none.
    pub signer: Option<Signer>,
    pub drain: Drain,
}

impl Server {
    pub fn new(rooms: Rooms) -> Self {
        let Rooms { store, authenticator, authorizer, admission, clock, ids, signer, drain } = rooms;
        Server {
            store,
            registry: ArcSwap::from_pointee(Registry::builtin()),
            registering: Mutex::new(()),
            registered: tokio::sync::watch::Sender::new(()),
            authenticator,
            authorizer,
            admission,
            clock,
            ids,
            signer,
            metrics: Metrics::default(),
            documents: Documents::default(),
            spaces: RwLock::default(),
            drain,
        }
    }

    /// The kinds that are served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Changes the list of kinds; documents computed from it are made anew when next asked for.
    pub fn register(&self, change: impl FnOnce(&mut Registry)) {
        let _one = self.registering.lock();
        let mut registry = Registry::clone(&self.registry.load());
        change(&mut registry);
        self.registry.store(Arc::new(registry));
        self.documents.forget();
        self.registered.send_replace(());
    }

    /// Returns once a custom kind is not served any more, or not in this edition; never for built-in kinds.
    pub async fn replaced(&self, kind: &dyn Kind) {
        if !kind.stored_as_json() {
            return std::future::pending().await;
        }
        let info = kind.info();
        let mut changes = self.registered.subscribe();
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
        if let Some(space) = self.spaces.read().get(prefix) {
            return space.clone();
        }
        self.spaces.write().entry(prefix.to_owned()).or_insert_with(|| Space::new(prefix)).clone()
    }

    /// Seconds until a watch without a timeout of its own ends: from `min` to twice that, so that not all end at once.
    pub fn watch_timeout_secs(&self, min: u64) -> u64 {
        let mut bytes = [0; 2];
        self.ids.fill(&mut bytes);
        min + u64::from(u16::from_le_bytes(bytes)) % min.max(1)
    }

    /// Returns once the server is told to stop.
    pub async fn stopping(&self) {
        self.drain.started().await;
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
        let found = if latest { self.store.get(&key).await } else { self.store.get_stale(&key).await };
        let entry = found.ok()??;
        stored::decode(&**kind, &entry).ok()
    }

    /// All objects of a kind in a namespace, or everywhere.
    pub async fn find_all(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let registry = self.registry();
        let Some(kind) = registry.find(group, resource) else { return Vec::new() };
        let scope = if namespace.is_empty() { Scope::All } else { Scope::prefix(&format!("{namespace}/")) };
        let query = ListQuery { scope, ..ListQuery::default() };
        let Ok(page) = self.store.list(&self.space(&**kind), &query).await else { return Vec::new() };
        page.entries.iter().filter_map(|entry| stored::decode(&**kind, entry).ok()).collect()
    }
}

impl admission::Reader for Server {
    fn get<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Option<Value>> {
        self.find(group, resource, namespace, name, false).boxed()
    }

    fn get_latest<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Option<Value>> {
        self.find(group, resource, namespace, name, true).boxed()
    }

    fn name_suffix(&self) -> String {
        self.ids.name_suffix()
    }

    fn list<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Vec<Value>> {
        self.find_all(group, resource, namespace).boxed()
    }
}
