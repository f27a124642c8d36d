//! Ownership: what a write does to everybody's field sets, and what an apply does to the object.

use super::combine::{merge, unchanged};
use super::compare::{Comparison, compare};
use super::conflict::{self, Conflict};
use super::field_set::FieldSet;
use super::managed_fields::{Managed, Owner};
use super::remove::{reconcile, remove_items, with_named_fields};
use super::typing::Typing;
use super::{collect::to_field_set, validate};
use crate::{Str, Value};
use std::borrow::Cow;

/// The other versions of a kind, in which some owners may have named their fields.
pub trait Versions<'s> {
    /// How objects of a version are typed; none for versions that are no longer served.
    fn typing(&self, api_version: &str) -> Option<Typing<'s>>;
    /// An object (which says its own version) in another version.
    fn convert(&self, object: &Value, api_version: &str) -> Option<Value>;
    /// Fields that a write through this door does not change, in a version's names.
    fn reset_fields(&self, api_version: &str) -> Option<&FieldSet>;
}

/// A kind of one version, without reset fields.
pub struct OneVersion;

impl<'s> Versions<'s> for OneVersion {
    fn typing(&self, _: &str) -> Option<Typing<'s>> {
        None
    }

    fn convert(&self, _: &Value, _: &str) -> Option<Value> {
        None
    }

    fn reset_fields(&self, _: &str) -> Option<&FieldSet> {
        None
    }
}

/// Why ownership could not be worked out.
#[derive(Debug)]
pub(super) enum Refusal {
    Conflicts(Vec<Conflict>),
    Failed(String),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Refusal::Failed(message)
    }
}

/// The version that requests come in, and the others.
pub(super) struct Updater<'u, 's> {
    pub typing: Typing<'s>,
    pub api_version: &'u str,
    pub reset_fields: &'u FieldSet,
    pub versions: &'u dyn Versions<'s>,
}

/// An applied object: nothing when it is as it was.
pub(super) type Applied = Option<Value>;

