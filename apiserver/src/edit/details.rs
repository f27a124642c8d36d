//! What admission plugins learn of a request that show it to others: objects in the versions that webhooks ask for,
//! options, and how long there is.

use super::delete_options::DeleteOptions;
use super::scale;
use crate::call::Call;
use crate::stored;
use admission::{Details, Operation};
use api::{Later, Status, Value, schema, tree};
use authz::{Attributes, Decision};
use kinds::{Form, Subresource};
use std::time::Duration;
use tokio::time::Instant;

/// Upstream's bound for writes, which a client may shorten by `timeout`.
const MAX_WRITE: Duration = Duration::from_secs(34);

/// A request's details.
pub struct Of<'a> {
    call: &'a Call,
    delete: Option<&'a DeleteOptions>,
    deadline: Instant,
}

impl<'a> Of<'a> {
    pub fn new(call: &'a Call, delete: Option<&'a DeleteOptions>) -> Self {
        let asked = api::time::parse_duration(call.query.text("timeout")).ok();
        let asked = asked.and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0);
        let limit = asked.map_or(MAX_WRITE, |nanos| Duration::from_nanos(nanos).min(MAX_WRITE));
        Of { call, delete, deadline: Instant::now() + limit }
    }

    fn subresource(&self) -> Option<&Subresource> {
        self.call.info().find_subresource(&self.call.target.subresource)
    }

    /// True for objects that are not of the call's kind: what commands and streams are given.
    fn is_input(&self) -> bool {
        self.subresource().is_some_and(|s| matches!(s.form, Form::Command | Form::Stream))
    }

    fn scale(&self) -> Option<&kinds::ScalePaths> {
        match &self.subresource()?.form {
            Form::Scale(paths) => Some(paths),
            _ => None,
        }
    }
}

impl Details for Of<'_> {
    fn extra(&self) -> &[(String, Vec<String>)] {
        self.call.permit.caller().extra()
    }

    fn options(&self, operation: Operation) -> Value {
        let kind = match operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return Value::Null,
        };
        let mut options = tree!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if let (Operation::Delete, Some(delete)) = (operation, self.delete) {
            delete.write(&mut options);
            return options;
        }
        let dry_run = self.call.query.all("dryRun");
        if !dry_run.is_empty() {
            let values: Vec<Value> = dry_run.iter().map(|v| Value::from(*v)).collect();
            options.set(&["dryRun"], Value::List(values));
        }
        for field in ["fieldManager", "fieldValidation"] {
            let text = self.call.query.text(field);
            if !text.is_empty() {
                options.set(&[field], text);
            }
        }
        options
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn new_uid(&self) -> String {
        self.call.server.ids.uuid()
    }

    fn shown(&self, object: &Value, version: &str) -> Result<Value, Status> {
        if self.is_input() {
            return Ok(object.clone());
        }
        if let Some(paths) = self.scale() {
            return scale::of(paths, object);
        }
        stored::to_version(&*self.call.kind, object.clone(), version)
    }

    fn take(&self, object: &mut Value, shown: Value, version: &str) -> Result<(), Status> {
        let call = self.call;
        if self.is_input() || self.scale().is_some() {
            let read = typed(shown)?;
            match self.scale() {
                Some(paths) => kinds::autoscaling::scale::to_parent(&read, object, paths),
                None => *object = read,
            }
            return Ok(());
        }
        let read = call.kind.read(version, shown).map_err(Status::internal)?;
        let mut value = read.object;
        call.kind.fill(&mut value, version);
        stored::normalise(&*call.kind, version, &mut value)?;
        stored::convert(&*call.kind, &mut value, version, &call.info().storage_version.clone())?;
        *object = value;
        Ok(())
    }

    fn may_account<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        asked: &'a Attributes,
    ) -> Later<'a, Decision> {
        Box::pin(async move {
            let groups = [
                "system:serviceaccounts",
                &format!("system:serviceaccounts:{namespace}"),
                "system:authenticated",
            ];
            let groups = groups.iter().map(|g| (*g).to_owned()).collect();
            let account = format!("system:serviceaccount:{namespace}:{name}");
            let caller = authn::hypothetical(&account, "", groups, Vec::new());
            self.call.server.authorizer.decide(&caller, asked).await
        })
    }
}

/// A tree as an object of the built-in type that it says it is.
fn typed(tree: Value) -> Result<Value, Status> {
    let api_version = tree.str_at(&["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = tree.str_at(&["kind"]);
    let Some(ty) = schema::builtin_type(group, version, kind) else {
        return Err(Status::internal(format!(
            "no kind \"{kind}\" is registered for version \"{api_version}\""
        )));
    };
    let table = schema::builtin();
    let mut value = schema::decode(table, ty, tree, false).map_err(Status::internal)?.value;
    schema::normalise(table, ty, &mut value).map_err(Status::internal)?;
    Ok(value)
}
