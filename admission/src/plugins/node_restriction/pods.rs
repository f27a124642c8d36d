//! A node makes pods only to mirror its own files, and deletes, evicts and reports only pods that are on it.

use super::{before, operation_name, wanted};
use crate::plugins::find;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value, quote};
use kinds::validation::same;

const MIRROR: &str = "kubernetes.io/config.mirror";
pub async fn judge(node: &str, review: &Review<'_>, cluster: &dyn Cluster) -> Result<(), Status> {
    let outcome = match (review.subresource, review.operation) {
        ("", Operation::Create) => return create(node, review, cluster).await,
        ("", Operation::Delete) => delete(node, before(review)),
        ("", operation) => Err(format!(
            "unexpected operation {}, node {} can only create and delete mirror pods",
            quote(operation_name(operation)),
            quote(node)
        )),
        ("status", Operation::Update) => status(node, before(review), wanted(review)),
        ("status", operation) => Err(super::unexpected(operation)),
        ("eviction", Operation::Create) => return evict(node, review, cluster).await,
        ("eviction", operation) => Err(format!("unexpected operation {}", operation_name(operation))),
        (other, _) => Err(format!(
            "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
            quote(other)
        )),
    };
    outcome.map_err(|why| review.forbidden(&why))
}

fn node_of(pod: &Value) -> &str {
    pod.str_at(&["spec", "nodeName"])
}

fn delete(node: &str, pod: &Value) -> Result<(), String> {
    if node_of(pod) == node {
        return Ok(());
    }
    Err(format!("node {} can only delete pods with spec.nodeName set to itself", quote(node)))
}

async fn evict(node: &str, review: &Review<'_>, cluster: &dyn Cluster) -> Result<(), Status> {
    let name = match review.name {
        "" => wanted(review).str_at(&["metadata", "name"]),
        name => name,
    };
    if name.is_empty() {
        return Err(review.forbidden("could not determine pod from request data"));
    }
    let Some(pod) = find(cluster, "", "pods", review.namespace, name).await else {
        return Err(Status::not_found("", "pod", name));
    };
    if node_of(&pod) == node {
        return Ok(());
    }
    let why = format!("node {node} can only evict pods with spec.nodeName set to itself");
    Err(review.forbidden(&why))
}

fn status(node: &str, old: &Value, new: &Value) -> Result<(), String> {
    let quoted = quote(node);
    let same_at = |path: &[&str]| same(old.at(path), new.at(path));
    match () {
        () if node_of(old) != node => {
            Err(format!("node {quoted} can only update pod status for pods with spec.nodeName set to itself"))
        }
        () if !same_at(&["metadata", "labels"]) => {
            Err(format!("node {quoted} cannot update labels through pod status"))
        }
        () if !same_at(&["status", "resourceClaimStatuses"]) => {
            Err(format!("node {quoted} cannot update resource claim statues"))
        }
        () if !same_at(&["status", "extendedResourceClaimStatus"]) => {
            Err(format!("node {quoted} cannot update extended resource claim status"))
        }
        () => Ok(()),
    }
}

async fn create(node: &str, review: &Review<'_>, cluster: &dyn Cluster) -> Result<(), Status> {
    let (pod, quoted) = (wanted(review), quote(node));
    let uid = owner(&quoted, node, pod).map_err(|why| review.forbidden(&why))?;
    let Some(found) = find(cluster, "", "nodes", "", node).await else {
        return Err(Status::not_found("", "node", node));
    };
    let known = found.str_at(&["metadata", "uid"]);
    if uid != known {
        return Err(review.forbidden(&format!("node {node} UID mismatch: expected {uid} got {known}")));
    }
    match reference(pod) {
        Ok(None) => Ok(()),
        Ok(Some(what)) => {
            Err(review.forbidden(&format!("node {quoted} can not create pods that reference {what}")))
        }
        Err(why) => Err(review.forbidden(&format!("error checking mirror pod for API references: {why}"))),
    }
}

/// The uid of the node that owns the pod, as the pod says.
fn owner<'p>(quoted: &str, node: &str, pod: &'p Value) -> Result<&'p str, String> {
    if pod.map_at(&["metadata", "annotations"]).is_none_or(|annotations| annotations.get(MIRROR).is_none()) {
        let mirror = quote(MIRROR);
        return Err(format!(
            "pod does not have {mirror} annotation, node {quoted} can only create mirror pods"
        ));
    }
    if node_of(pod) != node {
        return Err(format!("node {quoted} can only create pods with spec.nodeName set to itself"));
    }
    let can_only = |what: &str| format!("node {quoted} can only create pods with {what}");
    let owner = match pod.list_at(&["metadata", "ownerReferences"]) {
        [] => return Err(can_only("an owner reference set to itself")),
        [owner] => owner,
        _ => return Err(can_only("a single owner reference set to itself")),
    };
    let (version, kind, name) =
        (owner.str_at(&["apiVersion"]), owner.str_at(&["kind"]), owner.str_at(&["name"]));
    match () {
        () if (version, kind, name) != ("v1", "Node", node) => {
            Err(can_only("an owner reference set to itself"))
        }
        () if !owner.bool_at(&["controller"]) => Err(can_only("a controller owner reference set to itself")),
        () if owner.bool_at(&["blockOwnerDeletion"]) => {
            Err(format!("node {quoted} must not set blockOwnerDeletion on an owner reference"))
        }
        () => Ok(owner.str_at(&["uid"])),
    }
}

/// The first kind of objects that a pod refers to.
fn reference(pod: &Value) -> Result<Option<&'static str>, String> {
    match () {
        () if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() => return Ok(Some("serviceaccounts")),
        () if !authz::node::pod_secrets(pod).is_empty() => return Ok(Some("secrets")),
        () if !authz::node::pod_config_maps(pod).is_empty() => return Ok(Some("configmaps")),
        () if !pod.list_at(&["spec", "resourceClaims"]).is_empty() => return Ok(Some("resourceclaims")),
        () => {}
    }
    for volume in pod.list_at(&["spec", "volumes"]) {
        let found = api::volume::reference(volume)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
