//! The `kubernetes` Service in `default`, with the EndpointSlice and Endpoints that lead to the API server.

use crate::{Context, reconcile};
use api::{Value, tree};
use client::{Client, Error, Informer, Resource, WorkQueue};
use std::net::SocketAddr;
use std::sync::Arc;

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";
const SERVICE_IP: &str = "10.96.0.1";

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let client = context.client.clone();
    let services = Resource::namespaced("", "v1", "services");
    let changed = queue.clone();
    Informer::start(
        client.clone(),
        services,
        "fieldSelector=metadata.name%3Dkubernetes,metadata.namespace%3Ddefault",
        Arc::new(move |_, _| changed.add(NAME)),
    );
    queue.add(NAME);
    let endpoint = context.settings.endpoint;
    reconcile::run("kubernetes-service", &queue, 1, move |_| {
        let client = client.clone();
        async move { publish(&client, endpoint).await }
    });
}

async fn publish(client: &Client, endpoint: SocketAddr) -> Result<(), Error> {
    let port =
        tree!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": i64::from(endpoint.port())}]);
    let labels = tree!({"component": "apiserver", "provider": "kubernetes"});
    let service = tree!({
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": SERVICE_IP, "clusterIPs": [SERVICE_IP], "ports": port,
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None"}
    });
    ensure(client, &Resource::namespaced("", "v1", "services"), service, &[&["spec", "ports"]]).await?;
    let (ip, port) = (endpoint.ip().to_string(), i64::from(endpoint.port()));
    let endpoints = tree!({
        "metadata": {"name": NAME, "namespace": NAMESPACE,
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": ip.as_str()}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]
    });
    // Endpoints and EndpointSlices may not name loopback addresses; such a server is reached by nobody else anyway.
    if endpoint.ip().is_loopback() {
        return Ok(());
    }
    ensure(client, &Resource::namespaced("", "v1", "endpoints"), endpoints, &[&["subsets"]]).await?;
    let family = if endpoint.is_ipv4() { "IPv4" } else { "IPv6" };
    let slice = tree!({
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": family,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}]
    });
    let slices = Resource::namespaced("discovery.k8s.io", "v1", "endpointslices");
    ensure(client, &slices, slice, &[&["endpoints"], &["ports"]]).await
}

/// Creates an object, or brings the given parts of it to what is wanted.
async fn ensure(client: &Client, resource: &Resource, wanted: Value, parts: &[&[&str]]) -> Result<(), Error> {
    let Some(mut found) = client.find(resource, NAMESPACE, NAME).await? else {
        return match client.create(resource, NAMESPACE, &wanted).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        };
    };
    let differs = |found: &Value| parts.iter().any(|path| !covers(found.at(path), wanted.at(path)));
    if !differs(&found) {
        return Ok(());
    }
    for path in parts {
        found.set(path, wanted.at(path).cloned().unwrap_or_default());
    }
    client.update(resource, NAMESPACE, &found).await.map(|_| ())
}

/// True when everything of `wanted` is in `found` (which may say more, by defaults).
fn covers(found: Option<&Value>, wanted: Option<&Value>) -> bool {
    match (found, wanted) {
        (_, None) => true,
        (Some(Value::Map(found)), Some(Value::Map(wanted))) => {
            wanted.iter().all(|(key, value)| covers(found.get(key), Some(value)))
        }
        (Some(Value::List(found)), Some(Value::List(wanted))) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| covers(Some(f), Some(w)))
        }
        (found, wanted) => found == wanted,
    }
}
