//! NamespaceLifecycle: nothing is created in a namespace that does not exist or is on its way out, and the
//! namespaces that the cluster itself lives in cannot be deleted.
//!
//! A create in the missing namespace `a`: 404 `namespaces "a" not found`. In a terminating one: 403 with the cause
//! `NamespaceTerminating`.

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, status::Cause};
use futures::future::BoxFuture;

/// Namespaces that are never deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn handles(&self, review: &Review<'_>) -> bool {
        match review.operation {
            Operation::Create => review.kind.info().namespaced,
            Operation::Delete => review.is("", "namespaces"),
            _ => false,
        }
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if review.operation == Operation::Delete {
                return match IMMORTAL.contains(&review.name) {
                    true => Err(review.forbidden("this namespace may not be deleted")),
                    false => Ok(()),
                };
            }
            // Access reviews are asked about namespaces that need not exist.
            if review.group() == "authorization.k8s.io" {
                return Ok(());
            }
            let name = review.namespace;
            let cached = reader.get("", "namespaces", "", name).await;
            let found = match cached {
                Some(found) => Some(found),
                None => reader.get_latest("", "namespaces", "", name).await,
            };
            match found {
                None => Err(Status::not_found("", "namespaces", name)),
                Some(found) if found.str_at(&["status", "phase"]) == "Terminating" => {
                    Err(terminating(review, &found))
                }
                Some(_) => Ok(()),
            }
        })
    }
}

fn terminating(review: &Review<'_>, namespace: &Value) -> Status {
    let name = namespace.str_at(&["metadata", "name"]);
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let cause = Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    review.forbidden(&why).with_causes(vec![cause])
}
