//! ControllerRevisions: what the template of a StatefulSet or DaemonSet was, by revision, so that one can go back.

use crate::owner::{self, controller_ref};
use crate::reconcile::{Outcome, unless_gone};
use crate::{resources, template_hash};
use api::{Value, tree};
use client::{Client, Error, Informer};
use std::sync::Arc;

/// The revisions of one owner.
pub struct History<'a> {
    pub client: &'a Client,
    pub revisions: &'a Informer,
    pub owner: &'a Value,
    pub kind: (&'static str, &'static str),
    /// The label that carries the hash of a revision.
    pub hash_label: &'static str,
}

/// What a revision keeps: a patch that puts the template back. Upstream's programs compare its bytes, with all names
/// in alphabetical order.
pub fn data(owner: &Value) -> Value {
    let mut template = owner.at(&["spec", "template"]).cloned().unwrap_or_default();
    template.set(&["$patch"], "replace");
    template.sort();
    tree!({"spec": {"template": template}})
}

pub fn number(revision: &Value) -> i64 {
    revision.i64_at(&["revision"]).unwrap_or(0)
}

impl History<'_> {
    /// The owner's revisions, oldest first.
    pub fn list(&self) -> Vec<Arc<Value>> {
        let mut all = self.revisions.cache().list(self.owner.str_at(&["metadata", "namespace"]));
        all.retain(|revision| owner::controller_uid(revision) == owner::uid(self.owner));
        all.sort_by_key(|revision| number(revision));
        all
    }

    /// The revision of the present template, which is the highest; made or raised where needed.
    pub async fn current(&self, collisions: Option<i64>) -> Result<Value, Error> {
        let (all, data) = (self.list(), data(self.owner));
        let highest = all.last().map_or(0, |revision| number(revision));
        if let Some(found) = all.iter().rev().find(|revision| revision.get("data") == Some(&data)) {
            if number(found) == highest {
                return Ok((**found).clone());
            }
            let mut wanted = (**found).clone();
            wanted.set(&["revision"], highest + 1);
            let namespace = wanted.str_at(&["metadata", "namespace"]);
            let written = self.client.update(&resources::controller_revisions(), namespace, &wanted).await?;
            self.revisions.caught_up(&written).await;
            return Ok(written);
        }
        let hash = template_hash::of(&data, collisions);
        let wanted = self.new_revision(data, &hash, highest + 1);
        let namespace = self.owner.str_at(&["metadata", "namespace"]);
        let made = self.client.create(&resources::controller_revisions(), namespace, &wanted).await?;
        self.revisions.caught_up(&made).await;
        Ok(made)
    }

    fn new_revision(&self, data: Value, hash: &str, number: i64) -> Value {
        let mut labels =
            self.owner.at(&["spec", "template", "metadata", "labels"]).cloned().unwrap_or_else(Value::map);
        labels.set(&[self.hash_label], hash);
        let name: String = self.owner.str_at(&["metadata", "name"]).chars().take(223).collect();
        let mut meta = tree!({
            "name": format!("{name}-{hash}"), "labels": labels,
            "ownerReferences": [controller_ref(self.owner, self.kind)]
        });
        if let Some(annotations) = self.owner.at(&["metadata", "annotations"]) {
            meta.set(&["annotations"], annotations.clone());
        }
        tree!({"metadata": meta, "data": data, "revision": number})
    }

    /// Deletes the oldest revisions beyond the limit, but none of `live`.
    pub async fn truncate(&self, live: &[&str]) -> Outcome {
        let limit = self.owner.i64_at(&["spec", "revisionHistoryLimit"]).unwrap_or(10);
        let limit = usize::try_from(limit).unwrap_or(0);
        let mut old = self.list();
        old.retain(|revision| !live.contains(&revision.str_at(&["metadata", "name"])));
        let surplus = old.len().saturating_sub(limit);
        for revision in old.into_iter().take(surplus) {
            let meta = |field: &str| revision.str_at(&["metadata", field]);
            let resource = resources::controller_revisions();
            unless_gone(self.client.delete(&resource, meta("namespace"), meta("name"), &Value::Null).await)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_revision_keeps_is_in_alphabetical_order() {
        let containers = tree!([{"name": "c", "image": "i", "args": ["b", "a"]}]);
        let owner = tree!({"spec": {"template": {"spec": {"containers": containers}, "metadata": {"labels": {"a": "b"}}}}});
        assert_eq!(
            api::json::to_string(&data(&owner)),
            r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"args":["b","a"],"image":"i","name":"c"}]}}}}"#
        );
    }
}
