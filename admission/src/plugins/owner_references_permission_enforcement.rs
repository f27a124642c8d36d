//! OwnerReferencesPermissionEnforcement: who sets owners must be allowed to delete the object, and who lets an object
//! block the deletion of its owner must be allowed to set finalizers on that owner.

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value};
use authz::{Attributes, Decision};
use futures::future::BoxFuture;

pub struct OwnerReferencesPermissionEnforcement;

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn handles(&self, review: &Review<'_>) -> bool {
        let is_pod_status =
            review.subresource == "status" && review.group().is_empty() && review.resource() == "pods";
        let is_change = matches!(review.operation, Operation::Create | Operation::Update);
        is_change && !is_pod_status && owners(review.object.as_deref()) != owners(review.old)
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if review.operation != Operation::Create
                && let Some(why) = denial(review, &deletion(review)).await
            {
                let why = format!("cannot set an ownerRef on a resource you can't delete: {why}");
                return Err(review.forbidden(&why));
            }
            let blocking: Vec<Value> = newly_blocking(review).cloned().collect();
            if blocking.is_empty() || denial(review, &finalizers("*", "*", "*", "*")).await.is_none() {
                return Ok(());
            }
            for owner in &blocking {
                let asked =
                    of_owner(owner, review.namespace, reader).map_err(|why| review.forbidden(&why))?;
                if let Some(why) = denial(review, &asked).await {
                    return Err(review.forbidden(&format!(
                        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {why}"
                    )));
                }
            }
            Ok(())
        })
    }
}

fn owners(object: Option<&Value>) -> &[Value] {
    object.map(|object| object.list_at(&["metadata", "ownerReferences"])).unwrap_or_default()
}

/// Owners whose deletion waits for the object and did not before.
fn newly_blocking<'a>(review: &'a Review<'_>) -> impl Iterator<Item = &'a Value> {
    let blocks = |owner: &Value| owner.bool_at(&["blockOwnerDeletion"]);
    let before = owners(review.old);
    owners(review.object.as_deref()).iter().filter(move |owner| {
        let uid = owner.str_at(&["uid"]);
        blocks(owner) && !before.iter().rev().find(|old| old.str_at(&["uid"]) == uid).is_some_and(blocks)
    })
}

/// Why the user may not; nothing when it is allowed.
async fn denial(review: &Review<'_>, asked: &Attributes) -> Option<String> {
    match review.asks.may(asked).await {
        Decision::Allow(_) => None,
        Decision::Deny(reason) | Decision::NoOpinion(reason) => {
            Some(format!("{reason}, {}", reason.error().unwrap_or("<nil>")))
        }
    }
}

fn deletion(review: &Review<'_>) -> Attributes {
    let mut asked = Attributes::resource("delete", review.group(), review.version, review.resource());
    asked.namespace = review.namespace.into();
    asked.subresource = review.subresource.into();
    asked.name = review.name.into();
    asked
}

fn finalizers(group: &str, version: &str, resource: &str, name: &str) -> Attributes {
    let mut asked = Attributes::resource("update", group, version, resource);
    asked.subresource = "finalizers".into();
    asked.name = name.into();
    asked
}

/// What is to be asked about an owner, which is in the same namespace if it is in one.
fn of_owner(owner: &Value, namespace: &str, reader: &dyn Cluster) -> Result<Attributes, String> {
    let (api_version, kind) = (owner.str_at(&["apiVersion"]), owner.str_at(&["kind"]));
    let unknown = |why: String| {
        format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: {why}"
        )
    };
    let (group, version) = match api_version.split_once('/') {
        Some((_, version)) if version.contains('/') => {
            return Err(unknown(format!("unexpected GroupVersion string: {api_version}")));
        }
        Some(both) => both,
        None => ("", api_version),
    };
    let (plural, namespaced) = reader.resource_of(group, version, kind).ok_or_else(|| {
        let (kind, version) = (api::quote(kind), api::quote(api_version));
        unknown(format!("no matches for kind {kind} in version {version}"))
    })?;
    let mut asked = finalizers(group, version, &plural, owner.str_at(&["name"]));
    if namespaced {
        asked.namespace = namespace.into();
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, Request};
    use super::*;
    use crate::review::Asks;
    use api::{Later, tree};

    /// May do what is named, as `verb resource/subresource name`.
    struct May(&'static [&'static str]);

    impl Asks for May {
        fn may<'a>(&'a self, asked: &'a Attributes) -> Later<'a, Decision> {
            let text = format!("{} {}/{} {}", asked.verb, asked.resource, asked.subresource, asked.name);
            let allowed = self.0.contains(&text.as_str());
            let reason = authz::Reason::NONE;
            let decision = if allowed { Decision::Allow(reason) } else { Decision::NoOpinion(reason) };
            Box::pin(std::future::ready(decision))
        }
    }

    fn map(owners: Value) -> Value {
        tree!({"metadata": {"name": "m", "ownerReferences": owners}})
    }

    fn owner(kind: &str, blocks: bool) -> Value {
        tree!([{"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "1", "blockOwnerDeletion": blocks}])
    }

    async fn run(may: &May, new: Value, old: Option<&Value>) -> String {
        let request = Request { asks: may, ..Request::new(("", "configmaps"), new, old) };
        let cluster = Cluster::new();
        let outcome = request.run(&OwnerReferencesPermissionEnforcement, &cluster).await;
        outcome.result.err().map(|status| status.message).unwrap_or_default()
    }

    #[tokio::test]
    async fn owners_are_set_by_who_may_delete() {
        let (free, owned) = (map(tree!([])), map(owner("Deployment", false)));
        assert_eq!(run(&May(&[]), owned.clone(), None).await, "");
        assert_eq!(
            run(&May(&[]), owned.clone(), Some(&free)).await,
            "configmaps \"m\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"
        );
        assert_eq!(run(&May(&["delete configmaps/ m"]), owned.clone(), Some(&free)).await, "");
        assert_eq!(run(&May(&[]), owned.clone(), Some(&owned)).await, "");
    }

    #[tokio::test]
    async fn owners_are_blocked_by_who_may_set_their_finalizers() {
        let blocking = map(owner("Deployment", true));
        assert!(run(&May(&[]), blocking.clone(), None).await.contains("you can't set finalizers on"));
        assert_eq!(run(&May(&["update deployments/finalizers o"]), blocking.clone(), None).await, "");
        assert_eq!(run(&May(&["update */finalizers *"]), blocking, None).await, "");
        assert!(
            run(&May(&[]), map(owner("Nothing", true)), None).await.ends_with(
                "cannot find RESTMapping for APIVersion apps/v1 Kind Nothing: no matches for kind \"Nothing\" in version \"apps/v1\""
            )
        );
    }
}
