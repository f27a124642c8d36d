//! The objects that workloads write: the sizes that a cluster's own objects have.

use serde_json::{Value, json};

/// A ConfigMap with one value of 1 KiB.
pub fn config_map(name: &str, turn: usize) -> Value {
    let value = format!("{turn:08}{}", "x".repeat(1_016));
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}})
}

/// A small pod of 600 bytes as it is sent, 2 KB as it is stored. A hundredth of all pods share a node and a bucket.
pub fn pod(name: &str, index: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "bench", "bucket": bucket(index), "tier": "backend", "release": "stable"},
            "annotations": {"example.test/purpose": "a pod of the usual size for measuring"},
        },
        "spec": {
            "nodeName": node(index),
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "pause",
                "image": "registry.example.test/pause:3.10",
                "env": [{"name": "MODE", "value": "quiet"}],
                "ports": [{"containerPort": 8080}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
            }],
        },
    })
}

/// The same pod for a scheduler to place.
pub fn unbound_pod(name: &str, index: usize) -> Value {
    let mut pod = pod(name, index);
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    pod
}

/// The label value that pod number `index` carries.
pub fn bucket(index: usize) -> String {
    format!("b{}", index % 100)
}

/// The node that pod number `index` is on.
pub fn node(index: usize) -> String {
    format!("node-{}", index % 100)
}

/// What a manager applies to Deployment `name`; it says the same for two turns, so that every second apply changes
/// nothing.
pub fn applied_deployment(name: &str, turn: usize) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"turn": format!("t{}", turn / 2)}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "registry.example.test/main:1"}]},
            },
        },
    })
}

/// Where roles and bindings of a namespace are.
pub fn rbac_path(namespace: &str, resource: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{resource}")
}

/// A Role that lets one read pods.
pub fn pod_reader() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "pod-reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
    })
}

/// Gives a default role to a user and a group of its own.
pub fn role_binding(name: &str, index: usize) -> Value {
    let role = ["view", "edit", "admin"][index % 3];
    let subject = |kind: &str, name: String| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject("User", format!("user-{index}")), subject("Group", format!("group-{index}"))],
    })
}

/// Gives `pod_reader` to the default service account.
pub fn pod_reader_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "pod-reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pod-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    })
}
