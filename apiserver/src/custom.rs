//! Custom kinds: follows the CustomResourceDefinitions in the store and keeps the registry in step with them, so that
//! a definition is served as soon as its names are accepted, by whichever server accepted them.

use crate::server::Server;
use crate::stored;
use api::Value;
use kinds::Kind;
use kinds::custom::CustomKind;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Entry, Error, EventKind, ListQuery, Revision, Scope};

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";
/// How long to wait before beginning again after a failure of the store.
const PAUSE: Duration = Duration::from_millis(200);

/// What is served for one definition.
#[derive(Clone, PartialEq)]
struct Shown {
    group: String,
    plural: String,
}

/// Serves the kinds of all definitions that are there, then follows their changes until the store closes.
///
/// Returns once the kinds that exist are served; the rest goes on in a task of its own.
pub async fn follow(server: &Arc<Server>) -> Result<(), Error> {
    let mut follower = Follower { server: server.clone(), shown: HashMap::new() };
    let Some(revision) = follower.relist().await? else { return Ok(()) };
    tokio::spawn(async move { follower.run(revision).await });
    Ok(())
}

struct Follower {
    server: Arc<Server>,
    /// By the name of the definition.
    shown: HashMap<String, Shown>,
}

impl Follower {
    fn definitions(&self) -> Option<Arc<dyn Kind>> {
        self.server.registry().find(GROUP, RESOURCE).cloned()
    }

    /// Makes the registry that of the definitions there are; gives the revision that they were read at.
    async fn relist(&mut self) -> Result<Option<Revision>, Error> {
        let Some(kind) = self.definitions() else { return Ok(None) };
        let space = self.server.space(&*kind);
        self.server.store.sync(&space).await?;
        let page = self.server.store.list(&space, &ListQuery::default()).await?;
        let gone: Vec<String> = {
            let there: Vec<&str> = page.entries.iter().map(|e| &*e.key.rest).collect();
            self.shown.keys().filter(|name| !there.contains(&name.as_str())).cloned().collect()
        };
        gone.iter().for_each(|name| self.hide(name));
        for entry in &page.entries {
            self.show(&*kind, entry);
        }
        Ok(Some(page.revision))
    }

