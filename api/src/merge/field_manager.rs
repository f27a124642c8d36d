//! The keeper of `managedFields`: every create, update and patch goes through `update`, every apply through
//! `apply`. One is made per request, from what the kind and the subresource say.

use super::compare::Comparison;
use super::field_set::FieldSet;
use super::last_applied;
use super::managed_fields::{Managed, Operation, Owner, decode, encode, is_reset};
use super::updater::{Refusal, Updater, Versions};
use super::{Typing, conflict};
use crate::{Status, Str, Value};
use std::sync::LazyLock;

/// The most entries of updates that an object keeps; beyond, the oldest are united as `ancient-changes`.
pub const MAX_UPDATE_MANAGERS: usize = 10;

const PATH: [&str; 2] = ["metadata", "managedFields"];

/// Fields that nobody owns: the server's own business.
static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// What a request's kind, version and subresource say of field ownership.
pub struct FieldManager<'m, 's> {
    pub typing: Typing<'s>,
    /// Group and version of the request: `v1`, `apps/v1`.
    pub api_version: &'m str,
    pub kind: &'m str,
    /// "" for the object itself.
    pub subresource: &'m str,
    /// Fields that writes through this door do not change (`status` of the object itself, all else of `/status`).
    pub reset_fields: &'m FieldSet,
    pub versions: &'m dyn Versions<'s>,
}

