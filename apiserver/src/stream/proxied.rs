//! Where a proxy leads: to a pod, to a kubelet or another port of a node, to an endpoint of a service.
//! Source: upstream's `pkg/registry/core/{pod,node,service}` (`ResourceLocation`).

use super::place::{Place, Refusing, Trust, get, kubelet, unavailable};
use super::url;
use crate::call::Call;
use crate::query::unescape;
use api::{Status, Value};
use std::net::IpAddr;

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
    let trust = if scheme == "https" { Trust::Anybody } else { Trust::Nobody };
    let port = port.parse().unwrap_or(default);
    // The client's path is handed on decoded and clean.
    let path = url::join(&[&unescape(&call.target.tail, false)]);
    Place { trust, host, port, path, query: String::new(), refusing: Refusing::Proxy }
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
    let (host, kubelet_port) = kubelet(call, &get(call, "nodes", "", name).await?)?;
    let allowed = match tokio::net::lookup_host((host.as_str(), kubelet_port)).await {
        Err(_) => return Err(Status::bad_request(format!("lookup {host}: no such host"))),
        Ok(mut all) => all.all(|address| is_global_unicast(&address.ip())),
    };
    if !allowed {
        return Err(Status::bad_request("address not allowed"));
    }
    if port.is_empty() || port == kubelet_port.to_string() {
        let place = proxied(call, host, &kubelet_port.to_string(), "https");
        return Ok(Place { trust: Trust::Kubelet, ..place });
    }
    Ok(proxied(call, host, port, scheme))
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
    for subset in in_turns(call, subsets) {
        let number = subset.list_at(&["ports"]).iter().find(|p| p.str_at(&["name"]) == port);
        let Some(number) = number.and_then(|p| p.i64_at(&["port"])) else { continue };
        for address in in_turns(call, subset.list_at(&["addresses"])) {
            if is_pod(call, address).await {
                let ip = address.str_at(&["ip"]).to_owned();
                return Ok(proxied(call, ip, &number.to_string(), scheme));
            }
        }
    }
    Err(unavailable(format!("no endpoints available for service {}", api::quote(&call.target.name))))
}

/// All, beginning with any of them.
fn in_turns<'a>(call: &Call, all: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    let mut byte = [0];
    call.server.ids.fill(&mut byte);
    let first = usize::from(byte[0]) % all.len().max(1);
    all.iter().cycle().skip(first).take(all.len())
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

    #[test]
    fn names_of_proxies_carry_scheme_and_port() {
        assert_eq!(split("a"), Some(("", "a", "")));
        assert_eq!(split("https:a:web"), Some(("https", "a", "web")));
        for bad in ["", ":80", "ftp:a:1", "a:b:c:d"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
