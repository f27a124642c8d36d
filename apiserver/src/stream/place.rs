//! Where a stream goes: to the kubelet of the pod's node, to the pod itself, to an endpoint of a service.
//! Source: upstream's `pkg/registry/core/{pod,node,service}` (`ResourceLocation` and its siblings).

use crate::call::Call;
use crate::edit::store_failure;
use crate::stored;
use api::{Fault, Status, Value};
use std::net::IpAddr;

const KUBELET_PORT: u16 = 10250;
/// The order in which a node's addresses are tried.
const ADDRESS_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];

/// How a stream that cannot be opened is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusing {
    /// A plain request to the kubelet.
    Log,
    /// A connection that is to be upgraded.
    Upgrade,
    Proxy,
}

/// The other end of a stream.
#[derive(Debug)]
pub struct Place {
    pub host: String,
    pub port: u16,
    pub path: String,
    pub refusing: Refusing,
}

impl Place {
    /// The other end does not answer.
    pub fn unreachable(&self, why: &str) -> Status {
        let Place { host, port, path, refusing } = self;
        match refusing {
            Refusing::Log => Status::unclassified(format!(
                "Get {}: {why}",
                api::quote(&format!("https://{host}:{port}{path}"))
            )),
            Refusing::Upgrade => Status::unclassified(format!("error dialing backend: {why}")),
            Refusing::Proxy => unavailable(format!("error trying to reach service: {why}")),
        }
    }
}

fn unavailable(text: String) -> Status {
    Status::new(503, "ServiceUnavailable", text)
}

async fn get(call: &Call, resource: &str, namespace: &str, name: &str) -> Result<Value, Status> {
    let registry = call.server.registry();
    let kind = registry.find("", resource).ok_or_else(Status::unknown_resource)?;
    let rest = crate::call::rest(kind.info(), namespace, name);
    let key = store::Key::new(&call.server.space(&**kind), rest);
    match call.server.store.get(&key).await.map_err(|e| store_failure(&e))? {
        Some(entry) => stored::decode(&**kind, &entry),
        None => Err(Status::not_found("", resource, name)),
    }
}

/// The log of a container; nowhere while the pod has no node.
pub async fn log(call: &Call) -> Result<Option<Place>, Status> {
    check_log_options(call)?;
    let pod = get(call, "pods", call.namespace(), &call.target.name).await?;
    let container = container_name(&pod, call.query.text("container"))?;
    let node = pod.str_at(&["spec", "nodeName"]);
    if node.is_empty() {
        return Ok(None);
    }
    let path = format!("/containerLogs/{}/{}/{container}", call.namespace(), call.target.name);
    let (host, port) = kubelet(&get(call, "nodes", "", node).await?)?;
    Ok(Some(Place { host, port, path, refusing: Refusing::Log }))
}

