//! Edits: the only part of a request that depends on the verb. Every change of an object, whatever the verb, ends in
//! one of three ways here: `create`, `change` (with its one retry loop) or `delete`.

pub mod apply;
pub mod change;
pub mod collection;
pub mod create;
pub mod delete;
pub mod delete_options;
mod details;
mod escalation;
pub mod patch;
pub mod replace;
pub mod scale;

use crate::call::Call;
use crate::stored;
use admission::{Charges, Operation, Review};
use api::{Fault, Status, Value};
use delete_options::DeleteOptions;
use std::sync::Arc;
use store::{Committed, Entry, Error, Txn};

/// What a write came to: the object as it is now, in the stored version.
pub struct Written {
    pub object: Value,
    /// What the store holds now; none after a dry run or when the write was the object's end.
    pub entry: Option<Arc<Entry>>,
    pub created: bool,
}

/// Why a commit did not happen.
pub enum Refused {
    /// Somebody else was first.
    Conflict,
    /// Somebody else made a claim first; the object itself is as it was seen.
    Taken,
    Failed(Status),
}

/// Commits one transaction, whose first compare is about the object itself; those behind it are about its claims.
pub async fn commit(call: &Call, txn: Txn) -> Result<Committed, Refused> {
    let seen = txn.compares.first().map(|(_, revision)| *revision);
    call.server.store.commit(txn).await.map_err(|e| match e {
        Error::Conflict(conflict) => {
            let found = conflict.current.first().map(|e| e.as_ref().map_or(0, |e| e.mod_revision));
            if found == seen { Refused::Taken } else { Refused::Conflict }
        }
        other => Refused::Failed(store_failure(&other)),
    })
}

/// Waits before what the object needs is claimed once more: what others have claimed may have to arrive first, where
/// several servers share a store.
pub async fn pause(attempts: usize) {
    const AT_ONCE: usize = 8;
    const MAX_MILLIS: u64 = 20;
    let late = u64::try_from(attempts.saturating_sub(AT_ONCE)).unwrap_or(MAX_MILLIS);
    if late > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(late.min(MAX_MILLIS))).await;
    }
}

/// A failure of the store that is nobody's fault who asked.
pub fn store_failure(error: &Error) -> Status {
    match error {
        Error::Unavailable(why) => {
            let mut status = Status::new(500, "InternalError", format!("Internal error occurred: {why}"));
            status.retry_after_secs = Some(1);
            status
        }
        other => Status::internal(other),
    }
}

/// Runs the admission plugins that may change the object.
pub async fn admit(
    call: &Call,
    operation: Operation,
    name: &str,
    object: Option<&mut Value>,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<(), Status> {
    let change = Change { operation, name, object, old, dry_run, delete: None };
    review(call, change, Phase::Admit).await.map(|_| ())
}

/// Runs the admission plugins that may only refuse. Gives the quotas that the change is charged to.
pub async fn admission_check(
    call: &Call,
    operation: Operation,
    name: &str,
    object: Option<&mut Value>,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Charges, Status> {
    let change = Change { operation, name, object, old, dry_run, delete: None };
    review(call, change, Phase::Validate).await
}

/// Runs all admission plugins on the end of an object.
pub async fn admit_deletion(
    call: &Call,
    name: &str,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    for phase in [Phase::Admit, Phase::Validate] {
        let (operation, delete, dry_run) = (Operation::Delete, Some(options), options.dry_run);
        let change = Change { operation, name, object: None, old: Some(old), dry_run, delete };
        review(call, change, phase).await?;
    }
    Ok(())
}

/// Runs all admission plugins on a stream that is to be opened.
pub async fn admit_stream(call: &Call, options: &mut Value) -> Result<(), Status> {
    for phase in [Phase::Admit, Phase::Validate] {
        let (operation, name) = (Operation::Connect, call.target.name.as_str());
        let object = Some(&mut *options);
        let change = Change { operation, name, object, old: None, dry_run: false, delete: None };
        review(call, change, phase).await?;
    }
    Ok(())
}

/// What is to be reviewed.
struct Change<'a> {
    operation: Operation,
    name: &'a str,
    object: Option<&'a mut Value>,
    old: Option<&'a Value>,
    dry_run: bool,
    delete: Option<&'a DeleteOptions>,
}

#[derive(Clone, Copy)]
enum Phase {
    Admit,
    Validate,
}

async fn review(call: &Call, change: Change<'_>, phase: Phase) -> Result<Charges, Status> {
    let cx = call.cx();
    let (mut warnings, mut audit_annotations, mut charges) = (Vec::new(), Vec::new(), Charges::default());
    let mut review = Review {
        operation: change.operation,
        kind: &*call.kind,
        version: call.version(),
        namespace: call.namespace(),
        name: change.name,
        subresource: &call.target.subresource,
        object: change.object,
        old: change.old,
        user: cx.user,
        uid: cx.uid,
        groups: cx.groups,
        asks: call,
        details: &details::Of::new(call, change.delete),
        reinvocation: admission::Reinvocation::default(),
        dry_run: change.dry_run,
        warnings: &mut warnings,
        audit_annotations: &mut audit_annotations,
        charges: &mut charges,
    };
    let reader: &dyn admission::Cluster = &**call.server;
    let chain = &call.server.admission;
    let outcome = match phase {
        Phase::Admit => chain.admit(&mut review, reader).await,
        Phase::Validate => chain.validate(&mut review, reader).await,
    };
    warnings.into_iter().for_each(|text| call.warn(text));
    call.annotate(audit_annotations);
    outcome.map(|()| charges)
}

/// 422 when there are faults.
pub fn refuse(call: &Call, name: &str, faults: &[Fault]) -> Result<(), Status> {
    if faults.is_empty() {
        return Ok(());
    }
    let kind = call.info().kind.as_str();
    Err(Status::invalid(call.info().storage_group(), kind, name, faults))
}

/// Warnings of the kind about a new object or a change.
pub fn warn(call: &Call, new: &Value, old: Option<&Value>) {
    for text in call.kind.warn(new, old, &call.cx()) {
        call.warn(text);
    }
}

/// The body's namespace must be the request's, or nothing. Cluster-scoped objects lose theirs.
pub fn settle_namespace(call: &Call, obj: &mut Value) -> Result<(), Status> {
    let wanted = call.namespace();
    let given = obj.str_at(&["metadata", "namespace"]);
    if given == wanted {
        return Ok(());
    }
    if wanted.is_empty() {
        obj.unset(&["metadata", "namespace"]);
        return Ok(());
    }
    if given.is_empty() {
        obj.set(&["metadata", "namespace"], wanted);
        return Ok(());
    }
    Err(Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

/// Normalises a tree of the stored version after it was worked on.
pub fn tidy(call: &Call, obj: &mut Value) -> Result<(), Status> {
    stored::normalise(&*call.kind, &call.info().storage_version, obj)
}
