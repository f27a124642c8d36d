//! What a node may ask for, by resource; whether an object concerns the node is for the graph to say.

use super::graph::Sort;
use crate::{Attributes, Reason};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Allowed,
    /// Allowed for objects of this sort that lead to the node.
    Related(Sort),
}

type Outcome = Result<Rule, Reason>;

const READ: &[&str] = &["get", "list", "watch"];
const OWN: &[&str] = &["get", "create", "update", "patch", "delete"];
/// Leases of nodes are in a namespace of their own.
const LEASES: &str = "kube-node-lease";

/// What all nodes may do alike: verbs, groups, resources.
const COMMON: &[(&[&str], &[&str], &[&str])] = &[
    (&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
    (&["create"], &["authorization.k8s.io"], &["subjectaccessreviews", "localsubjectaccessreviews"]),
    (READ, &[""], &["services"]),
    (&["create", "update", "patch"], &["", "events.k8s.io"], &["events"]),
    (&["get"], &[""], &["endpoints"]),
    (&["create", "get", "list", "watch"], &["certificates.k8s.io"], &["certificatesigningrequests"]),
    (READ, &["storage.k8s.io"], &["csidrivers"]),
    (READ, &["node.k8s.io"], &["runtimeclasses"]),
];

/// The rule for a request of `node`; an error is why there is none, empty when nothing is to be said.
pub fn rule(node: &str, asked: &Attributes) -> Outcome {
    if !asked.is_resource {
        return Err(Reason::NONE);
    }
    match (asked.group.as_str(), asked.resource.as_str()) {
        ("", "secrets") => namespaced(Sort::Secret, asked),
        ("", "configmaps") => namespaced(Sort::ConfigMap, asked),
        ("", "persistentvolumeclaims") if asked.subresource == "status" => claim_status(asked),
        ("", "persistentvolumeclaims") => get(Sort::VolumeClaim, asked),
        ("", "persistentvolumes") => get(Sort::Volume, asked),
        ("resource.k8s.io", "resourceclaims") => get(Sort::ResourceClaim, asked),
        ("storage.k8s.io", "volumeattachments") => get(Sort::Attachment, asked),
        ("", "serviceaccounts") => service_account(asked),
        ("coordination.k8s.io", "leases") => lease(node, asked),
        ("storage.k8s.io", "csinodes") => csi_node(node, asked),
        ("resource.k8s.io", "resourceslices") => slice(node, asked),
        ("", "nodes") => own_node(node, asked),
        ("", "pods") => pod(node, asked),
        _ => common(asked),
    }
}

fn no(why: &'static str) -> Outcome {
    Err(why.into())
}

fn common(asked: &Attributes) -> Outcome {
    let allows = |(verbs, groups, resources): &(&[&str], &[&str], &[&str])| {
        verbs.contains(&asked.verb.as_str())
            && groups.contains(&asked.group.as_str())
            && resources.contains(&asked.resource.as_str())
    };
    let allowed = asked.subresource.is_empty() && COMMON.iter().any(allows);
    if allowed { Ok(Rule::Allowed) } else { Err(Reason::NONE) }
}

fn namespaced(sort: Sort, asked: &Attributes) -> Outcome {
    match () {
        () if !READ.contains(&asked.verb.as_str()) => no("can only read resources of this type"),
        () if !asked.subresource.is_empty() => no("cannot read subresource"),
        () if asked.namespace.is_empty() => no("can only read namespaced object of this type"),
        () => Ok(Rule::Related(sort)),
    }
}

fn get(sort: Sort, asked: &Attributes) -> Outcome {
    match () {
        () if asked.verb != "get" => no("can only get individual resources of this type"),
        () if !asked.subresource.is_empty() => no("cannot get subresource"),
        () => Ok(Rule::Related(sort)),
    }
}

fn claim_status(asked: &Attributes) -> Outcome {
    match asked.verb.as_str() {
        "update" | "patch" => Ok(Rule::Related(Sort::VolumeClaim)),
        _ => no("can only get/update/patch this type"),
    }
}

fn service_account(asked: &Attributes) -> Outcome {
    match () {
        () if asked.verb == "get" && asked.subresource.is_empty() => namespaced(Sort::ServiceAccount, asked),
        () if asked.verb != "create" || asked.name.is_empty() => {
            no("can only create tokens for individual service accounts")
        }
        () if asked.subresource != "token" => no("can only create token subresource of serviceaccount"),
        () => Ok(Rule::Related(Sort::ServiceAccount)),
    }
}

/// A create does not tell the name here; admission looks at it.
fn is_own(node: &str, asked: &Attributes) -> bool {
    asked.verb == "create" || asked.name == node
}

fn lease(node: &str, asked: &Attributes) -> Outcome {
    match () {
        () if !OWN.contains(&asked.verb.as_str()) => {
            no("can only get, create, update, patch, or delete a node lease")
        }
        () if asked.namespace != LEASES => {
            Err(format!("can only access leases in the {} system namespace", api::quote(LEASES)).into())
        }
        () if !is_own(node, asked) => {
            no("can only access node lease with the same name as the requesting node")
        }
        () => Ok(Rule::Allowed),
    }
}

fn csi_node(node: &str, asked: &Attributes) -> Outcome {
    match () {
        () if !OWN.contains(&asked.verb.as_str()) => {
            no("can only get, create, update, patch, or delete a CSINode")
        }
        () if !asked.subresource.is_empty() => no("cannot authorize CSINode subresources"),
        () if !is_own(node, asked) => no("can only access CSINode with the same name as the requesting node"),
        () => Ok(Rule::Allowed),
    }
}

/// Whether a list is limited to what is on `node`.
fn is_limited(node: &str, asked: &Attributes) -> bool {
    asked
        .fields
        .terms()
        .iter()
        .any(|term| !term.negated && term.field == "spec.nodeName" && term.value == node)
}

fn slice(node: &str, asked: &Attributes) -> Outcome {
    if !asked.subresource.is_empty() {
        return no("cannot authorize ResourceSlice subresources");
    }
    match asked.verb.as_str() {
        "create" => Ok(Rule::Allowed),
        "get" | "update" | "patch" | "delete" => Ok(Rule::Related(Sort::Slice)),
        "watch" | "list" | "deletecollection" if is_limited(node, asked) => Ok(Rule::Allowed),
        "watch" | "list" | "deletecollection" => {
            no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
    }
}

fn own_node(node: &str, asked: &Attributes) -> Outcome {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(Rule::Allowed),
        ("", "get" | "list" | "watch") if asked.name == node => Ok(Rule::Allowed),
        ("", "get" | "list" | "watch") if asked.name.is_empty() => {
            Err(format!("node '{node}' cannot read all nodes, only its own Node object").into())
        }
        ("", "get" | "list" | "watch") => {
            Err(format!("node '{node}' cannot read '{}', only its own Node object", asked.name).into())
        }
        _ => Err(Reason::NONE),
    }
}

fn pod(node: &str, asked: &Attributes) -> Outcome {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        ("", "list" | "watch") if is_limited(node, asked) => Ok(Rule::Allowed),
        ("", "list" | "watch") if asked.name.is_empty() => {
            no("can only list/watch pods with spec.nodeName field selector")
        }
        ("", "get" | "list" | "watch") => Ok(Rule::Related(Sort::Pod)),
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
            Ok(Rule::Allowed)
        }
        _ => Err(Reason::NONE),
    }
}
