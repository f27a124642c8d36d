//! Custom kinds: follows the CustomResourceDefinitions in the store and keeps the registry in step with them, so that
//! a definition is served as soon as its names are accepted, by whichever server accepted them.

use crate::server::Server;
use api::{Followed, Reader, Value};
use kinds::Kind;
use kinds::custom::CustomKind;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";

/// What is served for one definition.
#[derive(Clone, PartialEq)]
struct Shown {
    group: String,
    plural: String,
}

/// Serves the kinds of all definitions that are there, then follows their changes until the store closes.
///
/// Returns once the kinds that exist are served; the rest goes on in a task of its own.
pub async fn follow(server: &Arc<Server>) {
    let mut shown = HashMap::new();
    let weak: Weak<Server> = Arc::downgrade(server);
    let step = move |step| {
        if let Some(server) = weak.upgrade() {
            Follower { server: &server, shown: &mut shown }.step(step);
        }
    };
    server.follow(GROUP, RESOURCE, Box::new(step)).await;
}

struct Follower<'a> {
    server: &'a Server,
    /// By the name of the definition.
    shown: &'a mut HashMap<String, Shown>,
}

impl Follower<'_> {
    fn step(&mut self, step: Followed) {
        match step {
            Followed::All(definitions) => {
                let there: Vec<&str> =
                    definitions.iter().map(|crd| crd.str_at(&["metadata", "name"])).collect();
                let gone: Vec<String> =
                    self.shown.keys().filter(|name| !there.contains(&name.as_str())).cloned().collect();
                gone.iter().for_each(|name| self.hide(name));
                definitions.iter().for_each(|crd| self.show(crd));
            }
            Followed::Set(crd) => self.show(&crd),
            Followed::Gone { name, .. } => self.hide(&name),
        }
    }

    fn show(&mut self, crd: &Value) {
        let name = crd.str_at(&["metadata", "name"]).to_owned();
        self.show_kind(name, crd);
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
    use crate::objects::Objects;
    use crate::server::Rooms;
    use crate::stored;
    use admission::Chain;
    use api::tree;
    use authn::{Authenticator, Settings};
    use authz::Authorizer;
    use std::time::Duration;
    use stdx::{Clock, Ids};
    use store::{Key, Store, StoreConfig, Txn};

    async fn server() -> Arc<Server> {
        let clock = Clock::system();
        let settings = Settings::new(clock.clone());
        Arc::new(Server::new(Rooms {
            objects: Objects::new(Store::open(StoreConfig::memory()).await.unwrap(), Ids::system()),
            authenticator: Authenticator::new(&settings).unwrap(),
            authorizer: Authorizer::new(&authz::Settings::new(clock.clone())).unwrap(),
            admission: Chain::new(&admission::Settings::new(clock.clone()), &[], &[]).unwrap(),
            audit: None,
            encryption: None,
            flow: crate::flow::Settings::default(),
            clock,
            ids: Ids::system(),
            tokens: None,
            drain: Drain::new(),
            limits: crate::deadline::Limits::default(),
            kubelets: crate::stream::Kubelets::default(),
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
        follow(&server).await;
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
        follow(&server).await;
        commit(&server, &definition("apps", "deployments", true), true, false).await;
        assert!(!serves(&server, "apps", "deployments"));
        assert!(server.registry().find("apps", "deployments").is_some());
    }
}