    async fn run(mut self, mut revision: Revision) {
        loop {
            match self.watch(revision).await {
                Error::Closed | Error::Stopped(_) => return,
                error => tracing::debug!(%error, "following custom resource definitions begins again"),
            }
            revision = loop {
                match self.relist().await {
                    Ok(Some(revision)) => break revision,
                    Ok(None) | Err(Error::Closed | Error::Stopped(_)) => return,
                    Err(error) => {
                        tracing::warn!(%error, "cannot list custom resource definitions");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
        }
    }

    /// Follows changes until the watch ends.
    async fn watch(&mut self, from: Revision) -> Error {
        let Some(kind) = self.definitions() else { return Error::Closed };
        let space = self.server.space(&*kind);
        let mut watch = match self.server.store.watch(&space, Scope::All, from).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            let events = match watch.next_batch().await {
                Ok(events) => events,
                Err(error) => return error,
            };
            for event in events {
                match (&event.entry, event.kind) {
                    (Some(entry), EventKind::Put) => self.show(&*kind, entry),
                    _ => self.hide(&event.key.rest),
                }
            }
        }
    }

    fn show(&mut self, kind: &dyn Kind, entry: &Entry) {
        let name = entry.key.rest.to_string();
        match stored::decode(kind, entry) {
            Ok(crd) => self.show_kind(name, &crd),
            Err(status) => tracing::error!(name, %status, "a custom resource definition cannot be read"),
        }
    }

    fn show_kind(&mut self, name: String, crd: &Value) {
        let Some(kind) = CustomKind::of(crd) else { return self.hide(&name) };
        let info = kind.info();
        let shown = Shown { group: info.group.to_string(), plural: info.plural.to_string() };
        if self.shown.get(&name).is_some_and(|before| *before != shown) {
            self.hide(&name);
        }
        let registry = self.server.registry();
        let before = registry.find(&shown.group, &shown.plural);
        if before.is_some_and(|old| !old.stored_as_json()) {
            tracing::warn!(name, "a custom resource definition names a built-in resource and is not served");
            return;
        }
        let same = before.is_some_and(|old| {
            old.edition() == kind.edition() && old.creation_refusal() == kind.creation_refusal()
        });
        if !same {
            self.server.register(|registry| registry.add(kind));
        }
        self.shown.insert(name, shown);
    }

    fn hide(&mut self, name: &str) {
        if let Some(Shown { group, plural }) = self.shown.remove(name) {
            self.server.register(|registry| registry.remove(&group, &plural));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Drain;
    use crate::server::Rooms;
    use admission::Chain;
    use api::tree;
    use authn::{Authenticator, Settings};
    use authz::Authorizer;
    use stdx::{Clock, Ids};
    use store::{Key, Store, StoreConfig, Txn};

    async fn server() -> Arc<Server> {
        let clock = Clock::system();
        let settings = Settings { client_cas: Vec::new(), anonymous: true, clock: clock.clone() };
        Arc::new(Server::new(Rooms {
            store: Store::open(StoreConfig::memory()).await.unwrap(),
            authenticator: Authenticator::new(&settings).unwrap(),
            authorizer: Authorizer::new(),
            admission: Chain::default(),
            clock,
            ids: Ids::system(),
            signer: None,
            drain: Drain::new(),
        }))
    }

    fn definition(group: &str, plural: &str, accepted: bool) -> Value {
        let names = tree!({"plural": (plural), "singular": "s", "kind": "K", "listKind": "KList"});
        let accepted = if accepted { "True" } else { "False" };
        tree!({"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": {"name": (format!("{plural}.{group}"))},
            "spec": {"group": (group), "scope": "Namespaced", "names": (names.clone()), "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
            "status": {"acceptedNames": (names), "conditions": [{"type": "NamesAccepted", "status": (accepted)}]}})
    }

    /// Commits a definition (or its end) and waits for the registry to hear of it.
    async fn commit(server: &Server, crd: &Value, exists: bool, heard: bool) {
        let kind = server.registry().find(GROUP, RESOURCE).unwrap().clone();
        let key = Key::new(&server.space(&*kind), crd.str_at(&["metadata", "name"]));
        let txn = match exists {
            true => Txn::new().put(key, stored::encode(&*kind, crd).unwrap()),
            false => Txn::new().delete(key),
        };
        let before = server.registry();
        server.store.commit(txn).await.unwrap();
        let changed = async {
            while Arc::ptr_eq(&before, &server.registry()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_millis(if heard { 5_000 } else { 100 });
        assert_eq!(tokio::time::timeout(patience, changed).await.is_ok(), heard);
    }

    fn serves(server: &Server, group: &str, plural: &str) -> bool {
        server.registry().find(group, plural).is_some_and(|kind| kind.stored_as_json())
    }

    #[tokio::test]
    async fn definitions_are_served_from_the_start_and_as_they_come_and_go() {
        let server = server().await;
        commit(&server, &definition("g.io", "olds", true), true, false).await;
        follow(&server).await.unwrap();
        assert!(serves(&server, "g.io", "olds"));
        commit(&server, &definition("g.io", "news", false), true, false).await;
        assert!(!serves(&server, "g.io", "news"));
        commit(&server, &definition("g.io", "news", true), true, true).await;
        assert!(serves(&server, "g.io", "news"));
        let olds = server.registry().find("g.io", "olds").unwrap().clone();
        commit(&server, &definition("g.io", "olds", true), false, true).await;
        assert!(!serves(&server, "g.io", "olds") && serves(&server, "g.io", "news"));
        server.replaced(&*olds).await;
    }

    #[tokio::test]
    async fn built_in_resources_stay_what_they_are() {
        let server = server().await;
        follow(&server).await.unwrap();
        commit(&server, &definition("apps", "deployments", true), true, false).await;
        assert!(!serves(&server, "apps", "deployments"));
        assert!(server.registry().find("apps", "deployments").is_some());
    }
}
