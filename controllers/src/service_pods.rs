//! What a service and its pods have to do with each other: which pods count, under which addresses and ports.

use crate::{owner, pods, reconcile, resources};
use api::selector::LabelSelector;
use api::{Map, Value};
use client::{Cache, Informer, WorkQueue, key_of};
use std::sync::Arc;

pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// The services and pods that both controllers of endpoints look at.
#[derive(Clone)]
pub struct Sources {
    pub services: Informer,
    pub pods: Informer,
}

impl Sources {
    /// Follows both, and adds every service to the queue that a change may matter to.
    pub fn follow(context: &crate::Context<'_>, queue: &WorkQueue) -> Self {
        let services = context.informer(&resources::services());
        let pods = context.informer(&resources::pods());
        services.on_change(reconcile::enqueue(queue));
        let (cache, queue) = (services.cache().clone(), queue.clone());
        pods.on_change(Arc::new(move |old, new| {
            if !old.zip(new).is_some_and(|(old, new)| looks_the_same(old, new)) {
                for pod in [old, new].into_iter().flatten() {
                    enqueue_services_of(pod, &cache, &queue);
                }
            }
        }));
        Sources { services, pods }
    }

    /// The pods of a service that count, in order of their names.
    pub fn pods_of(&self, service: &Value) -> Vec<Arc<Value>> {
        let labels = service.map_at(&["spec", "selector"]).cloned().unwrap_or_default();
        let selector = LabelSelector::from_labels(&labels);
        let all = self.pods.cache().list(service.str_at(&["metadata", "namespace"]));
        let counts = |pod: &Arc<Value>| selector.matches(pod.map_at(&["metadata", "labels"])) && counts(pod);
        all.into_iter().filter(counts).collect()
    }
}

fn enqueue_services_of(pod: &Value, services: &Cache, queue: &WorkQueue) {
    let labels = pod.map_at(&["metadata", "labels"]);
    for service in services.list(pod.str_at(&["metadata", "namespace"])) {
        let selector = service.map_at(&["spec", "selector"]);
        if selector.is_some_and(|s| LabelSelector::from_labels(s).matches(labels)) {
            queue.add(key_of(&service));
        }
    }
}

/// True when two versions of a pod are the same to services.
fn looks_the_same(old: &Value, new: &Value) -> bool {
    let same = |path: &[&str]| old.at(path) == new.at(path);
    same(&["metadata", "labels"])
        && same(&["metadata", "deletionTimestamp"])
        && same(&["status", "podIPs"])
        && same(&["status", "phase"])
        && same(&["spec", "nodeName"])
        && pods::is_ready(old) == pods::is_ready(new)
}

/// True for services that get endpoints from their pods.
pub fn is_selecting(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) != "ExternalName"
        && service.map_at(&["spec", "selector"]).is_some_and(|selector| !selector.is_empty())
}

pub fn publishes_all(service: &Value) -> bool {
    service.bool_at(&["spec", "publishNotReadyAddresses"])
}

pub fn is_headless(service: &Value) -> bool {
    matches!(service.str_at(&["spec", "clusterIP"]), "" | "None")
}

/// Finished pods and those without an address do not count.
fn counts(pod: &Value) -> bool {
    !pods::is_finished(pod) && !pod.list_at(&["status", "podIPs"]).is_empty()
}

/// The address of a pod in a family, `IPv4` or `IPv6`.
pub fn address<'a>(pod: &'a Value, family: &str) -> Option<&'a str> {
    let ips = pod.list_at(&["status", "podIPs"]).iter().map(|ip| ip.str_at(&["ip"]));
    ips.into_iter().find(|ip| ip.contains(':') == (family == "IPv6"))
}

/// The number of a service's port on a pod; nothing when the pod has no port of that name.
pub fn port_number(pod: &Value, port: &Value) -> Option<i64> {
    let name = match port.get("targetPort") {
        Some(Value::Int(0)) | None => return port.i64_at(&["port"]),
        Some(Value::Int(number)) => return Some(*number),
        Some(name) => name.as_str().unwrap_or_default(),
    };
    let protocol = protocol(port);
    let init = pod.list_at(&["spec", "initContainers"]).iter();
    let sidecars = init.filter(|c| c.str_at(&["restartPolicy"]) == "Always");
    let containers = pod.list_at(&["spec", "containers"]).iter().chain(sidecars);
    let mut ports = containers.flat_map(|c| c.list_at(&["ports"]));
    ports.find(|p| p.str_at(&["name"]) == name && self::protocol(p) == protocol)?.i64_at(&["containerPort"])
}

fn protocol(port: &Value) -> &str {
    match port.str_at(&["protocol"]) {
        "" => "TCP",
        protocol => protocol,
    }
}

/// The host name that DNS gives a pod in this service.
pub fn hostname<'a>(pod: &'a Value, service: &Value) -> Option<&'a str> {
    let hostname = pod.str_at(&["spec", "hostname"]);
    let same = pod.str_at(&["spec", "subdomain"]) == service.str_at(&["metadata", "name"]);
    (same && !hostname.is_empty()).then_some(hostname)
}

/// True when a pod takes traffic.
pub fn is_ready(pod: &Value, service: &Value) -> bool {
    publishes_all(service) || (pods::is_ready(pod) && !owner::is_leaving(pod))
}

/// What caused the endpoints to be as they are: the service's creation, or the latest change of a pod.
pub fn trigger_time(service: &Value, pods: &[Arc<Value>], is_new: bool) -> Option<String> {
    if is_new {
        return Some(service.str_at(&["metadata", "creationTimestamp"]).to_owned());
    }
    let changes = pods.iter().filter_map(|pod| {
        let ready = crate::conditions::find(pod.list_at(&["status", "conditions"]), "Ready")?;
        Some(ready.str_at(&["lastTransitionTime"]).to_owned())
    });
    changes.max()
}

/// The service's labels, less those that endpoints have a meaning of their own for.
pub fn labels(service: &Value, reserved: &[&str]) -> Map {
    let mut labels = service.map_at(&["metadata", "labels"]).cloned().unwrap_or_default();
    labels.retain(|name, _| name != HEADLESS && !reserved.contains(&name));
    if is_headless(service) {
        labels.insert(HEADLESS, "");
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_named_port_is_looked_up_in_the_pod() {
        let pod = tree!({"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]}});
        assert_eq!(port_number(&pod, &tree!({"port": 80, "targetPort": "web"})), Some(8080));
        assert_eq!(port_number(&pod, &tree!({"port": 80, "targetPort": "web", "protocol": "UDP"})), None);
        assert_eq!(port_number(&pod, &tree!({"port": 80, "targetPort": 81})), Some(81));
        assert_eq!(port_number(&pod, &tree!({"port": 80})), Some(80));
    }

    #[test]
    fn a_pod_without_an_address_does_not_count() {
        let mut pod = tree!({"status": {"phase": "Running"}});
        assert!(!counts(&pod));
        pod.set(&["status", "podIPs"], tree!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]));
        assert!(counts(&pod));
        assert_eq!(address(&pod, "IPv6"), Some("fd00::1"));
        pod.set(&["status", "phase"], "Failed");
        assert!(!counts(&pod));
    }
}
