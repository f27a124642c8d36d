//! Where a stream goes: to the kubelet of the pod's node. `proxied` has the places of proxies.
//! Source: upstream's `pkg/registry/core/pod` (`LogLocation` and its siblings).

use super::kubelets::Kubelets;
use super::{options, url};
use crate::call::Call;
use crate::edit::store_failure;
use crate::stored;
use api::{Fault, Status, Value};

/// How a stream that cannot be opened is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusing {
    /// A plain request to the kubelet.
    Log,
    /// A connection that is to be upgraded.
    Upgrade,
    Proxy,
}

/// How the other end is spoken to, and whether it is believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trust {
    /// Plain HTTP.
    Nobody,
    /// HTTPS, whatever its certificate.
    Anybody,
    /// A kubelet, as the flags say.
    Kubelet,
    /// A kubelet, whatever its certificate.
    AnyKubelet,
}

/// The other end of a stream.
#[derive(Debug)]
pub struct Place {
    pub trust: Trust,
    pub host: String,
    pub port: u16,
    /// Not escaped.
    pub path: String,
    /// Without `?`.
    pub query: String,
    pub refusing: Refusing,
}

impl Place {
    /// A path of a node's kubelet.
    pub fn at_kubelet(kubelets: &Kubelets, node: &Value, path: &str) -> Result<Self, Status> {
        let (host, port) = listens(kubelets, node)?;
        let (path, query) = (path.to_owned(), String::new());
        Ok(Place { trust: Trust::Kubelet, host, port, path, query, refusing: Refusing::Log })
    }

    /// `https://HOST:PORT`.
    pub fn origin(&self) -> String {
        let scheme = if self.trust == Trust::Nobody { "http" } else { "https" };
        format!("{scheme}://{}", self.authority())
    }

    /// `HOST:PORT`.
    pub fn authority(&self) -> String {
        let Place { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Path and query as they stand in a request.
    pub fn target(&self) -> String {
        let path = url::escape_path(&self.path);
        let root = if path.starts_with('/') { "" } else { "/" };
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{root}{path}{mark}{}", self.query)
    }

    /// The other end does not answer.
    pub fn unreachable(&self, why: &str) -> Status {
        match self.refusing {
            Refusing::Log => {
                let url = api::quote(&format!("{}{}", self.origin(), self.target()));
                Status::unclassified(format!("Get {url}: {why}"))
            }
            Refusing::Upgrade => Status::unclassified(format!("error dialing backend: {why}")),
            Refusing::Proxy => unavailable(format!("error trying to reach service: {why}")),
        }
    }
}

pub fn unavailable(text: String) -> Status {
    Status::new(503, "ServiceUnavailable", text)
}

pub async fn get(call: &Call, resource: &str, namespace: &str, name: &str) -> Result<Value, Status> {
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
    let trusted = !call.query.flag("insecureSkipTLSVerifyBackend");
    let trust = if trusted { Trust::Kubelet } else { Trust::AnyKubelet };
    let (host, port) = kubelet(call, &get(call, "nodes", "", node).await?)?;
    let query = url::query(log_query(call)?);
    Ok(Some(Place { trust, host, port, path, query, refusing: Refusing::Log }))
}

/// What the kubelet is asked.
fn log_query(call: &Call) -> Result<Vec<(&'static str, String)>, Status> {
    let asked = &call.query;
    let flags = ["follow", "previous", "timestamps"].into_iter().filter(|name| asked.flag(name));
    let mut query: Vec<_> = flags.map(|name| (name, "true".to_owned())).collect();
    for name in ["sinceSeconds", "tailLines", "limitBytes"] {
        query.extend(asked.integer(name)?.map(|number| (name, number.to_string())));
    }
    if !asked.text("sinceTime").is_empty() {
        let time = api::time::parse(asked.text("sinceTime")).map_err(Status::bad_request)?;
        query.push(("sinceTime", time.rfc3339()));
    }
    Ok(query)
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
    let names = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let flags = names.into_iter().filter(|(asked, _)| call.query.flag(asked));
    let mut query: Vec<_> = flags.map(|(_, name)| (name, "1".to_owned())).collect();
    if what == "exec" {
        query.extend(call.query.all("command").into_iter().map(|word| ("command", word.to_owned())));
    }
    upgraded(call, &pod, path, query).await
}

pub async fn port_forward(call: &Call) -> Result<Place, Status> {
    let pod = get(call, "pods", call.namespace(), &call.target.name).await?;
    let path = format!("/portForward/{}/{}", call.namespace(), call.target.name);
    let ports = options::ports(call);
    let ports = ports.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let query = if ports.is_empty() { Vec::new() } else { vec![("port", ports)] };
    upgraded(call, &pod, path, query).await
}

/// These streams are no plain requests.
async fn upgraded(
    call: &Call,
    pod: &Value,
    path: String,
    query: Vec<(&str, String)>,
) -> Result<Place, Status> {
    let (host, port) = kubelet(call, &get(call, "nodes", "", assigned(pod)?).await?)?;
    if !asks_for_upgrade(call) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let query = url::query(query);
    Ok(Place { trust: Trust::Kubelet, host, port, path, query, refusing: Refusing::Upgrade })
}

pub fn asks_for_upgrade(call: &Call) -> bool {
    let connection = call.headers.get_all(http::header::CONNECTION).iter();
    connection.filter_map(|v| v.to_str().ok()).any(|v| v.to_ascii_lowercase().contains("upgrade"))
}

/// Where the kubelet of a node listens.
pub fn kubelet(call: &Call, node: &Value) -> Result<(String, u16), Status> {
    listens(&call.server.kubelets, node)
}

fn listens(kubelets: &Kubelets, node: &Value) -> Result<(String, u16), Status> {
    let addresses = node.list_at(&["status", "addresses"]);
    let of_type = |ty: &String| addresses.iter().find(|a| a.str_at(&["type"]) == *ty);
    let Some(address) = kubelets.address_types.iter().find_map(of_type) else {
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
    let port = u16::try_from(port).ok().filter(|p| *p > 0).unwrap_or(kubelets.port);
    Ok((address.str_at(&["address"]).to_owned(), port))
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
    fn a_kubelet_is_found_by_name_before_address() {
        let node = tree!({"status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 1234}}
        }});
        assert_eq!(listens(&Kubelets::default(), &node).unwrap(), ("n".to_owned(), 1234));
        let by_address = Kubelets { address_types: vec!["InternalIP".to_owned()], ..Kubelets::default() };
        assert_eq!(listens(&by_address, &node).unwrap(), ("10.0.0.1".to_owned(), 1234));
        let status = listens(&Kubelets::default(), &tree!({})).unwrap_err();
        assert_eq!(status.message, "no preferred addresses found; known addresses: []");
    }

    #[test]
    fn silence_is_told_by_the_kind_of_stream() {
        let place = |refusing| Place {
            trust: Trust::Kubelet,
            host: "h".to_owned(),
            port: 1,
            path: "/p".to_owned(),
            query: "a=b".to_owned(),
            refusing,
        };
        let log = place(Refusing::Log).unreachable("x");
        assert_eq!((log.code, log.message.as_str()), (500, "Get \"https://h:1/p?a=b\": x"));
        assert_eq!(place(Refusing::Proxy).unreachable("x").code, 503);
    }
}
