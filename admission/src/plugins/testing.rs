//! A small cluster for the tests of plugins.

use super::Plugin;
use crate::review::{self, Operation, Review};
use api::{Follow, Later, Reader, Status, Value};
use futures::FutureExt;
use kinds::Registry;

/// Objects by group and plural.
#[derive(Default)]
pub struct Cluster(Vec<(String, String, Value)>);

impl Cluster {
    pub fn new() -> Self {
        Cluster::default()
    }

    pub fn with(mut self, group: &str, resource: &str, object: Value) -> Self {
        self.0.push((group.to_owned(), resource.to_owned(), object));
        self
    }

    fn all(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let fits = |(g, r, o): &&(String, String, Value)| {
            g == group
                && r == resource
                && (namespace.is_empty() || o.str_at(&["metadata", "namespace"]) == namespace)
        };
        self.0.iter().filter(fits).map(|(_, _, object)| object.clone()).collect()
    }
}

impl Reader for Cluster {
    fn get<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        let found = self
            .all(group, resource, namespace)
            .into_iter()
            .find(|o| o.str_at(&["metadata", "name"]) == name);
        async { found }.boxed()
    }

    fn get_latest<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        self.get(group, resource, namespace, name)
    }

    fn list<'a>(&'a self, group: &'a str, resource: &'a str, namespace: &'a str) -> Later<'a, Vec<Value>> {
        let all = self.all(group, resource, namespace);
        async { all }.boxed()
    }

    fn follow<'a>(
        &'a self,
        group: &'static str,
        resource: &'static str,
        mut follow: Follow,
    ) -> Later<'a, ()> {
        follow(api::Followed::All(self.all(group, resource, "")));
        Box::pin(std::future::ready(()))
    }
}

impl review::Cluster for Cluster {
    fn name_suffix(&self) -> String {
        "abcde".to_owned()
    }
}

/// A create of a core object in the namespace `n`, through both phases of one plugin; what it became.
pub async fn admit(
    plugin: &dyn Plugin,
    cluster: &Cluster,
    resource: &str,
    object: Value,
) -> Result<Value, Status> {
    run(plugin, cluster, ("", resource), object, None).await
}

/// The quotas that a create is charged to.
pub async fn charges(
    plugin: &dyn Plugin,
    cluster: &Cluster,
    place: (&str, &str),
    object: Value,
) -> Result<Vec<Value>, Status> {
    both(plugin, cluster, place, object, None).await.map(|(_, charges)| charges)
}

/// A create, or the change of `old`, through both phases of one plugin.
pub async fn run(
    plugin: &dyn Plugin,
    cluster: &Cluster,
    place: (&str, &str),
    object: Value,
    old: Option<&Value>,
) -> Result<Value, Status> {
    both(plugin, cluster, place, object, old).await.map(|(object, _)| object)
}

async fn both(
    plugin: &dyn Plugin,
    cluster: &Cluster,
    (group, resource): (&str, &str),
    mut object: Value,
    old: Option<&Value>,
) -> Result<(Value, Vec<Value>), Status> {
    let registry = Registry::builtin();
    let kind = registry.find(group, resource).expect("a built-in kind").clone();
    let name = object.str_at(&["metadata", "name"]).to_owned();
    let (mut warnings, mut audit_annotations, mut charges) = (Vec::new(), Vec::new(), Vec::new());
    let mut review = Review {
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        kind: &*kind,
        version: "v1",
        namespace: "n",
        name: &name,
        subresource: "",
        object: Some(&mut object),
        old,
        user: "jane",
        uid: "",
        groups: &[],
        asks: &(),
        dry_run: false,
        warnings: &mut warnings,
        audit_annotations: &mut audit_annotations,
        charges: &mut charges,
    };
    if plugin.handles(&review) {
        plugin.admit(&mut review, cluster).await?;
        plugin.validate(&mut review, cluster).await?;
    }
    Ok((object, charges))
}
