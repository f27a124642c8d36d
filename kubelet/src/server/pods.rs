//! `/pods`: what the node is to run, with the newest status; `/runningpods/`: what the runtime runs.

use super::Server;
use super::reply::{self, Reply};
use crate::pod::container_name;
use crate::runtime::labels;
use api::{Value, tree};

pub fn assigned(server: &Server) -> Reply {
    let pods = &server.parts.pods;
    let with_status = |pod: std::sync::Arc<Value>| {
        let mut shown = (*pod).clone();
        if let Some(status) = pods.status(pod.str_at(&["metadata", "uid"])) {
            shown.set(&["status"], (*status).clone());
        }
        shown
    };
    let mut all: Vec<Value> = pods.list().into_iter().map(with_status).collect();
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    reply::json(&list(all))
}

fn key(pod: &Value) -> (&str, &str) {
    (pod.str_at(&["metadata", "namespace"]), pod.str_at(&["metadata", "name"]))
}

pub fn running(server: &Server) -> Reply {
    let mut all = Vec::new();
    for pod in server.parts.pods.list() {
        let uid = pod.str_at(&["metadata", "uid"]);
        let Some(observed) = server.parts.pods.observed(uid) else { continue };
        let containers: Vec<Value> = observed
            .running()
            .map(|container| {
                let image = container.image.as_ref().map_or("", |image| image.image.as_str());
                tree!({"name": (container_name(container)), "image": image, "resources": {}})
            })
            .collect();
        let Some(sandbox) = observed.sandbox() else { continue };
        let of = |name: &str| sandbox.labels.get(name).map_or("", String::as_str);
        all.push(tree!({
            "metadata": {
                "name": (of(labels::POD_NAME)), "namespace": (of(labels::POD_NAMESPACE)), "uid": uid,
                "creationTimestamp": null
            },
            "spec": {"containers": (Value::List(containers))},
            "status": {}
        }));
    }
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    reply::json(&list(all))
}

fn list(items: Vec<Value>) -> Value {
    tree!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": (Value::List(items))})
}
