//! Changes that the server makes itself while it carries out a command: no admission, no checks of the kind, no owners
//! of fields, but the same transaction and the same retries as every other change.

use crate::call::{Call, rest};
use crate::edit::{Refused, commit, store_failure};
use crate::stored;
use api::{Status, Value, tree};
use kinds::Kind;
use std::sync::Arc;
use store::{Key, Txn};

const MAX_ATTEMPTS: usize = 64;

/// A built-in kind of the server.
pub fn kind(call: &Call, group: &str, resource: &str) -> Result<Arc<dyn Kind>, Status> {
    let found = call.server.registry().find(group, resource).cloned();
    found.ok_or_else(|| Status::internal(format!("{resource} are not served")))
}

/// An object of the request's namespace (of a namespaced kind), or the 404 that says so.
pub async fn get(call: &Call, kind: &dyn Kind, name: &str) -> Result<Value, Status> {
    let found = call.server.store.get(&key(call, kind, name)).await.map_err(|e| store_failure(&e))?;
    match found {
        Some(entry) => stored::decode(kind, &entry),
        None => Err(Status::not_found(&kind.info().group, &kind.info().plural, name)),
    }
}

fn key(call: &Call, kind: &dyn Kind, name: &str) -> Key {
    Key::new(&call.server.space(kind), rest(kind.info(), &call.target.namespace, name))
}

/// Runs `edit` on an object of the request's namespace until a commit succeeds; gives what was written. A dry run
/// only runs the edit.
pub async fn update(
    call: &Call,
    kind: &dyn Kind,
    name: &str,
    dry_run: bool,
    mut edit: impl FnMut(&mut Value) -> Result<(), Status>,
) -> Result<Value, Status> {
    let key = key(call, kind, name);
    for _ in 0..MAX_ATTEMPTS {
        let found = call.server.store.get(&key).await.map_err(|e| store_failure(&e))?;
        let Some(entry) = found else {
            return Err(Status::not_found(&kind.info().group, &kind.info().plural, name));
        };
        let mut object = stored::decode(kind, &entry)?;
        edit(&mut object)?;
        stored::normalise(kind, &kind.info().storage_version, &mut object)?;
        let value = stored::encode(kind, &object)?;
        if dry_run || value == entry.value && !call.server.store.is_stale(&entry) {
            return Ok(object);
        }
        match commit(call, Txn::new().expect(key.clone(), entry.mod_revision).put(key.clone(), value)).await {
            Ok(committed) => {
                object.set(&["metadata", "resourceVersion"], committed.revision.to_string());
                if let Some(Some(entry)) = committed.entries.first() {
                    stored::as_read(kind, &mut object)?;
                    stored::remember(kind, entry, &object);
                }
                return Ok(object);
            }
            Err(Refused::Failed(status)) => return Err(status),
            Err(Refused::Conflict | Refused::Taken) => {}
        }
    }
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Err(Status::conflict(&kind.info().group, &kind.info().plural, name, why))
}

/// Sets a condition in `status`; the time of its last transition stays while its status does.
pub fn set_condition(object: &mut Value, ty: &str, status: &str, rest: &[(&str, Value)], now: &str) {
    let conditions = object.make_map(&["status"]).entry_or("conditions", || Value::List(Vec::new()));
    let Some(list) = conditions.as_list_mut() else { return };
    let mut condition = tree!({"type": ty, "status": status, "lastTransitionTime": now});
    for (field, value) in rest {
        condition.set(&[field], value.clone());
    }
    match list.iter_mut().find(|c| c.str_at(&["type"]) == ty) {
        Some(old) => {
            if old.str_at(&["status"]) == status {
                let since = old.get("lastTransitionTime").cloned().unwrap_or_default();
                condition.set(&["lastTransitionTime"], since);
            }
            *old = condition;
        }
        None => list.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut pod = tree!({"status": {}});
        set_condition(&mut pod, "A", "True", &[], "2024-01-01T00:00:00Z");
        set_condition(&mut pod, "A", "True", &[("reason", "R".into())], "2025-01-01T00:00:00Z");
        assert_eq!(
            pod,
            tree!({"status": {"conditions": [
                {"type": "A", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z", "reason": "R"}
            ]}})
        );
        set_condition(&mut pod, "A", "False", &[], "2026-01-01T00:00:00Z");
        let conditions = pod.list_at(&["status", "conditions"]);
        assert_eq!(conditions[0].str_at(&["lastTransitionTime"]), "2026-01-01T00:00:00Z");
    }
}
