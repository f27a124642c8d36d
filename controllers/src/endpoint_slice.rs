//! endpointslice-controller: for each service with a selector slices of its pods' addresses, at most a hundred each.
//!
//! An endpoint stays in the slice where it is; new ones go where there is room. A service without pods has one empty
//! slice for each of its address families.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::service_pods::{self, Sources, TRIGGER_TIME};
use crate::status::says_the_same;
use crate::{Context, owner, pod_batch, resources};
use api::{Map, Value, json, tree};
use client::{Client, Error, Informer, WorkQueue};
use std::collections::BTreeMap;
use std::sync::Arc;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const NAME: &str = "endpointslice-controller.k8s.io";
const MOST: usize = 100;
const WORKERS: usize = 5;

#[derive(Clone)]
struct Controller {
    client: Client,
    sources: Sources,
    slices: Informer,
    nodes: Informer,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller = Controller {
        client: context.client.clone(),
        sources: Sources::follow(context, &queue),
        slices: context.informer(&resources::endpoint_slices()),
        nodes: context.informer(&resources::nodes()),
    };
    let changed = queue.clone();
    controller.slices.on_change(Arc::new(move |old, new| {
        if let Some(slice) = new.or(old).filter(|slice| is_ours(slice)) {
            let service = slice.str_at(&["metadata", "labels", SERVICE_NAME]);
            changed.add(format!("{}/{service}", slice.str_at(&["metadata", "namespace"])));
        }
    }));
    let copies =
        [&controller.sources.services, &controller.sources.pods, &controller.slices, &controller.nodes];
    let copies = copies.map(Clone::clone);
    let copies: Vec<&Informer> = copies.iter().collect();
    reconcile::run_on("endpoint-slice", &queue, WORKERS, &copies, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

fn is_ours(slice: &Value) -> bool {
    slice.str_at(&["metadata", "labels", MANAGED_BY]) == NAME
}

/// What is to be done about the slices of a service.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    create: Vec<Value>,
    update: Vec<Value>,
    delete: Vec<Value>,
}

/// Endpoints that have the same ports: family, ports and endpoints.
struct Group {
    family: String,
    ports: Value,
    endpoints: Vec<Value>,
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let (namespace, name) = reconcile::split(key);
        let Some(service) = self.sources.services.cache().get(key) else { return Ok(()) };
        if !service_pods::is_selecting(&service) || owner::is_leaving(&service) {
            return Ok(());
        }
        let pods = self.sources.pods_of(&service);
        let slices = self.slices.cache().list(namespace).into_iter();
        let ours = slices.filter(|s| is_ours(s) && s.str_at(&["metadata", "labels", SERVICE_NAME]) == name);
        let ours: Vec<Arc<Value>> = ours.filter(|s| !owner::is_leaving(s)).collect();
        let groups = self.groups(&service, &pods);
        let plan =
            plan(&service, groups, &ours, |is_new| service_pods::trigger_time(&service, &pods, is_new));
        self.carry_out(namespace, plan).await
    }

