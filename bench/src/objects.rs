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
