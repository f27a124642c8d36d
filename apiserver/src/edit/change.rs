//! Change: an object that exists becomes another one. Replace, every patch, apply, the lenses, bindings and evictions
//! are all changes; this is their one retry loop.

use super::create::{is_of_kind, refuse_as};
use super::{
    Refused, Written, admission_check, admit, commit, escalation, settle_namespace, store_failure, tidy, warn,
};
use crate::call::Call;
use crate::{claim, metadata, stored};
use admission::{Charges, Operation};
use api::{Fault, Status, Value, merge};
use bytes::Bytes;
use std::sync::Arc;
use store::{Entry, Key, Txn};

/// How often a lost race is run again before the caller is told of a conflict.
const MAX_ATTEMPTS: usize = 64;

/// An object as an edit wants it, in the version that the request came by, with defaults and owned fields.
pub struct Wanted {
    pub object: Value,
    /// The uid that the caller saw; a mismatch is a conflict.
    pub uid: String,
}

impl From<Value> for Wanted {
    fn from(object: Value) -> Self {
        let uid = object.str_at(&["metadata", "uid"]).to_owned();
        Wanted { object, uid }
    }
}

/// A change of one object.
pub struct Change<'a> {
    pub call: &'a Call,
    pub name: &'a str,
    pub dry_run: bool,
    /// Runs the update strategy of the main resource although the request is for a subresource (scale).
    pub as_main: bool,
}

/// Where one attempt stands.
struct Attempt {
    key: Key,
    entry: Arc<Entry>,
    /// In the stored version.
    old: Value,
    new: Value,
    /// The caller named the version that it wants to change.
    pinned: bool,
}

