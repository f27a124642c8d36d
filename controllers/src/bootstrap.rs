//! What every cluster begins with: the system namespaces, roles and priority classes, and the range of
//! service addresses.

pub(crate) mod policy;
mod rbac;

use crate::flow_control;
use api::{Value, tree};
use client::{Client, Error, Resource};

/// The namespaces that the cluster itself lives in.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Creates what is missing; returns when all of it is there.
pub async fn bootstrap(client: &Client) -> Result<(), Error> {
    for name in NAMESPACES {
        let resource = Resource::cluster("", "v1", "namespaces");
        ensure(client, &resource, tree!({"metadata": {"name": name}})).await?;
    }
    rbac::reconcile(client).await?;
    flow_control::ensure(client).await?;
    let classes = Resource::cluster("scheduling.k8s.io", "v1", "priorityclasses");
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000_i64,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ] {
        let class = tree!({"metadata": {"name": name}, "value": value, "description": description});
        ensure(client, &classes, class).await?;
    }
    let ranges = Resource::cluster("networking.k8s.io", "v1", "servicecidrs");
    ensure(client, &ranges, tree!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]}}))
        .await
}

/// Lets those who may view a namespace read what its pods use, as metrics-server does.
pub async fn bootstrap_metrics(client: &Client) -> Result<(), Error> {
    let aggregate =
        |role: &str| (format!("rbac.authorization.k8s.io/aggregate-to-{role}"), Value::from("true"));
    let mut role = tree!({
        "metadata": {"name": "system:aggregated-metrics-reader"},
        "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}]
    });
    for (label, value) in ["admin", "edit", "view"].map(aggregate) {
        role.set(&["metadata", "labels", &label], value);
    }
    ensure(client, &policy::resource("clusterroles"), role).await
}

/// Creates an object unless it is there.
async fn ensure(client: &Client, resource: &Resource, object: Value) -> Result<(), Error> {
    match client.create(resource, "", &object).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_exists() => Ok(()),
        Err(error) => Err(error),
    }
}
