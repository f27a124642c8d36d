//! Delete: preconditions, grace, finalizers, what becomes of dependents. An object either ends at once, or is marked
//! (deletionTimestamp) and ends later: when its grace is over or its last finalizer goes.

use super::delete_options::DeleteOptions;
use super::{Refused, Written, admit_deletion, commit, store_failure, tidy};
use crate::call::Call;
use crate::{claim, metadata, stored};
use api::{Status, Value, status::Details};
use bytes::Bytes;
use kinds::Propagation;
use std::sync::Arc;
use store::{Entry, Txn};

const MAX_ATTEMPTS: usize = 64;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a delete came to.
pub struct Deleted {
    pub written: Written,
    /// False while the object is still there.
    pub gone: bool,
    pub options: DeleteOptions,
}

/// DELETE of one object.
pub async fn delete(call: &Call, body: &Bytes) -> Result<Deleted, Status> {
    let options = DeleteOptions::read(call, body)?;
    warn_of_default_orphaning(call, &options);
    delete_named(call, &call.target.name, options).await
}

fn warn_of_default_orphaning(call: &Call, options: &DeleteOptions) {
    if options.wanted_propagation().is_none() && call.kind.default_propagation() == Propagation::Orphan {
        call.warn(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
        );
    }
}

/// Deletes one object of the call's kind and namespace.
pub async fn delete_named(call: &Call, name: &str, options: DeleteOptions) -> Result<Deleted, Status> {
    let key = call.key(name);
    let mut ending = None;
    for _ in 0..MAX_ATTEMPTS {
        let found = call.server.store.get(&key).await.map_err(|e| store_failure(&e))?;
        let entry = match (found, &ending) {
            (Some(entry), _) => entry,
            // Whoever watched saw the end of its grace, and was faster.
            (None, Some(object)) => {
                let object = Value::clone(object);
                let written = Written { object, entry: None, created: false };
                return Ok(Deleted { written, gone: true, options });
            }
            (None, None) => return Err(call.not_found(name)),
        };
        let old = stored::decode(&*call.kind, &entry)?;
        check_preconditions(call, name, &options, &old)?;
        // What deletes on behalf of a subresource (an eviction) was admitted as that.
        if call.target.subresource.is_empty() {
            admit_deletion(call, name, &old, &options).await?;
        }
        match attempt(call, entry, old, &options, &mut ending).await {
            Ok((written, gone)) => return Ok(Deleted { written, gone, options }),
            Err(Refused::Failed(status)) => return Err(status),
            Err(Refused::Conflict | Refused::Taken) => {}
        }
    }
    Err(call.conflict(
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    ))
}

/// 409 when the caller means another object; it names the kind where other conflicts name the resource.
fn check_preconditions(call: &Call, name: &str, options: &DeleteOptions, old: &Value) -> Result<(), Status> {
    let meta = |field: &str| old.str_at(&["metadata", field]);
    let conflict = |why: &str| Status::conflict(call.info().storage_group(), &call.info().kind, name, why);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta("uid")) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            meta("uid")
        );
        return Err(conflict(&why));
    }
    if let Some(version) = options.resource_version.as_deref().filter(|v| *v != meta("resourceVersion")) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            meta("resourceVersion")
        );
        return Err(conflict(&why));
    }
    Ok(())
}

/// What grace says of this delete.
enum Grace {
    /// The kind has none, or it is over: the object may end now.
    Over,
    /// It runs already and is not shortened.
    Running,
    /// It was set or shortened on the object.
    Set { secs: i64 },
}

/// Deletes once. `ending` gets the object when its grace ended here and it may still be there.
async fn attempt(
    call: &Call,
    entry: Arc<Entry>,
    old: Value,
    options: &DeleteOptions,
    ending: &mut Option<Value>,
) -> Result<(Written, bool), Refused> {
    let mut obj = old.clone();
    let grace = grace(call, &mut obj, options);
    if matches!(grace, Grace::Running) {
        return Ok((Written { object: old, entry: Some(entry), created: false }, false));
    }
    let held_by_kind = call.kind.begin_deletion(&mut obj, &call.now);
    if held_by_kind && metadata::is_deleting(&old) {
        return Ok((Written { object: old, entry: Some(entry), created: false }, false));
    }
    // Kinds with phases of their own may have marked it already.
    let marked = metadata::is_deleting(&obj) && !metadata::is_deleting(&old) && matches!(grace, Grace::Over);
    settle_finalizers(call, &mut obj, options);
    let held = held_by_kind || marked || !metadata::finalizers(&obj).is_empty();
    if held && !marked && matches!(grace, Grace::Over) {
        mark(&mut obj, &old, &call.now);
    }
    let stays = held || matches!(grace, Grace::Set { secs } if secs > 0);
    tidy(call, &mut obj).map_err(Refused::Failed)?;
    if options.dry_run {
        return Ok((Written { object: obj, entry: None, created: false }, !stays));
    }
    if stays {
        return mark_only(call, entry, obj, old).await.map(|written| (written, false));
    }
    let (entry, obj) = match grace {
        // Watchers see the grace end before they see the object go.
        Grace::Set { .. } => {
            let written = mark_only(call, entry, obj, old).await?;
            match written.entry {
                Some(entry) => {
                    *ending = Some(written.object.clone());
                    (entry, written.object)
                }
                None => return Ok((written, true)),
            }
        }
        _ => (entry, obj),
    };
    let txn = Txn::new().expect(entry.key.clone(), entry.mod_revision);
    let txn = claim::release(call, &obj, txn).await.delete(entry.key.clone());
    commit(call, txn).await?;
    Ok((Written { object: obj, entry: None, created: false }, true))
}