impl<'s> Updater<'_, 's> {
    pub(super) fn typing_of(&self, api_version: &str) -> Option<Typing<'s>> {
        if api_version == self.api_version { Some(self.typing) } else { self.versions.typing(api_version) }
    }

    fn in_version<'v>(&self, object: &'v Value, api_version: &str) -> Option<Cow<'v, Value>> {
        let own = object.str_at(&["apiVersion"]);
        if own == api_version || (own.is_empty() && api_version == self.api_version) {
            return Some(Cow::Borrowed(object));
        }
        self.versions.convert(object, api_version).map(Cow::Owned)
    }

    fn reset_of(&self, api_version: &str) -> Option<&FieldSet> {
        if api_version == self.api_version {
            Some(self.reset_fields)
        } else {
            self.versions.reset_fields(api_version)
        }
    }

    /// What a write changes in this version, without reset fields.
    pub(super) fn compare(&self, live: &Value, new: &Value) -> Result<Comparison, String> {
        let comparison =
            compare(&self.typing, live, new).map_err(|e| format!("failed to compare objects: {e}"))?;
        Ok(comparison.excluding(self.reset_fields))
    }

    /// Takes from all owners but `workflow` what a write changed or removed. Without `force` the changed ones are
    /// conflicts. Owners without fields are dropped, as are those of versions that are gone.
    pub(super) fn settle(
        &self,
        live: &Value,
        new: &Value,
        comparison: &Comparison,
        managed: &mut Vec<Managed>,
        workflow: Option<&Owner>,
        force: bool,
    ) -> Result<(), Refusal> {
        let own = Changes::of(comparison);
        let mut others: Vec<(Str, Option<Changes>)> = Vec::new();
        let mut gone: Vec<Owner> = Vec::new();
        let mut losses: Vec<(usize, FieldSet, FieldSet)> = Vec::new();
        for (i, entry) in managed.iter().enumerate() {
            if Some(&entry.owner) == workflow {
                continue;
            }
            let changes = if entry.api_version == self.api_version {
                Some(&own)
            } else {
                if !others.iter().any(|(v, _)| *v == entry.api_version) {
                    others.push((entry.api_version.clone(), self.changes_in(live, new, &entry.api_version)?));
                }
                others.iter().find(|(v, _)| *v == entry.api_version).and_then(|(_, c)| c.as_ref())
            };
            match changes {
                Some(changes) => {
                    let taken = entry.fields.intersection(&changes.set);
                    losses.push((i, taken, changes.removed.clone()));
                }
                None => gone.push(entry.owner.clone()),
            }
        }
        if !force {
            let mut conflicts = Vec::new();
            for (i, taken, _) in &losses {
                conflict::of_owner(&managed[*i].owner, taken, &mut conflicts);
            }
            if !conflicts.is_empty() {
                return Err(Refusal::Conflicts(conflicts));
            }
        }
        for (i, taken, removed) in losses {
            if !taken.is_empty() || !removed.is_empty() {
                managed[i].fields = managed[i].fields.difference(&taken).difference(&removed);
            }
        }
        managed.retain(|m| !m.fields.is_empty() && !gone.contains(&m.owner));
        Ok(())
    }

    fn changes_in(&self, live: &Value, new: &Value, api_version: &str) -> Result<Option<Changes>, String> {
        let (Some(typing), Some(live), Some(new)) = (
            self.typing_of(api_version),
            self.in_version(live, api_version),
            self.in_version(new, api_version),
        ) else {
            return Ok(None);
        };
        let mut comparison =
            compare(&typing, &live, &new).map_err(|e| format!("failed to compare objects: {e}"))?;
        if let Some(reset) = self.reset_of(api_version) {
            comparison = comparison.excluding(reset);
        }
        Ok(Some(Changes::of(&comparison)))
    }

    /// Brings sets to the schema of today.
    pub(super) fn reconcile(&self, managed: &mut Vec<Managed>) {
        managed.retain_mut(|entry| {
            let Some(typing) = self.typing_of(&entry.api_version) else { return false };
            if let Some(fields) = reconcile(&typing, &entry.fields) {
                entry.fields = fields;
            }
            true
        });
    }

    /// Merges a configuration into the object and works out ownership.
    pub(super) fn apply(
        &self,
        live: &Value,
        config: &Value,
        managed: &mut Vec<Managed>,
        owner: &Owner,
        force: bool,
    ) -> Result<Applied, Refusal> {
        self.reconcile(managed);
        let merged = merge(&self.typing, live, config).map_err(|e| format!("failed to merge config: {e}"))?;
        let fields = to_field_set(&self.typing, config).recursive_difference(self.reset_fields);
        let entry = Managed {
            owner: owner.clone(),
            api_version: self.api_version.into(),
            fields,
            time: managed.iter().find(|m| m.owner == *owner).and_then(|m| m.time.clone()),
        };
        let last = match managed.iter_mut().find(|m| m.owner == *owner) {
            Some(slot) => Some(std::mem::replace(slot, entry)),
            None => {
                managed.push(entry);
                None
            }
        };
        let pruned = match last {
            Some(last) => self.prune(merged.as_ref().unwrap_or(live), managed, owner, &last)?,
            None => None,
        };
        let applied = pruned.or(merged);
        if unchanged(live, applied.as_ref()) {
            managed.retain(|m| !m.fields.is_empty());
            return Ok(None);
        }
        let new = applied.as_ref().unwrap_or(live);
        let comparison = self.compare(live, new)?;
        self.settle(live, new, &comparison, managed, Some(owner), force)?;
        Ok(applied)
    }

    /// Removes what the owner applied last time, does not apply now, and nobody else owns. Nothing when that is
    /// nothing.
    fn prune(
        &self,
        merged: &Value,
        managed: &[Managed],
        owner: &Owner,
        last: &Managed,
    ) -> Result<Option<Value>, String> {
        let now = managed.iter().find(|m| m.owner == *owner);
        let covered = now.is_some_and(|n| {
            n.api_version == last.api_version && last.fields.difference(&n.fields).is_empty()
        });
        if last.fields.is_empty() || covered {
            return Ok(None);
        }
        let version = &last.api_version;
        let (Some(typing), Some(merged)) = (self.typing_of(version), self.in_version(merged, version)) else {
            return Ok(None);
        };
        let last_fields = with_named_fields(&typing, &last.fields);
        let mut pruned = remove_items(&typing, &merged, &last_fields);
        pruned = self.add_back_owned(&merged, pruned, version, managed);
        let Some(pruned) = self.in_version(&pruned, version) else { return Ok(None) };
        let left = with_named_fields(&typing, &to_field_set(&typing, &pruned));
        let had = with_named_fields(&typing, &to_field_set(&typing, &merged));
        let dropped = had.difference(&left).intersection(&last_fields);
        if dropped.is_empty() {
            return Ok(None);
        }
        let pruned = remove_items(&typing, &merged, &dropped);
        match self.in_version(&pruned, self.api_version) {
            Some(back) => Ok(Some(back.into_owned())),
            None => Err("failed to prune fields: no such version".to_owned()),
        }
    }

    /// Puts back what somebody owns, in the pruned version first.
    fn add_back_owned(&self, merged: &Value, pruned: Value, version: &str, managed: &[Managed]) -> Value {
        let mut versions: Vec<&str> = vec![version];
        for entry in managed {
            if !versions.contains(&entry.api_version.as_str()) {
                versions.push(&entry.api_version);
            }
        }
        let mut pruned = pruned;
        for version in versions {
            let mut owned = FieldSet::new();
            for entry in managed.iter().filter(|m| m.api_version == version) {
                owned = owned.union(&entry.fields);
            }
            let (Some(typing), Some(all), Some(kept)) = (
                self.typing_of(version),
                self.in_version(merged, version),
                self.in_version(&pruned, version),
            ) else {
                continue;
            };
            let had = with_named_fields(&typing, &to_field_set(&typing, &all));
            let left = with_named_fields(&typing, &to_field_set(&typing, &kept));
            let owned = with_named_fields(&typing, &owned);
            pruned = remove_items(&typing, &all, &had.difference(&left.union(&owned)));
        }
        pruned
    }

    /// Upstream's text of what does not fit the type; none when all fits.
    pub(super) fn violations(&self, object: &Value, allow_duplicates: bool) -> Option<String> {
        let found = validate::validate(&self.typing, object, allow_duplicates);
        (!found.is_empty()).then(|| validate::violations_text(&found))
    }
}

/// What a write did, as far as other owners care.
struct Changes {
    /// Modified and added.
    set: FieldSet,
    removed: FieldSet,
}

impl Changes {
    fn of(comparison: &Comparison) -> Self {
        Changes { set: comparison.modified.union(&comparison.added), removed: comparison.removed.clone() }
    }
}
