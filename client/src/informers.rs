//! One informer for each resource, shared by all components of a process: each resource is watched and kept once,
//! however many control loops look at it.

use crate::informer::{Informer, Trim, trim_managed_fields};
use crate::{Client, Resource};
use api::Value;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The informers of a process. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Informers {
    client: Client,
    shared: Arc<Mutex<HashMap<Resource, Informer>>>,
}

impl Informers {
    /// Informers that watch as `client` does.
    pub fn new(client: Client) -> Self {
        Informers { client, shared: Arc::default() }
    }

    /// The informer of a resource, started when it is first asked for. Must be called within a tokio runtime.
    pub fn of(&self, resource: &Resource) -> Informer {
        let mut shared = self.shared.lock();
        if let Some(informer) = shared.get(resource) {
            return informer.clone();
        }
        let pods = resource.group.is_empty() && resource.plural == "pods";
        let trim: Trim = if pods { trim_pod } else { trim_managed_fields };
        let informer = Informer::follow(self.client.clone(), resource.clone(), "", trim);
        shared.insert(resource.clone(), informer.clone());
        informer
    }
}

/// What of a container matters outside its node.
const CONTAINER_FIELDS: [&str; 5] = ["name", "image", "ports", "resources", "restartPolicy"];

/// The volumes that matter outside a pod's node: those that others have as well.
const VOLUMES: [&str; 7] = [
    "persistentVolumeClaim",
    "ephemeral",
    "image",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "iscsi",
    "rbd",
];

/// Cuts from a pod what only its kubelet needs; pods are many.
fn trim_pod(pod: &mut Value) {
    trim_managed_fields(pod);
    for list in ["containers", "initContainers"] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            if let Some(fields) = container.as_map_mut() {
                fields.retain(|name, _| CONTAINER_FIELDS.contains(&name));
            }
        }
    }
    if let Some(volumes) = pod.at_mut(&["spec", "volumes"]).and_then(Value::as_list_mut) {
        volumes.retain(|v| VOLUMES.iter().any(|source| v.get(source).is_some()));
    }
    for field in ["dnsPolicy", "securityContext", "enableServiceLinks", "ephemeralContainers"] {
        pod.unset(&["spec", field]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_kept_pod_has_claims_ports_and_resources_but_no_environment() {
        let mut pod = tree!({
            "metadata": {"name": "p", "managedFields": [{}]},
            "spec": {
                "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 80}], "env": [{"name": "A"}]}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "d", "persistentVolumeClaim": {"claimName": "x"}}]
            }
        });
        trim_pod(&mut pod);
        let wanted = tree!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 80}]}],
                "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "x"}}]
            }
        });
        assert_eq!(pod, wanted);
    }
}
