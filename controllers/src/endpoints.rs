//! endpoint-controller: for each service with a selector one Endpoints object, the older form of EndpointSlices.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::service_pods::{self, Sources, TRIGGER_TIME};
use crate::status::says_the_same;
use crate::{Context, owner, pod_batch, resources};
use api::{Value, json, tree};
use client::{Client, Informer, WorkQueue, key_of};
use std::collections::BTreeMap;
use std::sync::Arc;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const NAME: &str = "endpoint-controller";
const WORKERS: usize = 5;

#[derive(Clone)]
struct Controller {
    client: Client,
    sources: Sources,
    endpoints: Informer,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller = Controller {
        client: context.client.clone(),
        sources: Sources::follow(context, &queue),
        endpoints: context.informer(&resources::endpoints()),
    };
    let changed = queue.clone();
    controller.endpoints.on_change(Arc::new(move |old, new| {
        // What somebody else deleted or changed is made again.
        if let Some(object) = new.or(old).filter(|o| o.str_at(&["metadata", "labels", MANAGED_BY]) == NAME) {
            changed.add(key_of(object));
        }
    }));
    let copies = [&controller.sources.services, &controller.sources.pods, &controller.endpoints];
    let copies = copies.map(Clone::clone);
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on(NAME, &queue, WORKERS, &copies, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let (namespace, name) = reconcile::split(key);
        let found = self.endpoints.cache().get(key);
        let resource = resources::endpoints();
        let Some(service) = self.sources.services.cache().get(key) else {
            let ours = found.is_some_and(|found| found.str_at(&["metadata", "labels", MANAGED_BY]) == NAME);
            if ours {
                unless_gone(self.client.delete(&resource, namespace, name, &Value::Null).await)?;
            }
            return Ok(());
        };
        if !service_pods::is_selecting(&service) {
            return Ok(());
        }
        let pods = self.sources.pods_of(&service);
        let mut labels = service_pods::labels(&service, &[]);
        labels.insert(MANAGED_BY, NAME);
        let subsets = Value::List(subsets(&service, &pods));
        let is_same = |found: &Value| {
            says_the_same(found.get("subsets"), Some(&subsets))
                && found.map_at(&["metadata", "labels"]) == Some(&labels)
        };
        if found.as_ref().is_some_and(|found| is_same(found)) {
            return Ok(());
        }
        let is_new = found.is_none();
        let mut wanted = found.map_or_else(
            || tree!({"metadata": {"name": name, "namespace": namespace}}),
            |found| (*found).clone(),
        );
        wanted.set(&["metadata", "labels"], labels);
        match service_pods::trigger_time(&service, &pods, is_new) {
            Some(time) => wanted.set(&["metadata", "annotations", TRIGGER_TIME], time),
            None => drop(wanted.unset(&["metadata", "annotations", TRIGGER_TIME])),
        }
        wanted.set(&["subsets"], subsets);
        let written = if is_new {
            self.client.create(&resource, namespace, &wanted).await
        } else {
            self.client.update(&resource, namespace, &wanted).await
        };
        match written {
            Ok(written) => self.endpoints.caught_up(&written).await,
            Err(error) if pod_batch::is_namespace_leaving(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Ports and the addresses that all have them; of each address whether it is ready.
struct Group {
    ports: Vec<Value>,
    addresses: Vec<(bool, Value)>,
}

/// Addresses by the ports that they have in common.
fn subsets(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let family = service.list_at(&["spec", "ipFamilies"]).first().and_then(Value::as_str).unwrap_or("IPv4");
    // By set of addresses: its ports. Keys are text so that both have an order.
    let mut by_port: BTreeMap<String, (Value, Vec<(bool, Value)>)> = BTreeMap::new();
    for pod in pods {
        let Some(address) = address(pod, service, family) else { continue };
        let ready = service_pods::is_ready(pod, service);
        for port in ports(pod, service) {
            let entry = by_port.entry(json::to_string(&port)).or_insert_with(|| (port, Vec::new()));
            entry.1.push((ready, address.clone()));
        }
    }
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (port, mut addresses) in by_port.into_values() {
        addresses.sort_by_cached_key(|(_, address)| json::to_string(address));
        let key = format!("{addresses:?}");
        let group = groups.entry(key).or_insert_with(|| Group { ports: Vec::new(), addresses });
        if !port.is_null() {
            group.ports.push(port);
        }
    }
    groups.into_values().map(|group| subset(group.ports, group.addresses)).collect()
}

fn subset(ports: Vec<Value>, addresses: Vec<(bool, Value)>) -> Value {
    let (ready, waiting): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|(ready, _)| *ready);
    let mut subset = Value::map();
    for (field, list) in [("addresses", ready), ("notReadyAddresses", waiting)] {
        if !list.is_empty() {
            subset.set(&[field], Value::List(list.into_iter().map(|(_, address)| address).collect()));
        }
    }
    if !ports.is_empty() {
        subset.set(&["ports"], Value::List(ports));
    }
    subset
}

fn address(pod: &Value, service: &Value, family: &str) -> Option<Value> {
    let mut address = tree!({"ip": service_pods::address(pod, family)?});
    if let Some(hostname) = service_pods::hostname(pod, service) {
        address.set(&["hostname"], hostname);
    }
    let node = pod.str_at(&["spec", "nodeName"]);
    if !node.is_empty() {
        address.set(&["nodeName"], node);
    }
    let meta = |field: &str| pod.str_at(&["metadata", field]);
    let target =
        tree!({"kind": "Pod", "namespace": meta("namespace"), "name": meta("name"), "uid": owner::uid(pod)});
    address.set(&["targetRef"], target);
    Some(address)
}

/// The ports of a pod; one that is null for a headless service without ports.
fn ports(pod: &Value, service: &Value) -> Vec<Value> {
    let ports = service.list_at(&["spec", "ports"]);
    if ports.is_empty() && service_pods::is_headless(service) {
        return vec![Value::Null];
    }
    let one = |port: &Value| {
        let mut wanted =
            tree!({"port": service_pods::port_number(pod, port)?, "protocol": port.str_at(&["protocol"])});
        for field in ["name", "appProtocol"] {
            if !port.str_at(&[field]).is_empty() {
                wanted.set(&[field], port.str_at(&[field]));
            }
        }
        Some(wanted)
    };
    ports.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ip: &str, ready: &str) -> Arc<Value> {
        Arc::new(tree!({
            "metadata": {"name": name, "namespace": "n", "uid": name}, "spec": {"containers": []},
            "status": {"podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": ready}]}
        }))
    }

    #[test]
    fn pods_with_the_same_ports_share_a_subset() {
        let service = tree!({"spec": {"clusterIP": "10.0.0.9", "ports": [
            {"name": "a", "port": 80, "protocol": "TCP"}, {"name": "b", "port": 81, "protocol": "TCP"}]}});
        let subsets = subsets(&service, &[pod("x", "10.0.0.1", "True"), pod("y", "10.0.0.2", "False")]);
        assert_eq!(subsets.len(), 1);
        assert_eq!(subsets[0].list_at(&["addresses"])[0].str_at(&["ip"]), "10.0.0.1");
        assert_eq!(subsets[0].list_at(&["notReadyAddresses"])[0].str_at(&["ip"]), "10.0.0.2");
        assert_eq!(subsets[0].list_at(&["ports"]).len(), 2);
    }
}
