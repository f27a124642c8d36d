//! Where a webhook is reached: its URL, or an endpoint of its service.

use super::configuration::{Client, Hook};
use super::credentials::Credentials;
use api::{Reader, Remote, Value, quote};
use std::time::Duration;

/// A way to a webhook, or why there is none, in the words of Go's client.
pub struct Way {
    pub remote: Remote,
    /// The service leads nowhere: said as the connection's error.
    pub failed: Option<String>,
}

/// How to reach a webhook that is given `timeout` to answer.
pub async fn way(hook: &Hook, credentials: &Credentials, reader: &dyn Reader, timeout: Duration) -> Way {
    let wait = api::time::format_duration(whole_secs(timeout));
    match &hook.client {
        Client::Url(url) => {
            let mut remote = credentials.remote(&with_port(url));
            remote.url = with_timeout(url, &wait);
            trust(&mut remote, hook);
            Way { remote, failed: None }
        }
        Client::Service { namespace, name, port, path } => {
            let server = format!("{name}.{namespace}.svc");
            let mut remote = credentials.remote(&format!("{server}:{port}"));
            remote.url = with_timeout(&format!("https://{server}:{port}{path}"), &wait);
            if remote.server_name.is_empty() {
                remote.server_name = server;
            }
            trust(&mut remote, hook);
            let found = endpoint(reader, namespace, name, *port).await;
            let failed = found.map(|address| remote.address = Some(address)).err();
            let failed = failed.map(|why| format!("Post {}: {why}", quote(&remote.url)));
            Way { remote, failed }
        }
    }
}

/// The webhook's own bundle beside that of the credentials.
fn trust(remote: &mut Remote, hook: &Hook) {
    let Some(ca) = &hook.ca else { return };
    let bundle = remote.ca.get_or_insert_default();
    if !bundle.is_empty() {
        bundle.push(b'\n');
    }
    bundle.extend_from_slice(ca);
}

/// Nanoseconds, rounded up to whole seconds.
fn whole_secs(timeout: Duration) -> i64 {
    let secs = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    i64::try_from(secs).unwrap_or(0).saturating_mul(1_000_000_000)
}

/// The URL that is asked, as Go's client makes it: a clean path without a final slash, and how long it waits.
fn with_timeout(url: &str, wait: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    let (origin, path) = url.split_at(path);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{origin}/{}?timeout={wait}", parts.join("/"))
}

/// `HOST:PORT` of a URL.
fn with_port(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if has_port { host.to_owned() } else { format!("{host}:443") }
}

/// `IP:PORT` of a ready endpoint of a service: of its EndpointSlices, or for a name elsewhere that name.
async fn endpoint(reader: &dyn Reader, namespace: &str, name: &str, port: i64) -> Result<String, String> {
    let found = match reader.get("", "services", namespace, name).await {
        Some(found) => Some(found),
        None => reader.get_latest("", "services", namespace, name).await,
    };
    let service = found.ok_or_else(|| format!("service {} not found", quote(name)))?;
    let spec = |field: &str| service.str_at(&["spec", field]);
    match spec("type") {
        "ExternalName" => return Ok(format!("{}:{port}", spec("externalName"))),
        "ClusterIP" | "NodePort" | "LoadBalancer" | "" => {}
        other => return Err(format!("unsupported service type {}", quote(other))),
    }
    let ports = service.list_at(&["spec", "ports"]);
    let Some(service_port) = ports.iter().find(|p| p.i64_at(&["port"]) == Some(port)) else {
        return Err(format!("no service port {port} found for service {}", quote(name)));
    };
    let slices = reader.list("discovery.k8s.io", "endpointslices", namespace).await;
    let of_service =
        |slice: &&Value| slice.str_at(&["metadata", "labels", "kubernetes.io/service-name"]) == name;
    let mut of_it: Vec<&Value> = slices.iter().filter(of_service).collect();
    let family = service.list_at(&["spec", "ipFamilies"]).first().and_then(Value::as_str).unwrap_or("IPv4");
    of_it.sort_by_key(|slice| slice.str_at(&["addressType"]) != family);
    let port_name = service_port.str_at(&["name"]);
    of_it
        .iter()
        .find_map(|slice| ready(slice, port_name))
        .ok_or_else(|| format!("no endpoints available for service {}", quote(name)))
}

/// The first ready endpoint of a slice that has the port.
fn ready(slice: &Value, port_name: &str) -> Option<String> {
    let ports = slice.list_at(&["ports"]).iter();
    let port = ports.filter(|p| p.str_at(&["name"]) == port_name).find_map(|p| p.i64_at(&["port"]))?;
    let endpoints = slice.list_at(&["endpoints"]).iter();
    let mut is_ready =
        endpoints.filter(|e| e.at(&["conditions", "ready"]).and_then(Value::as_bool).unwrap_or(true));
    let ip = is_ready.find_map(|e| e.list_at(&["addresses"]).first().and_then(Value::as_str))?;
    Some(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_cleaned_as_gos_client_does() {
        for (url, expected) in [
            ("https://a", "https://a/?timeout=1s"),
            ("https://a:1/", "https://a:1/?timeout=1s"),
            ("https://a/b/", "https://a/b?timeout=1s"),
            ("https://a//b/./c/../d", "https://a/b/d?timeout=1s"),
            ("https://[::1]:1/x?y", "https://[::1]:1/x?timeout=1s"),
        ] {
            assert_eq!(with_timeout(url, "1s"), expected);
        }
        assert_eq!(with_port("https://a/b"), "a:443");
        assert_eq!(with_port("https://[::1]:1/x"), "[::1]:1");
    }
}