impl<'s> FieldManager<'_, 's> {
    fn updater(&self) -> Updater<'_, 's> {
        Updater {
            typing: self.typing,
            api_version: self.api_version,
            reset_fields: self.reset_fields,
            versions: self.versions,
        }
    }

    /// Writes `managedFields` of an object that was created, replaced or patched. `live` is what is stored, nothing
    /// on create; `now` is RFC 3339. Entries that the request brought count if they can be read (an empty list, which
    /// decoding leaves out, forgets all); where ownership cannot be worked out there will be none.
    pub fn update(&self, live: Option<&Value>, new: Value, manager: &str, now: &str) -> Value {
        let mut new = new;
        let requested = new.unset(&PATH);
        let stored = live.and_then(|l| l.at(&PATH)).filter(|m| !m.list_at(&[]).is_empty());
        let entries = match self.try_update(live, &new, requested.as_ref(), stored, manager, now) {
            Ok(entries) => entries,
            Err(_) => return new,
        };
        if let Some(entries) = entries.filter(|e| !e.list_at(&[]).is_empty()) {
            new.set(&PATH, entries);
        }
        new
    }

    fn try_update(
        &self,
        live: Option<&Value>,
        new: &Value,
        requested: Option<&Value>,
        stored: Option<&Value>,
        manager: &str,
        now: &str,
    ) -> Result<Option<Value>, Refusal> {
        let empty = if live.is_none() { self.typing.empty_object() } else { Value::Null };
        let before = live.unwrap_or(&empty);
        let requested = requested.filter(|_| self.subresource.is_empty());
        let own_entries = requested.filter(|r| stored != Some(*r) && !r.is_null());
        let comparison = self.updater().compare(before, new)?;
        let seen = comparison.modified.union(&comparison.added).union(&comparison.removed);
        if own_entries.is_none() && seen.difference(&UNOWNED).is_empty() && live.is_some() {
            return Ok(stored.cloned());
        }
        let mut managed = match own_entries {
            Some(entries) if is_reset(entries) => Vec::new(),
            Some(entries) => match decode(entries) {
                Ok(managed) if !managed.is_empty() => managed,
                _ => stored_entries(stored),
            },
            None => stored_entries(stored),
        };
        if managed.is_empty() && !before.str_at(&["metadata", "uid"]).is_empty() {
            return Ok(None);
        }
        self.record_update(before, new, &comparison, &mut managed, manager, now)?;
        cap(&mut managed);
        Ok(Some(encode(managed)))
    }

    /// Works out ownership after an update: others lose what changed, the manager gets it.
    fn record_update(
        &self,
        live: &Value,
        new: &Value,
        comparison: &Comparison,
        managed: &mut Vec<Managed>,
        manager: &str,
        now: &str,
    ) -> Result<(), Refusal> {
        let updater = self.updater();
        updater.reconcile(managed);
        updater.settle(live, new, comparison, managed, None, true)?;
        let fields = comparison.modified.union(&comparison.added).difference(&UNOWNED);
        if fields.is_empty() {
            return Ok(());
        }
        let owner = Owner::new(manager, Operation::Update, self.api_version, self.subresource);
        match managed.iter_mut().find(|m| m.owner == owner) {
            Some(entry) => {
                entry.fields = entry.fields.union(&fields);
                entry.time = Some(now.into());
            }
            None => {
                let api_version = self.api_version.into();
                managed.push(Managed { owner, api_version, fields, time: Some(now.into()) });
            }
        }
        Ok(())
    }

    /// Applies a configuration. `live` is what is stored, or an empty map on create. Gives the object with its
    /// `managedFields`, still to be defaulted; nothing when both stay as they are.
    ///
    /// Errors: 400 for another kind or a configuration with `managedFields`, 409 for conflicts (without `force`),
    /// and 500 without reason for what does not fit the type.
    pub fn apply(
        &self,
        live: &Value,
        config: &Value,
        manager: &str,
        force: bool,
        now: &str,
    ) -> Result<Option<Value>, Status> {
        let created;
        let live = match live {
            Value::Map(map) if map.is_empty() => {
                created = self.typing.empty_object();
                &created
            }
            stored => stored,
        };
        let stored = live.at(&PATH).unwrap_or(&Value::Null);
        let mut managed = decode(stored)
            .map_err(|e| Status::unclassified(format!("failed to decode managed fields: {e}")))?;
        self.check_config(live, config)?;
        let fields_before = managed.clone();
        let untracked = managed.is_empty();
        if untracked {
            let mut plain = live.clone();
            plain.unset(&PATH);
            let empty = self.typing.empty_object();
            let recorded = self.updater().compare(&empty, &plain).map_err(Refusal::Failed).and_then(|c| {
                self.record_update(&empty, &plain, &c, &mut managed, "before-first-apply", now)
            });
            recorded.map_err(|e| self.refused(e, "failed to create manager for existing fields: "))?;
        }
        let applied = self.apply_as_kubectl(live, config, &mut managed, manager, force)?;
        let owner = Owner::new(manager, Operation::Apply, self.api_version, self.subresource);
        strip_unowned(&mut managed, &owner);
        if let (Some(_), Some(entry)) = (&applied, managed.iter_mut().find(|m| m.owner == owner)) {
            entry.time = Some(now.into());
        }
        let mut object = applied;
        if manager == last_applied::MANAGER {
            object = last_applied::refresh(object, live, config);
        }
        if object.is_none() && same_entries(&fields_before, &managed) {
            return Ok(None);
        }
        let mut object = object.unwrap_or_else(|| live.clone());
        object.unset(&PATH);
        if !managed.is_empty() {
            object.set(&PATH, encode(managed));
        }
        Ok(Some(object))
    }

    fn check_config(&self, live: &Value, config: &Value) -> Result<(), Status> {
        let (api_version, kind) = (config.str_at(&["apiVersion"]), config.str_at(&["kind"]));
        if api_version != self.api_version || kind != self.kind {
            let text = format!("invalid object type: {}", gvk_text(api_version, kind));
            return Err(Status::bad_request(text));
        }
        if config.at(&PATH).is_some_and(|m| !m.is_null()) {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let updater = self.updater();
        if let Some(found) = updater.violations(config, false) {
            let subject = subject_text(config);
            return Err(Status::unclassified(format!(
                "failed to create typed patch object ({subject}): {found}"
            )));
        }
        // What is stored of a built-in kind was decoded by its type; a custom kind's schema may have changed.
        let live_faults = if self.typing.is_builtin() { None } else { updater.violations(live, true) };
        if let Some(found) = live_faults {
            let subject = subject_text(live);
            return Err(Status::unclassified(format!(
                "failed to create typed live object ({subject}): {found}"
            )));
        }
        Ok(())
    }

    /// As `kubectl`, conflicts over what client-side apply set last do not count: it is the same person.
    fn apply_as_kubectl(
        &self,
        live: &Value,
        config: &Value,
        managed: &mut Vec<Managed>,
        manager: &str,
        force: bool,
    ) -> Result<Option<Value>, Status> {
        let owner = Owner::new(manager, Operation::Apply, self.api_version, self.subresource);
        let updater = self.updater();
        let before = (manager == last_applied::MANAGER && !force).then(|| managed.clone());
        let conflicts = match updater.apply(live, config, managed, &owner, force) {
            Err(Refusal::Conflicts(conflicts)) => conflicts,
            other => return other.map_err(|e| self.refused(e, "")),
        };
        let allowed = before.zip(last_applied::fields(&self.typing, self.api_version, live));
        let Some((before, allowed)) = allowed else {
            return Err(conflict::to_status(conflicts));
        };
        let left: Vec<_> = conflicts.into_iter().filter(|c| !allowed.has(&c.path)).collect();
        if !left.is_empty() {
            return Err(conflict::to_status(left));
        }
        *managed = before;
        updater.apply(live, config, managed, &owner, true).map_err(|e| self.refused(e, ""))
    }

    fn refused(&self, refusal: Refusal, context: &str) -> Status {
        match refusal {
            Refusal::Conflicts(conflicts) => conflict::to_status(conflicts),
            Refusal::Failed(message) => Status::unclassified(format!("{context}{message}")),
        }
    }
}

