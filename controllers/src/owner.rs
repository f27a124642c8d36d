//! Who controls an object: controller references, and the adoption and release of objects that match a selector.

use crate::reconcile::unless_gone;
use api::selector::LabelSelector;
use api::{Value, tree};
use client::{Client, Error, Resource};
use std::sync::Arc;

/// The one reference of an object that says `controller: true`.
pub fn controller_of(object: &Value) -> Option<&Value> {
    object.list_at(&["metadata", "ownerReferences"]).iter().find(|owner| owner.bool_at(&["controller"]))
}

/// The uid of an object's controller, "" when there is none.
pub fn controller_uid(object: &Value) -> &str {
    controller_of(object).map_or("", |owner| owner.str_at(&["uid"]))
}

/// The key `NS/NAME` of an object's controller, when it is of that kind (of whatever version).
pub fn controller_key(object: &Value, (api_version, kind): (&str, &str)) -> Option<String> {
    let group = |text: &str| text.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let owner = controller_of(object)?;
    let same = owner.str_at(&["kind"]) == kind && group(owner.str_at(&["apiVersion"])) == group(api_version);
    same.then(|| format!("{}/{}", object.str_at(&["metadata", "namespace"]), owner.str_at(&["name"])))
}

/// A reference to a controller, whose deletion in the foreground waits for the object that has it.
pub fn controller_ref(owner: &Value, (api_version, kind): (&str, &str)) -> Value {
    tree!({
        "apiVersion": api_version, "kind": kind, "name": owner.str_at(&["metadata", "name"]),
        "uid": uid(owner), "controller": true, "blockOwnerDeletion": true
    })
}

pub fn uid(object: &Value) -> &str {
    object.str_at(&["metadata", "uid"])
}

/// Marked for deletion.
pub fn is_leaving(object: &Value) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some_and(|t| !t.is_null())
}

/// What becomes of the tie between an owner and an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// It is ours and matches.
    Keep,
    /// Nobody controls it and it matches: make it ours.
    Adopt,
    /// It is ours and no longer matches: let go.
    Release,
    /// None of our business.
    Ignore,
}

/// Decides on one object.
pub fn plan(object: &Value, owner: &Value, matches: bool) -> Tie {
    match controller_uid(object) {
        "" if matches && !is_leaving(owner) && !is_leaving(object) => Tie::Adopt,
        "" => Tie::Ignore,
        uid if uid != self::uid(owner) => Tie::Ignore,
        _ if matches => Tie::Keep,
        _ if is_leaving(owner) => Tie::Ignore,
        _ => Tie::Release,
    }
}

/// An owner that claims objects by selector.
pub struct Claimant<'a> {
    pub client: &'a Client,
    pub owner: &'a Value,
    /// The owner's resource, and its `apiVersion` and `kind`.
    pub resource: &'a Resource,
    pub kind: (&'a str, &'a str),
    pub selector: &'a LabelSelector,
}

impl Claimant<'_> {
    /// The objects that are the owner's, after adoption and release.
    pub async fn claim(&self, of: &Resource, objects: Vec<Arc<Value>>) -> Result<Vec<Arc<Value>>, Error> {
        let mut ours = Vec::new();
        let mut may_adopt = None;
        for object in objects {
            let matches = self.selector.matches(object.map_at(&["metadata", "labels"]));
            match plan(&object, self.owner, matches) {
                Tie::Keep => ours.push(object),
                Tie::Ignore => {}
                Tie::Release => {
                    self.patch(of, &object, tree!([{"$patch": "delete", "uid": uid(self.owner)}])).await?
                }
                Tie::Adopt => {
                    if may_adopt.is_none() {
                        may_adopt = Some(self.is_still_there().await?);
                    }
                    if may_adopt == Some(true) {
                        self.patch(of, &object, tree!([controller_ref(self.owner, self.kind)])).await?;
                        ours.push(object);
                    }
                }
            }
        }
        Ok(ours)
    }

    /// Asks the server, not the local copy: an owner that is on its way out must adopt nothing.
    async fn is_still_there(&self) -> Result<bool, Error> {
        let meta = |field: &str| self.owner.str_at(&["metadata", field]);
        let found = self.client.find(self.resource, meta("namespace"), meta("name")).await?;
        Ok(found.is_some_and(|found| uid(&found) == uid(self.owner) && !is_leaving(&found)))
    }

    async fn patch(&self, of: &Resource, object: &Value, owners: Value) -> Result<(), Error> {
        let patch = tree!({"metadata": {"ownerReferences": owners, "uid": uid(object)}});
        let meta = |field: &str| object.str_at(&["metadata", field]);
        unless_gone(self.client.strategic_patch(of, meta("namespace"), meta("name"), &patch).await)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(uid: &str) -> Value {
        tree!({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "r", "uid": uid, "controller": true}]}})
    }

    #[test]
    fn objects_are_kept_adopted_released_or_left_alone() {
        let owner = tree!({"metadata": {"uid": "o"}});
        let leaving = tree!({"metadata": {"uid": "o", "deletionTimestamp": "t"}});
        assert_eq!(plan(&owned("o"), &owner, true), Tie::Keep);
        assert_eq!(plan(&owned("o"), &owner, false), Tie::Release);
        assert_eq!(plan(&owned("o"), &leaving, false), Tie::Ignore);
        assert_eq!(plan(&owned("x"), &owner, true), Tie::Ignore);
        assert_eq!(plan(&Value::map(), &owner, true), Tie::Adopt);
        assert_eq!(plan(&Value::map(), &owner, false), Tie::Ignore);
        assert_eq!(plan(&Value::map(), &leaving, true), Tie::Ignore);
    }

    #[test]
    fn a_controller_is_known_by_group_and_kind() {
        let mut pod = owned("o");
        pod.set(&["metadata", "namespace"], "n");
        assert_eq!(controller_key(&pod, ("apps/v1", "ReplicaSet")).as_deref(), Some("n/r"));
        assert_eq!(controller_key(&pod, ("v1", "ReplicaSet")), None);
    }
}
