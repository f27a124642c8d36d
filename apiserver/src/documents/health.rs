//! `/healthz`, `/livez`, `/readyz`: all checks at once, one by one, without some of them.
//!
//! Names are upstream's, for those who ask for one by name. The work that most of them stand for is done before the
//! server accepts its first connection; two can fail later: the store, and readiness while the server is draining.

use super::{TEXT, not_found};
use crate::answer::{Answer, bytes_of};
use crate::query::Query;
use crate::server::Server;
use std::time::Duration;
use store::Space;

const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The plugins that keep keys.
const KMS: &str = "kms-providers";

/// What is done by the time anybody can ask.
const STARTED: [&str; 31] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-wait-for-first-sync",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// The checks of an endpoint, in order. A server whose keys are kept elsewhere is alive without them, but neither
/// healthy nor ready.
fn checks(server: &Server, endpoint: &str) -> Vec<&'static str> {
    let mut checks = match endpoint {
        "readyz" => vec!["ping", "log", "informer-sync"],
        _ => vec!["ping", "log", "loopback-serving-certificate", "etcd"],
    };
    if endpoint != "livez" && server.encryption.as_ref().is_some_and(|encryption| encryption.has_plugins()) {
        checks.push(KMS);
    }
    checks.extend(STARTED);
    if endpoint == "readyz" {
        checks.push("shutdown");
    }
    checks
}

/// Every path there is.
pub fn paths(server: &Server) -> Vec<String> {
    let mut paths = Vec::new();
    for endpoint in ["healthz", "livez", "readyz"] {
        paths.push(format!("/{endpoint}"));
        paths.extend(checks(server, endpoint).into_iter().map(|check| format!("/{endpoint}/{check}")));
    }
    paths
}

/// Answers `/livez`, `/livez/ping`, …
pub async fn serve(server: &Server, query: &Query, segments: &[&str]) -> Answer {
    let Some((endpoint, name)) = segments.split_first() else { return not_found() };
    let checks = checks(server, endpoint);
    if name.is_empty() {
        return all(server, query, endpoint, &checks).await;
    }
    let name = name.join("/");
    if !checks.contains(&name.as_str()) {
        return not_found();
    }
    match check(server, endpoint, &name).await {
        true => bytes_of(200, TEXT, "ok".into()),
        false => bytes_of(500, TEXT, "internal server error: reason withheld\n".into()),
    }
}

async fn all(server: &Server, query: &Query, endpoint: &str, checks: &[&str]) -> Answer {
    let excluded = query.all("exclude");
    let (mut text, mut healthy) = (String::new(), true);
    for name in checks {
        if excluded.contains(name) {
            text += &format!("[+]{name} excluded: ok\n");
        } else if check(server, endpoint, name).await {
            text += &format!("[+]{name} ok\n");
        } else {
            healthy = false;
            text += &format!("[-]{name} failed: reason withheld\n");
        }
    }
    let strange: Vec<String> =
        excluded.iter().filter(|name| !checks.contains(name)).map(|n| api::quote(n)).collect();
    if !strange.is_empty() {
        text +=
            &format!("warn: some health checks cannot be excluded: no matches for {}\n", strange.join(", "));
    }
    if !healthy {
        return bytes_of(500, TEXT, format!("{text}{endpoint} check failed\n").into());
    }
    match query.has("verbose") {
        true => bytes_of(200, TEXT, format!("{text}{endpoint} check passed\n").into()),
        false => bytes_of(200, TEXT, "ok".into()),
    }
}

async fn check(server: &Server, endpoint: &str, name: &str) -> bool {
    let passed = passes(server, name).await;
    server.metrics.health.observe(name, endpoint, passed);
    passed
}

async fn passes(server: &Server, name: &str) -> bool {
    match name {
        "etcd" => {
            let space = Space::new("/registry/namespaces/");
            matches!(tokio::time::timeout(STORE_TIMEOUT, server.store.sync(&space)).await, Ok(Ok(_)))
        }
        KMS => match &server.encryption {
            Some(encryption) => encryption.check().await.inspect_err(|why| tracing::warn!("{why}")).is_ok(),
            None => true,
        },
        "shutdown" => !server.is_leaving(),
        _ => true,
    }
}
