//! The resources that the scheduler follows.

use crate::storage::Sort;
use client::Resource;

pub fn pods() -> Resource {
    Resource::namespaced("", "v1", "pods")
}

pub fn nodes() -> Resource {
    Resource::cluster("", "v1", "nodes")
}

pub fn namespaces() -> Resource {
    Resource::cluster("", "v1", "namespaces")
}

pub fn budgets() -> Resource {
    Resource::namespaced("policy", "v1", "poddisruptionbudgets")
}

pub fn claims() -> Resource {
    Resource::namespaced("", "v1", "persistentvolumeclaims")
}

pub fn volumes() -> Resource {
    Resource::cluster("", "v1", "persistentvolumes")
}

/// What tells of storage.
pub fn storage() -> [(Sort, Resource); 7] {
    let cluster = |plural: &str| Resource::cluster("storage.k8s.io", "v1", plural);
    [
        (Sort::Claim, claims()),
        (Sort::Volume, volumes()),
        (Sort::Class, cluster("storageclasses")),
        (Sort::Node, cluster("csinodes")),
        (Sort::Driver, cluster("csidrivers")),
        (Sort::Capacity, Resource::namespaced("storage.k8s.io", "v1", "csistoragecapacities")),
        (Sort::Attachment, cluster("volumeattachments")),
    ]
}

pub fn events() -> Resource {
    Resource::namespaced("events.k8s.io", "v1", "events")
}

/// What selects pods: `apiVersion`, `kind` and resource.
pub fn selecting() -> [(&'static str, &'static str, Resource); 4] {
    [
        ("v1", "Service", Resource::namespaced("", "v1", "services")),
        ("v1", "ReplicationController", Resource::namespaced("", "v1", "replicationcontrollers")),
        ("apps/v1", "ReplicaSet", Resource::namespaced("apps", "v1", "replicasets")),
        ("apps/v1", "StatefulSet", Resource::namespaced("apps", "v1", "statefulsets")),
    ]
}
