//! endpointslicemirroring-controller: Endpoints that somebody wrote for a service without a selector, told again as
//! EndpointSlices, which is what everybody reads.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::service_pods::TRIGGER_TIME;
use crate::status::says_the_same;
use crate::{Context, Recorder, owner, pod_batch, resources};
use api::{Map, Value, json, tree};
use client::{Client, Informer, WorkQueue, key_of};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

const NAME: &str = "endpointslicemirroring-controller.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const KIND: (&str, &str) = ("v1", "Endpoints");
/// How many addresses of a subset are told.
const MOST: usize = 1000;
const WORKERS: usize = 5;

#[derive(Clone)]
struct Mirror {
    client: Client,
    services: Informer,
    endpoints: Informer,
    slices: Informer,
    recorder: Recorder,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let mirror = Mirror {
        client: context.client.clone(),
        services: context.informer(&resources::services()),
        endpoints: context.informer(&resources::endpoints()),
        slices: context.informer(&resources::endpoint_slices()),
        recorder: context.recorder.clone(),
    };
    mirror.endpoints.on_change(reconcile::enqueue(&queue));
    let changed = queue.clone();
    mirror.services.on_change(Arc::new(move |old, new| {
        let selector =
            |service: Option<&Arc<Value>>| service.and_then(|s| s.at(&["spec", "selector"]).cloned());
        if let Some(service) = new.or(old)
            && (old.is_none() || new.is_none() || selector(old) != selector(new))
        {
            changed.add(key_of(service));
        }
    }));
    let changed = queue.clone();
    mirror.slices.on_change(Arc::new(move |old, new| {
        if let Some(slice) = new.or(old).filter(|slice| is_ours(slice)) {
            let service = slice.str_at(&["metadata", "labels", SERVICE_NAME]);
            changed.add(format!("{}/{service}", slice.str_at(&["metadata", "namespace"])));
        }
    }));
    let copies = [mirror.services.clone(), mirror.endpoints.clone(), mirror.slices.clone()];
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("endpoint-slice-mirroring", &queue, WORKERS, &copies, move |key| {
        let mirror = mirror.clone();
        async move { mirror.sync(&key).await }
    });
}

fn is_ours(slice: &Value) -> bool {
    slice.str_at(&["metadata", "labels", MANAGED_BY]) == NAME
}

fn is_to_be_told(endpoints: &Value) -> bool {
    endpoints.str_at(&["metadata", "labels", SKIP]) != "true"
        && endpoints.at(&["metadata", "annotations", LEADER]).is_none()
}

/// What is to be told: slices by their family and ports, and how many addresses were left out, as they are none or
/// there are too many.
#[derive(Default)]
struct Told {
    slices: BTreeMap<String, Value>,
    invalid: usize,
    skipped: usize,
}