/// Writes the marked object; nothing happens when it was marked so already.
async fn mark_only(call: &Call, entry: Arc<Entry>, mut obj: Value, old: Value) -> Result<Written, Refused> {
    let value = stored::encode(&*call.kind, &obj).map_err(Refused::Failed)?;
    if value == entry.value && !call.server.store.is_stale(&entry) {
        return Ok(Written { object: old, entry: Some(entry), created: false });
    }
    let txn = Txn::new().expect(entry.key.clone(), entry.mod_revision).put(entry.key.clone(), value);
    let committed = commit(call, txn).await?;
    obj.set(&["metadata", "resourceVersion"], committed.revision.to_string());
    Ok(Written { object: obj, entry: committed.entries.into_iter().next().flatten(), created: false })
}

/// Decides about grace and, where it is set or shortened, writes it into the object.
fn grace(call: &Call, obj: &mut Value, options: &DeleteOptions) -> Grace {
    let asked = options.grace_secs.map(|secs| if secs < 0 { 1 } else { secs });
    if metadata::is_deleting(obj) {
        let running = obj.i64_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        return match asked {
            _ if running == 0 => Grace::Over,
            Some(secs) if secs < running => {
                shorten(obj, running - secs, secs);
                Grace::Set { secs }
            }
            _ => Grace::Running,
        };
    }
    let Some(secs) = call.kind.grace_secs(obj, asked) else { return Grace::Over };
    obj.set(&["metadata", "deletionTimestamp"], metadata::time_plus(&call.now, secs));
    obj.set(&["metadata", "deletionGracePeriodSeconds"], secs);
    count_generation(obj);
    Grace::Set { secs }
}

/// Moves the end `by` seconds closer.
fn shorten(obj: &mut Value, by: i64, secs: i64) {
    let end = metadata::time_plus(obj.str_at(&["metadata", "deletionTimestamp"]), -by);
    obj.set(&["metadata", "deletionTimestamp"], end);
    obj.set(&["metadata", "deletionGracePeriodSeconds"], secs);
}

/// Marks an object that has no grace but is held.
fn mark(obj: &mut Value, old: &Value, now: &str) {
    let first = !metadata::is_deleting(old);
    if first {
        obj.set(&["metadata", "deletionTimestamp"], now);
        count_generation(obj);
    }
    obj.set(&["metadata", "deletionGracePeriodSeconds"], 0);
}

/// Objects with a generation count the start of their deletion.
fn count_generation(obj: &mut Value) {
    if let Some(generation) = obj.i64_at(&["metadata", "generation"]).filter(|g| *g > 0) {
        obj.set(&["metadata", "generation"], generation + 1);
    }
}

/// Sets or takes the garbage collector's finalizers, as the caller, the object or the kind say.
fn settle_finalizers(call: &Call, obj: &mut Value, options: &DeleteOptions) {
    let present = metadata::finalizers(obj);
    let policy = options.wanted_propagation().unwrap_or_else(|| {
        if present.contains(&ORPHAN) {
            Propagation::Orphan
        } else if present.contains(&FOREGROUND) {
            Propagation::Foreground
        } else {
            call.kind.default_propagation()
        }
    });
    let wanted = match policy {
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Background => None,
    };
    let mut list: Vec<String> = present
        .iter()
        .filter(|f| !matches!(**f, ORPHAN | FOREGROUND) || Some(**f) == wanted)
        .map(|f| (*f).to_owned())
        .collect();
    if let Some(wanted) = wanted.filter(|w| !list.iter().any(|f| f == w)) {
        list.push(wanted.to_owned());
    }
    if list.is_empty() {
        obj.unset(&["metadata", "finalizers"]);
    } else {
        obj.set(&["metadata", "finalizers"], list);
    }
}

/// The details of the Status that most deletes answer with.
pub fn details(call: &Call, object: &Value) -> Details {
    Details {
        name: Call::name_of(object).to_owned(),
        group: call.group().to_owned(),
        kind: call.resource().to_owned(),
        uid: object.str_at(&["metadata", "uid"]).to_owned(),
        ..Details::default()
    }
}
