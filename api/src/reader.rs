//! How a room that decides (authn, authz, admission) sees the cluster, without knowing where objects rest.

use crate::Value;
use std::future::Future;
use std::pin::Pin;

/// An answer that may have to be waited for.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One step of following a kind's objects, each in the stored version.
#[derive(Clone, Debug)]
pub enum Followed {
    /// Everything there is: what was known before and is not here is gone.
    All(Vec<Value>),
    /// This is new, or is now like this.
    Set(Value),
    /// This is gone; the namespace is empty for cluster-scoped objects.
    Gone { namespace: String, name: String },
}

/// Takes the steps in their order.
pub type Follow = Box<dyn FnMut(Followed) + Send>;

/// Reads of the cluster, by group, plural, namespace (empty for cluster-scoped kinds) and name; objects are in the
/// stored version.
pub trait Reader: Send + Sync {
    /// From the server's own index; over a shared etcd it may be some moments old.
    fn get<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>>;

    /// The newest state there is, for decisions that must not be made on an old one.
    fn get_latest<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>>;

    /// All objects of a namespace (empty for all of the cluster).
    fn list<'a>(&'a self, group: &'a str, resource: &'a str, namespace: &'a str) -> Later<'a, Vec<Value>>;

    /// Hands `follow` all objects of a kind, then every change, until the server ends. Returns once the first list
    /// was handed over; the rest goes on by itself.
    fn follow<'a>(&'a self, group: &'static str, resource: &'static str, follow: Follow) -> Later<'a, ()>;
}

/// A cluster without objects, for tests and for servers that keep none.
impl Reader for () {
    fn get<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(std::future::ready(None))
    }

    fn get_latest<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(std::future::ready(None))
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> Later<'a, Vec<Value>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn follow<'a>(&'a self, _: &'static str, _: &'static str, mut follow: Follow) -> Later<'a, ()> {
        follow(Followed::All(Vec::new()));
        Box::pin(std::future::ready(()))
    }
}
