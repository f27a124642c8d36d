//! What a plugin is asked about, and how it sees the cluster.

use api::{Later, Reader, Value};
use authz::{Attributes, Decision};
use kinds::Kind;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    /// exec, attach, port-forward, proxy.
    Connect,
}

/// One change, before it is made. Objects are in the stored version.
pub struct Review<'a> {
    pub operation: Operation,
    pub kind: &'a dyn Kind,
    /// The version of the API that the request came by.
    pub version: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Empty when the name is generated.
    pub name: &'a str,
    pub subresource: &'a str,
    /// What is wanted; for a command such as eviction its body. `None` for deletions.
    pub object: Option<&'a mut Value>,
    pub old: Option<&'a Value>,
    pub user: &'a str,
    pub uid: &'a str,
    pub groups: &'a [String],
    /// Tells what else this user may do.
    pub asks: &'a dyn Asks,
    pub dry_run: bool,
    /// Each becomes a `Warning` header.
    pub warnings: &'a mut Vec<String>,
    /// What the audit log is told besides, by keys such as `pod-security.kubernetes.io/enforce-policy`.
    pub audit_annotations: &'a mut Vec<(String, String)>,
    /// Quotas as they are after this change, each with the resource version that it was read at. They are written in
    /// the same transaction as the object.
    pub charges: &'a mut Vec<Value>,
}

impl Review<'_> {
    pub fn group(&self) -> &str {
        &self.kind.info().group
    }

    /// The plural.
    pub fn resource(&self) -> &str {
        &self.kind.info().plural
    }

    /// True for this resource's main form, not a subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.group() == group && self.resource() == resource
    }

    /// True when such an object itself (no subresource) is made.
    pub fn creates(&self, group: &str, resource: &str) -> bool {
        self.operation == Operation::Create && self.is(group, resource)
    }

    /// True when such an object itself is made or changed.
    pub fn writes(&self, group: &str, resource: &str) -> bool {
        matches!(self.operation, Operation::Create | Operation::Update) && self.is(group, resource)
    }

    /// 403 in the words of admission: `pods "a" is forbidden: WHY`.
    pub fn forbidden(&self, why: &str) -> api::Status {
        let name = match self.name {
            "" => self.object.as_ref().map(|o| o.str_at(&["metadata", "generateName"])).unwrap_or_default(),
            name => name,
        };
        api::Status::forbidden(self.group(), self.resource(), name, why)
    }
}

/// Authorization, asked about the user who makes a change.
pub trait Asks: Send + Sync {
    /// May this user do that? Nothing is opened by the answer.
    fn may<'a>(&'a self, asked: &'a Attributes) -> Later<'a, Decision>;
}

/// A user who may do nothing else.
impl Asks for () {
    fn may<'a>(&'a self, _: &'a Attributes) -> Later<'a, Decision> {
        Box::pin(std::future::ready(Decision::NoOpinion(authz::Reason::NONE)))
    }
}

/// How a plugin sees the cluster.
pub trait Cluster: Reader {
    /// The random end of a generated name.
    fn name_suffix(&self) -> String;
}