fn check_log_options(call: &Call) -> Result<(), Status> {
    let (query, mut faults) = (&call.query, Vec::new());
    let since = query.integer("sinceSeconds")?;
    if let Some(lines) = query.integer("tailLines")?.filter(|n| *n < 0) {
        faults.push(Fault::invalid("tailLines", lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = query.integer("limitBytes")?.filter(|n| *n < 1) {
        faults.push(Fault::invalid("limitBytes", bytes, "must be greater than 0"));
    }
    let since_time = query.text("sinceTime");
    if !since_time.is_empty() {
        api::time::parse(since_time).map_err(Status::bad_request)?;
    }
    match since {
        Some(_) if !since_time.is_empty() => {
            faults.push(Fault::forbidden(
                "[]",
                "at most one of `sinceTime` or `sinceSeconds` may be specified",
            ));
        }
        Some(secs) if secs < 1 => {
            faults.push(Fault::invalid("sinceSeconds", secs, "must be greater than 0"));
        }
        _ => {}
    }
    if query.has("stream") {
        faults.push(Fault::forbidden("stream", "may not be specified"));
    }
    match faults.as_slice() {
        [] => Ok(()),
        _ => Err(Status::invalid("", "PodLogOptions", &call.target.name, &faults)),
    }
}

/// The container that is meant: the only one, unless it is named.
fn container_name(pod: &Value, asked: &str) -> Result<String, Status> {
    let names = |field: &str| -> Vec<String> {
        let list = pod.list_at(&["spec", field]).iter();
        list.map(|c| c.str_at(&["name"]).to_owned()).collect()
    };
    let plain = names("containers");
    let all: Vec<String> = [names("initContainers"), plain.clone(), names("ephemeralContainers")].concat();
    let pod = Call::name_of(pod);
    match (asked, plain.as_slice()) {
        ("", [one]) => Ok(one.clone()),
        ("", []) => Err(Status::bad_request(format!("a container name must be specified for pod {pod}"))),
        ("", _) => {
            let text = format!(
                "a container name must be specified for pod {pod}, choose one of: [{}]",
                all.join(" ")
            );
            Err(Status::bad_request(text))
        }
        (name, _) if all.iter().any(|n| n == name) => Ok(name.to_owned()),
        (name, _) => Err(Status::bad_request(format!("container {name} is not valid for pod {pod}"))),
    }
}

fn assigned(pod: &Value) -> Result<&str, Status> {
    match pod.str_at(&["spec", "nodeName"]) {
        "" => Err(Status::bad_request(format!("pod {} does not have a host assigned", Call::name_of(pod)))),
        node => Ok(node),
    }
}

/// exec and attach.
pub async fn container(call: &Call) -> Result<Place, Status> {
    let pod = get(call, "pods", call.namespace(), &call.target.name).await?;
    let container = container_name(&pod, call.query.text("container"))?;
    let what = call.target.subresource.as_str();
    let path = format!("/{what}/{}/{}/{container}", call.namespace(), call.target.name);
    let (host, port) = kubelet(&get(call, "nodes", "", assigned(&pod)?).await?)?;
    upgraded(call, Place { host, port, path, refusing: Refusing::Upgrade })
}

pub async fn port_forward(call: &Call) -> Result<Place, Status> {
    let pod = get(call, "pods", call.namespace(), &call.target.name).await?;
    let path = format!("/portForward/{}/{}", call.namespace(), call.target.name);
    let (host, port) = kubelet(&get(call, "nodes", "", assigned(&pod)?).await?)?;
    upgraded(call, Place { host, port, path, refusing: Refusing::Upgrade })
}

/// These streams are no plain requests.
fn upgraded(call: &Call, place: Place) -> Result<Place, Status> {
    let connection = call.headers.get_all(http::header::CONNECTION).iter();
    let upgrade =
        connection.filter_map(|v| v.to_str().ok()).any(|v| v.to_ascii_lowercase().contains("upgrade"));
    if upgrade { Ok(place) } else { Err(Status::bad_request("Upgrade request required")) }
}

/// Where the kubelet of a node listens.
fn kubelet(node: &Value) -> Result<(String, u16), Status> {
    let addresses = node.list_at(&["status", "addresses"]);
    let of_type = |ty: &&str| addresses.iter().find(|a| a.str_at(&["type"]) == *ty);
    let Some(address) = ADDRESS_TYPES.iter().find_map(of_type) else {
        let known: Vec<String> = addresses
            .iter()
            .map(|a| format!("{{{} {}}}", a.str_at(&["type"]), a.str_at(&["address"])))
            .collect();
        let known = known.join(" ");
        return Err(Status::unclassified(format!(
            "no preferred addresses found; known addresses: [{known}]"
        )));
    };
    let port = node.i64_at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).unwrap_or(0);
    let port = u16::try_from(port).ok().filter(|p| *p > 0).unwrap_or(KUBELET_PORT);
    Ok((address.str_at(&["address"]).to_owned(), port))
}

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
fn split(id: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some((scheme, name, port))
}

fn split_or_refuse<'a>(call: &'a Call, what: &str) -> Result<(&'a str, &'a str, &'a str), Status> {
    let id = &call.target.name;
    split(id).ok_or_else(|| Status::bad_request(format!("invalid {what} request {}", api::quote(id))))
}

/// Addresses that a proxy may be asked to reach.
fn is_global_unicast(ip: &IpAddr) -> bool {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
}

fn proxied(call: &Call, host: String, port: &str, scheme: &str) -> Place {
    let default = if scheme == "https" { 443 } else { 80 };
    let (port, path) = (port.parse().unwrap_or(default), call.target.tail.clone());
    Place { host, port, path, refusing: Refusing::Proxy }
}

/// The proxy to a pod.
pub async fn pod(call: &Call) -> Result<Place, Status> {
    let (scheme, name, port) = split_or_refuse(call, "pod")?;
    let pod = get(call, "pods", call.namespace(), name).await?;
    let ip = pod.list_at(&["status", "podIPs"]).first().map(|ip| ip.str_at(&["ip"])).unwrap_or_default();
    match kinds::validation::parse_ip_sloppy(ip) {
        Some(ip) if is_global_unicast(&ip) => {}
        _ => return Err(Status::bad_request("address not allowed")),
    }
    let ports = pod.list_at(&["spec", "containers"]).iter().flat_map(|c| c.list_at(&["ports"]));
    let first = ports.filter_map(|p| p.i64_at(&["containerPort"])).next().map(|p| p.to_string());
    let port = if port.is_empty() { first.unwrap_or_default() } else { port.to_owned() };
    Ok(proxied(call, ip.to_owned(), &port, scheme))
}

/// The proxy to a node: its kubelet, unless another port is named.
pub async fn node(call: &Call) -> Result<Place, Status> {
    let (scheme, name, port) = split_or_refuse(call, "node")?;
    let (host, kubelet_port) = kubelet(&get(call, "nodes", "", name).await?)?;
    let allowed = match tokio::net::lookup_host((host.as_str(), kubelet_port)).await {
        Err(_) => return Err(Status::bad_request(format!("lookup {host}: no such host"))),
        Ok(mut all) => all.all(|address| is_global_unicast(&address.ip())),
    };
    if !allowed {
        return Err(Status::bad_request("address not allowed"));
    }
    let port = if port.is_empty() { kubelet_port.to_string() } else { port.to_owned() };
    Ok(proxied(call, host, &port, scheme))
}

/// The proxy to a service: one of the pods behind it.
pub async fn service(call: &Call) -> Result<Place, Status> {
    let (scheme, name, asked) = split_or_refuse(call, "service")?;
    let mut port = asked.to_owned();
    if let Ok(number) = asked.parse::<i64>() {
        let service = get(call, "services", call.namespace(), name).await?;
        let ports = service.list_at(&["spec", "ports"]);
        match ports.iter().find(|p| p.i64_at(&["port"]) == Some(number)) {
            Some(found) => port = found.str_at(&["name"]).to_owned(),
            None => {
                let text = format!("no service port {number} found for service {}", api::quote(name));
                return Err(unavailable(text));
            }
        }
    }
    let endpoints = get(call, "endpoints", call.namespace(), name).await?;
    let subsets = endpoints.list_at(&["subsets"]);
    if subsets.is_empty() {
        return Err(unavailable(format!("no endpoints available for service {}", api::quote(name))));
    }
    for subset in subsets {
        let number = subset.list_at(&["ports"]).iter().find(|p| p.str_at(&["name"]) == port);
        let Some(number) = number.and_then(|p| p.i64_at(&["port"])) else { continue };
        for address in subset.list_at(&["addresses"]) {
            if is_pod(call, address).await {
                let ip = address.str_at(&["ip"]).to_owned();
                return Ok(proxied(call, ip, &number.to_string(), scheme));
            }
        }
    }
    Err(unavailable(format!("no endpoints available for service {}", api::quote(&call.target.name))))
}

/// Only addresses that are really those of pods are reached.
async fn is_pod(call: &Call, address: &Value) -> bool {
    let target = |field: &str| address.str_at(&["targetRef", field]);
    if target("name").is_empty() || target("namespace") != call.namespace() {
        return false;
    }
    let Ok(pod) = get(call, "pods", call.namespace(), target("name")).await else { return false };
    let ips = pod.list_at(&["status", "podIPs"]);
    ips.iter().any(|ip| ip.str_at(&["ip"]) == address.str_at(&["ip"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn one_container_need_not_be_named() {
        let pod = tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}, {"name": "d"}]}});
        assert_eq!(
            container_name(&pod, "").unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [c d]"
        );
        assert_eq!(
            container_name(&pod, "nope").unwrap_err().message,
            "container nope is not valid for pod p"
        );
        assert_eq!(container_name(&pod, "d").unwrap(), "d");
        let one = tree!({"spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container_name(&one, "").unwrap(), "c");
    }

    #[test]
    fn names_of_proxies_carry_scheme_and_port() {
        assert_eq!(split("a"), Some(("", "a", "")));
        assert_eq!(split("https:a:web"), Some(("https", "a", "web")));
        for bad in ["", ":80", "ftp:a:1", "a:b:c:d"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_kubelet_is_found_by_name_before_address() {
        let node = tree!({"status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 1234}}
        }});
        assert_eq!(kubelet(&node).unwrap(), ("n".to_owned(), 1234));
        let status = kubelet(&tree!({})).unwrap_err();
        assert_eq!(status.message, "no preferred addresses found; known addresses: []");
    }

    #[test]
    fn silence_is_told_by_the_kind_of_stream() {
        let place = |refusing| Place { host: "h".to_owned(), port: 1, path: "/p".to_owned(), refusing };
        let log = place(Refusing::Log).unreachable("x");
        assert_eq!((log.code, log.message.as_str()), (500, "Get \"https://h:1/p\": x"));
        assert_eq!(place(Refusing::Proxy).unreachable("x").code, 503);
    }
}
