//! What a plugin is asked about, and how it sees the cluster.

use crate::webhook::Reinvocation;
use api::{Later, Reader, Status, Value};
use authz::{Attributes, Decision};
use kinds::Kind;
use std::time::Duration;
use tokio::time::Instant;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    /// exec, attach, port-forward, proxy.
    Connect,
}

impl Operation {
    /// As webhooks and rules name it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
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
    /// More of the request, for plugins that show it to others.
    pub details: &'a dyn Details,
    pub reinvocation: Reinvocation,
    pub dry_run: bool,
    /// Each becomes a `Warning` header.
    pub warnings: &'a mut Vec<String>,
    /// What the audit log is told besides, by keys such as `pod-security.kubernetes.io/enforce-policy`.
    pub audit_annotations: &'a mut Vec<(String, String)>,
    pub charges: &'a mut Charges,
}

/// What is written in the same transaction as the object.
#[derive(Default)]
pub struct Charges {
    /// Quotas as they are after this change, each with the resource version that it was read at.
    pub quotas: Vec<Value>,
    /// Kept until the transaction is over: who charges to the quotas of a namespace goes one at a time.
    pub turn: Option<Turn>,
}

/// A turn at the quotas of a namespace.
pub type Turn = tokio::sync::OwnedMutexGuard<()>;

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

/// What of a request only those plugins need that show it to others.
pub trait Details: Send + Sync {
    /// What is known of the user beside name, uid and groups.
    fn extra(&self) -> &[(String, Vec<String>)];
    /// `CreateOptions`, `UpdateOptions` or `DeleteOptions` as they came; null where there are none.
    fn options(&self, operation: Operation) -> Value;
    /// When the client is answered, whatever has become of the request.
    fn deadline(&self) -> Instant;
    /// A random id.
    fn new_uid(&self) -> String;
    /// An object as clients of a version see it, with `apiVersion` and `kind`; of `scale` its Scale.
    fn shown(&self, object: &Value, version: &str) -> Result<Value, Status>;
    /// Makes an object what became of its shown form; checks the types of its fields, and fills defaults.
    fn take(&self, object: &mut Value, shown: Value, version: &str) -> Result<(), Status>;
    /// May this service account do that?
    fn may_account<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        asked: &'a Attributes,
    ) -> Later<'a, Decision>;
}

/// A request without details, whose objects look as they are stored.
impl Details for () {
    fn extra(&self) -> &[(String, Vec<String>)] {
        &[]
    }

    fn options(&self, _: Operation) -> Value {
        Value::Null
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn new_uid(&self) -> String {
        "00000000-0000-4000-8000-000000000000".to_owned()
    }

    fn shown(&self, object: &Value, _: &str) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn take(&self, object: &mut Value, shown: Value, _: &str) -> Result<(), Status> {
        *object = shown;
        Ok(())
    }

    fn may_account<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Attributes) -> Later<'a, Decision> {
        Box::pin(std::future::ready(Decision::NoOpinion(authz::Reason::NONE)))
    }
}

/// How a plugin sees the cluster.
pub trait Cluster: Reader {
    /// The random end of a generated name.
    fn name_suffix(&self) -> String;

    /// The plural of a kind that is served in this version, and whether it has namespaces.
    fn resource_of(&self, group: &str, version: &str, kind: &str) -> Option<(String, bool)>;
}

/// Writes that the server makes of its own accord, in its own name.
pub trait Writes: Send + Sync {
    /// Makes an object by POST to a path such as `/api/v1/namespaces`.
    fn create<'a>(&'a self, path: &'a str, object: Value) -> Later<'a, Result<(), Status>>;
}

/// A server that writes nothing.
impl Writes for () {
    fn create<'a>(&'a self, _: &'a str, _: Value) -> Later<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Err(Status::internal("nothing can be written"))))
    }
}
