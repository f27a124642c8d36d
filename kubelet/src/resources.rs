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

pub fn config_maps() -> Resource {
    Resource::namespaced("", "v1", "configmaps")
}

pub fn secrets() -> Resource {
    Resource::namespaced("", "v1", "secrets")
}

pub fn service_accounts() -> Resource {
    Resource::namespaced("", "v1", "serviceaccounts")
}

pub fn services() -> Resource {
    Resource::namespaced("", "v1", "services")
}

pub fn persistent_volume_claims() -> Resource {
    Resource::namespaced("", "v1", "persistentvolumeclaims")
}

pub fn persistent_volumes() -> Resource {
    Resource::cluster("", "v1", "persistentvolumes")
}

pub fn cluster_trust_bundles() -> Resource {
    Resource::cluster("certificates.k8s.io", "v1beta1", "clustertrustbundles")
}

pub fn runtime_classes() -> Resource {
    Resource::cluster("node.k8s.io", "v1", "runtimeclasses")
}
