//! A small cluster for the tests of plugins.

use super::Plugin;
use crate::review::{self, Asks, Charges, Operation, Review};
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

    fn resource_of(&self, group: &str, version: &str, kind: &str) -> Option<(String, bool)> {
        let registry = Registry::builtin();
        let kind = registry.find_kind(group, kind)?;
        let info = kind.info();
        let is_served = info.versions.iter().any(|served| *served == *version);
        is_served.then(|| (info.plural.to_string(), info.namespaced))
    }
}

/// A change to be reviewed: by jane, in the namespace `n`.
pub struct Request<'a> {
    pub place: (&'a str, &'a str),
    pub subresource: &'a str,
    pub object: Value,
    pub old: Option<&'a Value>,
    pub operation: Operation,
    pub user: &'a str,
    pub groups: &'a [String],
    pub asks: &'a dyn Asks,
    pub dry_run: bool,
}

/// What became of a change.
pub struct Outcome {
    pub result: Result<(), Status>,
    pub object: Value,
    pub charges: Vec<Value>,
    pub warnings: Vec<String>,
    pub audit_annotations: Vec<(String, String)>,
}

impl<'a> Request<'a> {
    /// A create, or the change of `old`.
    pub fn new(place: (&'a str, &'a str), object: Value, old: Option<&'a Value>) -> Self {
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        Request {
            place,
            subresource: "",
            object,
            old,
            operation,
            user: "jane",
            groups: &[],
            asks: &(),
            dry_run: false,
        }
    }

    /// Runs both phases of one plugin.
    pub async fn run(self, plugin: &dyn Plugin, cluster: &Cluster) -> Outcome {
        let registry = Registry::builtin();
        let kind = registry.find(self.place.0, self.place.1).expect("a built-in kind").clone();
        let mut object = self.object;
        let name = object.str_at(&["metadata", "name"]).to_owned();
        let (mut warnings, mut audit_annotations, mut charges) = (Vec::new(), Vec::new(), Charges::default());
        let mut review = Review {
            operation: self.operation,
            kind: &*kind,
            version: "v1",
            namespace: if kind.info().namespaced { "n" } else { "" },
            name: &name,
            subresource: self.subresource,
            object: (self.operation != Operation::Delete).then_some(&mut object),
            old: self.old,
            user: self.user,
            uid: "",
            groups: self.groups,
            asks: self.asks,
            details: &(),
            reinvocation: crate::Reinvocation::default(),
            dry_run: self.dry_run,
            warnings: &mut warnings,
            audit_annotations: &mut audit_annotations,
            charges: &mut charges,
        };
        let mut result = Ok(());
        if plugin.handles(&review) {
            result = plugin.admit(&mut review, cluster).await;
            if result.is_ok() {
                result = plugin.validate(&mut review, cluster).await;
            }
        }
        Outcome { result, object, charges: charges.quotas, warnings, audit_annotations }
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

/// A create, or the change of `old`, through both phases of one plugin.
pub async fn run(
    plugin: &dyn Plugin,
    cluster: &Cluster,
    place: (&str, &str),
    object: Value,
    old: Option<&Value>,
) -> Result<Value, Status> {
    let outcome = Request::new(place, object, old).run(plugin, cluster).await;
    outcome.result.map(|()| outcome.object)
}