impl Mirror {
    async fn sync(&self, key: &str) -> Outcome {
        let (namespace, name) = reconcile::split(key);
        let service = self.services.cache().get(key);
        let has_none = |service: &Arc<Value>| service.at(&["spec", "selector"]).is_none_or(Value::is_null);
        let endpoints = self.endpoints.cache().get(key).filter(|e| is_to_be_told(e));
        let endpoints = endpoints.filter(|_| service.as_ref().is_some_and(has_none));
        let slices = self.slices.cache().list(namespace).into_iter();
        let mut ours: Vec<Arc<Value>> = slices
            .filter(|s| is_ours(s) && s.str_at(&["metadata", "labels", SERVICE_NAME]) == name)
            .filter(|s| !owner::is_leaving(s))
            .collect();
        let Some(endpoints) = endpoints else {
            return self.delete(namespace, &ours).await;
        };
        let told = tell(&endpoints);
        self.warn(&endpoints, &told);
        let mut missing = Vec::new();
        for (key, wanted) in told.slices {
            match ours.iter().position(|slice| key_of_slice(slice) == key) {
                Some(at) => self.update(&ours.remove(at), wanted).await?,
                None => missing.push(wanted),
            }
        }
        if !owner::is_leaving(&endpoints) {
            for wanted in missing {
                match self.client.create(&resources::endpoint_slices(), namespace, &wanted).await {
                    Ok(made) => self.slices.caught_up(&made).await,
                    Err(error) if pod_batch::is_namespace_leaving(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        }
        self.delete(namespace, &ours).await
    }

    async fn update(&self, slice: &Value, wanted: Value) -> Outcome {
        let same = |path: &[&str]| says_the_same(slice.at(path), wanted.at(path));
        if same(&["endpoints"]) && same(&["metadata", "labels"]) && same(&["metadata", "annotations"]) {
            return Ok(());
        }
        let mut changed = slice.clone();
        for path in [&["endpoints"] as &[&str], &["metadata", "labels"], &["metadata", "annotations"]] {
            changed.set(path, wanted.at(path).cloned().unwrap_or_default());
        }
        let namespace = slice.str_at(&["metadata", "namespace"]);
        let written = self.client.update(&resources::endpoint_slices(), namespace, &changed).await?;
        self.slices.caught_up(&written).await;
        Ok(())
    }

    async fn delete(&self, namespace: &str, slices: &[Arc<Value>]) -> Outcome {
        for slice in slices {
            let name = slice.str_at(&["metadata", "name"]);
            let resource = resources::endpoint_slices();
            unless_gone(self.client.delete(&resource, namespace, name, &Value::Null).await)?;
            let key = key_of(slice);
            self.slices.until(move |cache| cache.get(&key).is_none()).await;
        }
        Ok(())
    }

    fn warn(&self, endpoints: &Value, told: &Told) {
        let Told { invalid, skipped, .. } = told;
        if *invalid > 0 {
            let message = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            self.recorder.warning(KIND, endpoints, "InvalidIPAddress", &message);
        }
        if skipped > invalid {
            let message = format!(
                "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses \
                 were skipped"
            );
            self.recorder.warning(KIND, endpoints, "TooManyAddressesToMirror", &message);
        }
    }
}

/// Slices with the same family and ports have the same key.
fn key_of_slice(slice: &Value) -> String {
    let mut ports: Vec<String> = slice
        .list_at(&["ports"])
        .iter()
        .map(|port| {
            let (number, text) = (port.i64_at(&["port"]).unwrap_or(0), |field: &str| port.str_at(&[field]));
            format!("{}/{}/{number}/{}", text("name"), text("protocol"), text("appProtocol"))
        })
        .collect();
    ports.sort();
    format!("{} {}", slice.str_at(&["addressType"]), ports.join(" "))
}

fn tell(endpoints: &Value) -> Told {
    let mut told = Told::default();
    for subset in endpoints.list_at(&["subsets"]) {
        let ports: Vec<Value> = subset.list_at(&["ports"]).iter().map(port).collect();
        let of = |field: &'static str, ready: bool| {
            subset.list_at(&[field]).iter().map(move |address| (address, ready))
        };
        let all: Vec<_> = of("addresses", true).chain(of("notReadyAddresses", false)).collect();
        let mut added = 0;
        for (address, ready) in &all {
            if added >= MOST {
                break;
            }
            let Some((family, endpoint)) = endpoint(address, *ready) else {
                told.invalid += 1;
                continue;
            };
            let fresh = slice(endpoints, family, ports.clone());
            let slice = told.slices.entry(key_of_slice(&fresh)).or_insert(fresh);
            let list = slice.get_mut("endpoints").and_then(Value::as_list_mut);
            let is_known = |known: &Value| json::to_string(known) == json::to_string(&endpoint);
            if let Some(list) = list.filter(|list| !list.iter().any(is_known)) {
                list.push(endpoint);
            }
            added += 1;
        }
        told.skipped += all.len() - added;
    }
    told
}

fn port(port: &Value) -> Value {
    let mut told = tree!({
        "name": (port.str_at(&["name"])), "port": (port.i64_at(&["port"])), "protocol": (port.str_at(&["protocol"]))
    });
    if let Some(protocol) = port.get("appProtocol") {
        told.set(&["appProtocol"], protocol.clone());
    }
    told
}

fn endpoint(address: &Value, ready: bool) -> Option<(&'static str, Value)> {
    let ip: IpAddr = address.str_at(&["ip"]).parse().ok()?;
    let mut endpoint = tree!({"addresses": [(ip.to_string())], "conditions": {"ready": ready}});
    for field in ["targetRef", "nodeName", "hostname"] {
        if let Some(value) = address.get(field).filter(|value| !value.is_empty()) {
            endpoint.set(&[field], value.clone());
        }
    }
    Some((if ip.is_ipv4() { "IPv4" } else { "IPv6" }, endpoint))
}

fn slice(endpoints: &Value, family: &str, ports: Vec<Value>) -> Value {
    let meta = |field: &str| endpoints.map_at(&["metadata", field]).cloned().unwrap_or_else(Map::new);
    let mut labels = meta("labels");
    labels.insert(SERVICE_NAME, endpoints.str_at(&["metadata", "name"]));
    labels.insert(MANAGED_BY, NAME);
    let mut annotations = meta("annotations");
    annotations.retain(|name, _| name != TRIGGER_TIME && name != LAST_APPLIED);
    tree!({
        "metadata": {
            "generateName": (format!("{}-", endpoints.str_at(&["metadata", "name"]))),
            "namespace": (endpoints.str_at(&["metadata", "namespace"])), "labels": labels,
            "annotations": annotations, "ownerReferences": [(owner::controller_ref(endpoints, KIND))]
        },
        "addressType": family, "endpoints": [], "ports": ports
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_become_slices_by_family_and_ports() {
        let endpoints = tree!({
            "metadata": {"name": "db", "namespace": "n", "uid": "u", "labels": {"a": "b"}, "annotations": {"c": "d", (LAST_APPLIED): "x"}},
            "subsets": [
                {"addresses": [{"ip": "10.0.0.1", "hostname": "h"}, {"ip": "fd00::1"}, {"ip": "none"}],
                    "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 5432, "protocol": "TCP"}]},
                {"addresses": [{"ip": "10.0.0.3"}], "ports": [{"port": 1, "protocol": "TCP"}]}
            ]
        });
        let told = tell(&endpoints);
        assert_eq!((told.slices.len(), told.invalid, told.skipped), (3, 1, 1));
        let of = |family: &str, port: i64| {
            let is_it = |s: &&Value| {
                s.str_at(&["addressType"]) == family
                    && s.list_at(&["ports"])[0].i64_at(&["port"]) == Some(port)
            };
            told.slices.values().find(is_it).unwrap().clone()
        };
        let v4 = of("IPv4", 5432);
        let wanted = tree!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "hostname": "h"},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}
        ]);
        assert_eq!(v4.get("endpoints"), Some(&wanted));
        assert_eq!(v4.str_at(&["metadata", "labels", SERVICE_NAME]), "db");
        assert_eq!(v4.map_at(&["metadata", "annotations"]).map(Map::len), Some(1));
        assert_eq!(of("IPv6", 5432).list_at(&["endpoints"]).len(), 1);
    }
}