impl Change<'_> {
    /// Runs the edit on the current object until a commit succeeds. The edit sees the object in the request's version.
    /// `None`: there is no such object.
    pub async fn run(
        &self,
        mut edit: impl FnMut(&Value) -> Result<Wanted, Status>,
    ) -> Result<Option<Written>, Status> {
        let key = self.call.key(self.name);
        for attempts in 1..=MAX_ATTEMPTS {
            let found = self.call.server.store.get(&key).await.map_err(|e| store_failure(&e))?;
            let Some(entry) = found else { return Ok(None) };
            let old = stored::decode(&*self.call.kind, &entry)?;
            let current = stored::to_version(&*self.call.kind, old.clone(), self.call.version())?;
            let wanted = edit(&current)?;
            let attempt = self.prepare(key.clone(), entry, old, wanted)?;
            let pinned = attempt.pinned;
            match self.finish(attempt).await {
                Ok(written) => return Ok(Some(written)),
                Err(Refused::Failed(status)) => return Err(status),
                Err(Refused::Conflict) if pinned => break,
                Err(Refused::Conflict) => {}
                Err(Refused::Taken) => super::pause(attempts).await,
            }
        }
        Err(self.modified())
    }

    /// 409 of a lost race.
    fn modified(&self) -> Status {
        const WHY: &str =
            "the object has been modified; please apply your changes to the latest version and try again";
        self.call.conflict(self.name, WHY)
    }

    fn prepare(&self, key: Key, entry: Arc<Entry>, old: Value, wanted: Wanted) -> Result<Attempt, Status> {
        let call = self.call;
        let Wanted { object: mut new, uid } = wanted;
        self.check_uid(&key, &uid, &old)?;
        stored::convert(&*call.kind, &mut new, call.version(), &call.info().storage_version.clone())?;
        // A patch takes its version from what it finds; one that names a version is refused at its next attempt.
        let is_patch = call.target.verb.is_some_and(|v| v == crate::address::Verb::Patch);
        let pinned = self.settle_version(&mut new, &entry)? && !is_patch;
        settle_namespace(call, &mut new)?;
        Ok(Attempt { key, entry, old, new, pinned })
    }

    fn check_uid(&self, key: &Key, uid: &str, old: &Value) -> Result<(), Status> {
        let found = old.str_at(&["metadata", "uid"]);
        if uid.is_empty() || uid == found {
            return Ok(());
        }
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {found}",
            key.full()
        );
        Err(self.call.conflict(self.name, &why))
    }

    /// Compares the body's resource version with what is there; true when the body named one.
    fn settle_version(&self, new: &mut Value, entry: &Entry) -> Result<bool, Status> {
        let given = new.str_at(&["metadata", "resourceVersion"]);
        let version = match given {
            "" => 0,
            text => text.parse::<u64>().map_err(|_| malformed_version(text))?,
        };
        if version == entry.mod_revision {
            return Ok(true);
        }
        if version != 0 {
            return Err(self.modified());
        }
        let info = self.call.info();
        if !info.unconditional_update
            && !self.as_main
            && !self.call.target.verb.is_some_and(|v| v == crate::address::Verb::Patch)
        {
            let fault = Fault::invalid("metadata.resourceVersion", 0, "must be specified for an update");
            return Err(Status::invalid(info.storage_group(), &info.plural, self.name, &[fault]));
        }
        new.set(&["metadata", "resourceVersion"], entry.mod_revision.to_string());
        Ok(false)
    }

    async fn finish(&self, attempt: Attempt) -> Result<Written, Refused> {
        let call = self.call;
        let Attempt { key, entry, old, mut new, .. } = attempt;
        admit(call, Operation::Update, self.name, Some(&mut new), Some(&old), self.dry_run)
            .await
            .map_err(Refused::Failed)?;
        escalation::check(call, &new, Some(&old)).await.map_err(Refused::Failed)?;
        merge::keep_times(&old, &mut new);
        let mut claims =
            claim::make(call, &mut new, Some(&old), self.dry_run).await.map_err(Refused::Failed)?;
        self.settle(&mut new, &old).map_err(Refused::Failed)?;
        let charges = self.check(&mut new, &old).await.map_err(Refused::Failed)?;
        let _turn = claims.charge(call, charges).map_err(Refused::Failed)?;
        let ends = metadata::is_deleting(&new)
            && metadata::finalizers(&new).is_empty()
            && old.i64_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
            && !call.kind.stays_while_deleting(&new);
        let value = stored::encode(&*call.kind, &new).map_err(Refused::Failed)?;
        if self.dry_run {
            return Ok(Written { object: new, entry: None, created: false });
        }
        let txn = Txn::new().expect(key.clone(), entry.mod_revision);
        if ends {
            let txn = claim::release(call, &old, txn).await.delete(key);
            commit(call, txn).await?;
            return Ok(Written { object: new, entry: None, created: false });
        }
        if value == entry.value && !call.server.store.is_stale(&entry) {
            return Ok(Written { object: old, entry: Some(entry), created: false });
        }
        self.store(claims.join(self.put(txn, key, value)), new).await
    }

    fn put(&self, txn: Txn, key: Key, value: Bytes) -> Txn {
        match self.call.info().ttl_secs {
            Some(secs) => txn.put_ttl(key, value, std::time::Duration::from_secs(secs)),
            None => txn.put(key, value),
        }
    }

    async fn store(&self, txn: Txn, mut new: Value) -> Result<Written, Refused> {
        let committed = commit(self.call, txn).await?;
        new.set(&["metadata", "resourceVersion"], committed.revision.to_string());
        tidy(self.call, &mut new).map_err(Refused::Failed)?;
        let entry = committed.entries.into_iter().next().flatten();
        Ok(Written { object: new, entry, created: false })
    }

    /// What stays of the old object, by the kind and for metadata.
    fn settle(&self, new: &mut Value, old: &Value) -> Result<(), Status> {
        let call = self.call;
        metadata::keep_generation(new, old);
        if self.is_lens() {
            call.kind.prepare_lens(new, old, &call.cx());
        } else {
            call.kind.prepare_update(new, old, &call.cx());
        }
        metadata::keep_updated(new, old);
        tidy(call, new)?;
        // A status is never part of what is asked for, nor are annotations that are written with it.
        let is_status = self.is_lens() && call.target.subresource == "status";
        if call.info().generation && !is_status && call.kind.generation_grows(new, old) {
            let before = old.i64_at(&["metadata", "generation"]).unwrap_or(0);
            new.set(&["metadata", "generation"], before + 1);
            tidy(call, new)?;
        }
        Ok(())
    }

    fn is_lens(&self) -> bool {
        !self.as_main && !self.call.target.subresource.is_empty()
    }

    async fn check(&self, new: &mut Value, old: &Value) -> Result<Charges, Status> {
        let call = self.call;
        let mut faults = Vec::new();
        if is_of_kind(call, new) {
            faults.extend(metadata::validate_update(new, old, call.info()));
            let builtin = !call.kind.stored_as_json();
            faults.extend(metadata::change_faults(new, old, call.info(), builtin, self.is_lens()));
        }
        faults.extend(if self.is_lens() {
            call.kind.validate_lens(new, old, &call.cx())
        } else {
            call.kind.validate_update(new, old, &call.cx())
        });
        refuse_as(call, new, self.name, &faults)?;
        warn(call, new, Some(old));
        admission_check(call, Operation::Update, self.name, Some(new), Some(old), self.dry_run).await
    }
}

/// 500 of a resource version that is no number.
pub fn malformed_version(text: &str) -> Status {
    Status::unclassified(format!("strconv.ParseUint: parsing {}: invalid syntax", api::quote(text)))
}