    async fn carry_out(&self, namespace: &str, plan: Plan) -> Outcome {
        let resource = resources::endpoint_slices();
        for slice in &plan.create {
            match self.client.create(&resource, namespace, slice).await {
                Ok(made) => self.slices.caught_up(&made).await,
                Err(error) if pod_batch::is_namespace_leaving(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        for slice in &plan.update {
            let written = self.client.update(&resource, namespace, slice).await?;
            self.slices.caught_up(&written).await;
        }
        for slice in &plan.delete {
            let name = slice.str_at(&["metadata", "name"]);
            unless_gone(self.client.delete(&resource, namespace, name, &Value::Null).await)?;
            let key = format!("{namespace}/{name}");
            self.slices.until(move |cache| cache.get(&key).is_none()).await;
        }
        Ok::<(), Error>(())
    }

    fn groups(&self, service: &Value, pods: &[Arc<Value>]) -> Vec<Group> {
        let families = service.list_at(&["spec", "ipFamilies"]).iter().filter_map(Value::as_str);
        let mut groups = Vec::new();
        for family in families {
            let mut by_ports: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
            for pod in pods {
                let Some(address) = service_pods::address(pod, family) else { continue };
                let ports = ports(pod, service);
                let group = by_ports.entry(json::to_string(&ports)).or_insert_with(|| (ports, Vec::new()));
                group.1.push(self.endpoint(pod, service, address));
            }
            if by_ports.is_empty() {
                by_ports.insert(String::new(), (Value::List(Vec::new()), Vec::new()));
            }
            let family = family.to_owned();
            groups.extend(by_ports.into_values().map(|(ports, endpoints)| Group {
                family: family.clone(),
                ports,
                endpoints,
            }));
        }
        groups
    }

    fn endpoint(&self, pod: &Value, service: &Value, address: &str) -> Value {
        let serving = crate::pods::is_ready(pod);
        let meta = |field: &str| pod.str_at(&["metadata", field]);
        let mut endpoint = tree!({
            "addresses": [address],
            "conditions": {
                "ready": service_pods::is_ready(pod, service), "serving": serving,
                "terminating": owner::is_leaving(pod)
            },
            "targetRef": {"kind": "Pod", "namespace": meta("namespace"), "name": meta("name"), "uid": owner::uid(pod)}
        });
        if let Some(hostname) = service_pods::hostname(pod, service) {
            endpoint.set(&["hostname"], hostname);
        }
        let node = pod.str_at(&["spec", "nodeName"]);
        if !node.is_empty() {
            endpoint.set(&["nodeName"], node);
            let found = self.nodes.cache().get(node);
            let zone =
                found.map(|n| n.str_at(&["metadata", "labels", "topology.kubernetes.io/zone"]).to_owned());
            if let Some(zone) = zone.filter(|zone| !zone.is_empty()) {
                endpoint.set(&["zone"], zone);
            }
        }
        hint(&mut endpoint, service);
        endpoint
    }
}

/// Says of a ready endpoint from where traffic should come, when the service wants it from near by.
fn hint(endpoint: &mut Value, service: &Value) {
    let near = match service.str_at(&["spec", "trafficDistribution"]) {
        "PreferClose" | "PreferSameZone" => &[("zone", "forZones")] as &[(&str, &str)],
        "PreferSameNode" => &[("zone", "forZones"), ("nodeName", "forNodes")],
        _ => return,
    };
    if !endpoint.bool_at(&["conditions", "ready"]) {
        return;
    }
    for (place, hints) in near {
        let name = endpoint.str_at(&[place]).to_owned();
        if !name.is_empty() {
            endpoint.set(&["hints", hints], tree!([{"name": name}]));
        }
    }
}

fn ports(pod: &Value, service: &Value) -> Value {
    let one = |port: &Value| {
        let number = service_pods::port_number(pod, port)?;
        let mut wanted =
            tree!({"name": port.str_at(&["name"]), "protocol": port.str_at(&["protocol"]), "port": number});
        if let Some(protocol) = port.get("appProtocol") {
            wanted.set(&["appProtocol"], protocol.clone());
        }
        Some(wanted)
    };
    Value::List(service.list_at(&["spec", "ports"]).iter().filter_map(one).collect())
}

/// From the endpoints that there are to the slices that there should be.
fn plan(
    service: &Value,
    groups: Vec<Group>,
    slices: &[Arc<Value>],
    trigger: impl Fn(bool) -> Option<String>,
) -> Plan {
    let mut labels = service_pods::labels(service, &[SERVICE_NAME, MANAGED_BY]);
    labels.insert(SERVICE_NAME, service.str_at(&["metadata", "name"]));
    labels.insert(MANAGED_BY, NAME);
    let (mut plan, mut kept) = (Plan::default(), Vec::new());
    for mut group in groups {
        let fits = |slice: &&Arc<Value>| {
            slice.str_at(&["addressType"]) == group.family
                && says_the_same(slice.get("ports"), Some(&group.ports))
        };
        let places: Vec<&Arc<Value>> = slices.iter().filter(fits).collect();
        let placeholder = group.endpoints.is_empty();
        let mut contents = keep_in_place(&places, &mut group.endpoints);
        // The fullest first, so that the empty ones can go.
        let mut fullest: Vec<&mut Vec<Value>> = contents.iter_mut().collect();
        fullest.sort_by_key(|content| std::cmp::Reverse(content.len()));
        for content in fullest {
            let room = MOST.saturating_sub(content.len()).min(group.endpoints.len());
            content.extend(group.endpoints.drain(..room));
        }
        for (i, (slice, content)) in places.into_iter().zip(contents).enumerate() {
            if content.is_empty() && !(placeholder && i == 0) {
                continue;
            }
            kept.push(owner::uid(slice).to_owned());
            let same = says_the_same(slice.get("endpoints"), Some(&Value::List(content.clone())));
            if !same || slice.map_at(&["metadata", "labels"]) != Some(&labels) {
                let mut wanted = (**slice).clone();
                wanted.set(&["endpoints"], Value::List(content));
                wanted.set(&["metadata", "labels"], labels.clone());
                annotate(&mut wanted, trigger(false));
                plan.update.push(wanted);
            }
        }
        let none = placeholder && !kept_any(&kept, slices, &group.family);
        while !group.endpoints.is_empty() || (none && !has_new(&plan, &group.family)) {
            let content: Vec<Value> = group.endpoints.drain(..MOST.min(group.endpoints.len())).collect();
            let mut slice = new_slice(service, &group, content, labels.clone());
            annotate(&mut slice, trigger(true));
            plan.create.push(slice);
        }
    }
    let gone = slices.iter().filter(|slice| !kept.iter().any(|uid| uid == owner::uid(slice)));
    plan.delete = gone.map(|slice| (**slice).clone()).collect();
    plan
}

fn kept_any(kept: &[String], slices: &[Arc<Value>], family: &str) -> bool {
    slices.iter().any(|s| s.str_at(&["addressType"]) == family && kept.iter().any(|uid| uid == owner::uid(s)))
}

fn has_new(plan: &Plan, family: &str) -> bool {
    plan.create.iter().any(|slice| slice.str_at(&["addressType"]) == family)
}

/// Takes out of `endpoints` those that are in a slice already, and gives them by slice as they are now.
fn keep_in_place(slices: &[&Arc<Value>], endpoints: &mut Vec<Value>) -> Vec<Vec<Value>> {
    let target = |endpoint: &Value| endpoint.str_at(&["targetRef", "uid"]).to_owned();
    let mut contents = Vec::new();
    for slice in slices {
        let mut content = Vec::new();
        for old in slice.list_at(&["endpoints"]) {
            if let Some(at) = endpoints.iter().position(|new| target(new) == target(old)) {
                content.push(endpoints.remove(at));
            }
        }
        contents.push(content);
    }
    contents
}

fn new_slice(service: &Value, group: &Group, endpoints: Vec<Value>, labels: Map) -> Value {
    tree!({
        "metadata": {
            "generateName": format!("{}-", service.str_at(&["metadata", "name"])),
            "namespace": service.str_at(&["metadata", "namespace"]), "labels": labels,
            "ownerReferences": [owner::controller_ref(service, ("v1", "Service"))]
        },
        "addressType": group.family.as_str(), "endpoints": Value::List(endpoints), "ports": group.ports.clone()
    })
}

fn annotate(slice: &mut Value, time: Option<String>) {
    match time {
        Some(time) => slice.set(&["metadata", "annotations", TRIGGER_TIME], time),
        None => drop(slice.unset(&["metadata", "annotations", TRIGGER_TIME])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        tree!({"metadata": {"name": "s", "namespace": "n", "uid": "u"}, "spec": {"clusterIP": "10.0.0.9"}})
    }

    fn group(names: impl IntoIterator<Item = usize>) -> Group {
        let endpoint = |n: usize| tree!({"addresses": [n.to_string()], "targetRef": {"uid": n.to_string()}});
        let endpoints: Vec<Value> = names.into_iter().map(endpoint).collect();
        let ports = if endpoints.is_empty() { tree!([]) } else { tree!([{"name": "", "port": 80}]) };
        Group { family: "IPv4".into(), ports, endpoints }
    }

    fn stored(mut slice: Value, uid: &str) -> Arc<Value> {
        slice.set(&["metadata", "uid"], uid);
        Arc::new(slice)
    }

    #[test]
    fn ready_endpoints_of_services_that_want_it_have_hints() {
        let mut endpoint = tree!({"conditions": {"ready": true}, "zone": "z", "nodeName": "n"});
        let plain = endpoint.clone();
        hint(&mut endpoint, &service());
        assert_eq!(endpoint, plain);
        let mut near = service();
        near.set(&["spec", "trafficDistribution"], "PreferSameNode");
        hint(&mut endpoint, &near);
        let wanted = tree!({"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]});
        assert_eq!(endpoint.get("hints"), Some(&wanted));
        let mut unready = tree!({"conditions": {"ready": false}, "zone": "z"});
        hint(&mut unready, &near);
        assert!(unready.get("hints").is_none());
    }

    #[test]
    fn a_service_without_pods_has_one_empty_slice() {
        let first = plan(&service(), vec![group([])], &[], |_| None);
        assert_eq!((first.create.len(), first.update.len(), first.delete.len()), (1, 0, 0));
        let slice = stored(first.create[0].clone(), "a");
        assert_eq!(plan(&service(), vec![group([])], &[slice], |_| None), Plan::default());
    }

    #[test]
    fn endpoints_stay_where_they_are_and_fill_slices_of_a_hundred() {
        let first = plan(&service(), vec![group(0..150)], &[], |_| None);
        let sizes: Vec<usize> = first.create.iter().map(|s| s.list_at(&["endpoints"]).len()).collect();
        assert_eq!(sizes, [100, 50]);
        let slices = [stored(first.create[0].clone(), "a"), stored(first.create[1].clone(), "b")];
        assert_eq!(plan(&service(), vec![group(0..150)], &slices, |_| None), Plan::default());
        let less = plan(&service(), vec![group(100..151)], &slices, |_| None);
        assert_eq!((less.create.len(), less.update.len(), less.delete.len()), (0, 1, 1));
        assert_eq!(less.update[0].list_at(&["endpoints"]).len(), 51);
    }

    #[test]
    fn the_first_pod_replaces_the_empty_slice() {
        let empty = plan(&service(), vec![group([])], &[], |_| None);
        let slice = stored(empty.create[0].clone(), "a");
        let next = plan(&service(), vec![group([1])], &[slice], |_| None);
        assert_eq!((next.create.len(), next.delete.len()), (1, 1));
    }
}
