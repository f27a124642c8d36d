//! The resources that a kubelet acts on.

use client::Resource;

/// Where the leases of nodes are.
pub const LEASES: &str = "kube-node-lease";

pub fn pods() -> Resource {
    Resource::namespaced("", "v1", "pods")
}

pub fn nodes() -> Resource {
    Resource::cluster("", "v1", "nodes")
}

pub fn leases() -> Resource {
    Resource::namespaced("coordination.k8s.io", "v1", "leases")
}