/// Entries that cannot be read are as none.
fn stored_entries(stored: Option<&Value>) -> Vec<Managed> {
    stored.and_then(|s| decode(s).ok()).unwrap_or_default()
}

fn strip_unowned(managed: &mut Vec<Managed>, owner: &Owner) {
    if let Some(at) = managed.iter().position(|m| m.owner == *owner) {
        managed[at].fields = managed[at].fields.difference(&UNOWNED);
        if managed[at].fields.is_empty() {
            managed.remove(at);
        }
    }
}

fn same_entries(a: &[Managed], b: &[Managed]) -> bool {
    a.len() == b.len() && a.iter().all(|m| b.contains(m))
}

/// Unites the oldest update entries of each version until there are few enough.
fn cap(managed: &mut Vec<Managed>) {
    let is_update = |m: &&Managed| m.owner.operation == Operation::Update;
    let mut count = managed.iter().filter(is_update).count();
    if count <= MAX_UPDATE_MANAGERS {
        return;
    }
    let mut updaters: Vec<(Option<Str>, String, Owner)> = managed
        .iter()
        .filter(is_update)
        .map(|m| (m.time.clone(), m.owner.sort_key(), m.owner.clone()))
        .collect();
    updaters.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let mut firsts: Vec<Owner> = Vec::new();
    for (time, _, owner) in updaters {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let Some(first) = firsts.iter().find(|f| f.api_version == owner.api_version) else {
            firsts.push(owner);
            continue;
        };
        let bucket = Owner::new("ancient-changes", Operation::Update, &owner.api_version, "");
        if !managed.iter().any(|m| m.owner == bucket)
            && let Some(entry) = managed.iter_mut().find(|m| m.owner == *first)
        {
            entry.owner = bucket.clone();
        }
        if owner == bucket {
            continue;
        }
        let Some(at) = managed.iter().position(|m| m.owner == owner) else { continue };
        let entry = managed.remove(at);
        count -= 1;
        if let Some(united) = managed.iter_mut().find(|m| m.owner == bucket) {
            united.fields = united.fields.union(&entry.fields);
            united.time = time;
        }
    }
}

/// `apps/v1, Kind=Deployment`; `/v1, Kind=Pod` for the core group.
fn gvk_text(api_version: &str, kind: &str) -> String {
    match api_version.split_once('/') {
        Some(_) => format!("{api_version}, Kind={kind}"),
        None => format!("/{api_version}, Kind={kind}"),
    }
}

fn subject_text(object: &Value) -> String {
    let gvk = gvk_text(object.str_at(&["apiVersion"]), object.str_at(&["kind"]));
    format!("{}/{}; {gvk}", object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]))
}

#[cfg(test)]
#[path = "field_manager_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "property_tests.rs"]
mod property_tests;
