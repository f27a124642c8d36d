//! NodeRestriction: a node changes only itself and what is on it. Not on by default.
//!
//! ```text
//! system:node:a   PATCH nodes/b {…}      403 node "a" is not allowed to modify node "b"
//! system:node:a   PATCH nodes/a {…}      as it is
//! ```
//!
//! Source: upstream's `plugin/pkg/admission/noderestriction`.

mod nodes;
mod pods;
mod tokens;

use super::Plugin;
use super::certificate_subject_restriction::request_of;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, quote};
use futures::future::BoxFuture;
use kinds::validation::same;

/// Leases of nodes are in a namespace of their own.
const LEASES: &str = "kube-node-lease";
const NODE_SIGNERS: [&str; 2] =
    ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
const NO_OBJECT: Value = Value::Null;

pub struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation != Operation::Connect && authz::node_name(review.user, review.groups).is_some()
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        cluster: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(node) = authz::node_name(review.user, review.groups) else { return Ok(()) };
            if node.is_empty() {
                let why = format!("could not determine node from user {}", quote(review.user));
                return Err(review.forbidden(&why));
            }
            judge(node, review, cluster).await
        })
    }
}

async fn judge(node: &str, review: &Review<'_>, cluster: &dyn Cluster) -> Result<(), Status> {
    let outcome = match (review.group(), review.resource()) {
        ("", "pods") => return pods::judge(node, review, cluster).await,
        ("", "serviceaccounts") => return tokens::judge(node, review, cluster).await,
        ("", "nodes") => nodes::judge(node, review),
        ("", "persistentvolumeclaims") => claim_status(node, review),
        ("coordination.k8s.io", "leases") => lease(node, review),
        ("storage.k8s.io", "csinodes") => {
            own(node, review, "can only access CSINode with the same name as the requesting node")
        }
        ("resource.k8s.io", "resourceslices") => slice(node, review),
        ("certificates.k8s.io", "certificatesigningrequests") => certificate(node, review),
        _ => Ok(()),
    };
    outcome.map_err(|why| review.forbidden(&why))
}

/// What is wanted; null in a deletion.
fn wanted<'r>(review: &'r Review<'_>) -> &'r Value {
    review.object.as_deref().unwrap_or(&NO_OBJECT)
}

/// What is there; null in a creation.
fn before<'r>(review: &'r Review<'_>) -> &'r Value {
    review.old.unwrap_or(&NO_OBJECT)
}

fn unexpected(operation: Operation) -> String {
    format!("unexpected operation {}", quote(operation_name(operation)))
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

fn own(node: &str, review: &Review<'_>, why: &str) -> Result<(), String> {
    let name = match review.operation {
        Operation::Create => wanted(review).str_at(&["metadata", "name"]),
        _ => review.name,
    };
    if name == node { Ok(()) } else { Err(why.to_owned()) }
}

fn lease(node: &str, review: &Review<'_>) -> Result<(), String> {
    if review.namespace != LEASES {
        return Err(format!("can only access leases in the {} system namespace", quote(LEASES)));
    }
    own(node, review, "can only access node lease with the same name as the requesting node")
}

fn slice(node: &str, review: &Review<'_>) -> Result<(), String> {
    let (slice, verb) = match review.operation {
        Operation::Create => (wanted(review), "create"),
        Operation::Delete => (before(review), "delete"),
        _ => return Ok(()),
    };
    if slice.str_at(&["spec", "nodeName"]) == node {
        return Ok(());
    }
    Err(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
}

fn certificate(node: &str, review: &Review<'_>) -> Result<(), String> {
    let object = wanted(review);
    if review.operation != Operation::Create
        || !NODE_SIGNERS.contains(&object.str_at(&["spec", "signerName"]))
    {
        return Ok(());
    }
    let request = request_of(object).map_err(|why| format!("unable to parse csr: {why}"))?;
    if request.common_name == format!("system:node:{node}") {
        return Ok(());
    }
    Err(format!("can only create a node CSR with CN=system:node:{node}"))
}

/// What a node may change in the status of a claim.
const CLAIM_STATUS: [&str; 4] = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];

fn claim_status(node: &str, review: &Review<'_>) -> Result<(), String> {
    if review.subresource != "status" {
        return Err("may only update PVC status".to_owned());
    }
    if review.operation != Operation::Update {
        return Err(unexpected(review.operation));
    }
    let settled = |claim: &Value| {
        let mut claim = claim.clone();
        CLAIM_STATUS.iter().for_each(|field| drop(claim.unset(&["status", field])));
        ["resourceVersion", "managedFields"].iter().for_each(|field| drop(claim.unset(&["metadata", field])));
        claim
    };
    let (old, new) = (settled(before(review)), settled(wanted(review)));
    let parts = ["metadata", "spec", "status"];
    let changed: Vec<&str> = parts.into_iter().filter(|part| !same(new.get(part), old.get(part))).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let node = quote(node);
    Err(format!(
        "node {node} is not allowed to update fields other than status.quantity and status.conditions: {}",
        changed.join(", ")
    ))
}

#[cfg(test)]
mod tests;
