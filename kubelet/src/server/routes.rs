//! From a path to what is served there. Paths that nobody knows are 404 for everybody; all others are for those who may.
//! Source: upstream's `pkg/kubelet/server/server.go`.

use super::query::Query;
use super::reply::{self, Reply};
use super::{Server, container_logs, metrics, pods, run, summary};
use authn::Peer;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

/// Paths and all below them, where that is so.
const KNOWN: [&str; 17] = [
    "/healthz",
    "/healthz/ping",
    "/healthz/log",
    "/healthz/syncloop",
    "/metrics",
    "/metrics/cadvisor",
    "/metrics/probes",
    "/metrics/resource",
    "/configz",
    "/pods/",
    "/stats/",
    "/run/",
    "/exec/",
    "/attach/",
    "/portForward/",
    "/containerLogs/",
    "/runningpods/",
];
const MACHINE_LOGS: &str = "/logs/";

pub async fn serve(server: &Server, peer: &Peer, request: Request<Incoming>) -> Reply {
    let path = api::uri::unescape(request.uri().path(), false);
    let rooted = format!("{path}/");
    let is_known = |known: &str| match known.strip_suffix('/') {
        Some(root) => path == root || path.starts_with(known),
        None => path == known,
    };
    if !KNOWN.iter().any(|known| is_known(known)) && !is_known(MACHINE_LOGS) {
        return reply::error(StatusCode::NOT_FOUND, "404 page not found");
    }
    let method = request.method().clone();
    if let Err(refusal) = server.access.admit(peer, request.headers(), &method, &path).await {
        return *refusal;
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let trimmed = parts.strip_suffix(&[""]).unwrap_or(&parts);
    let is_get = method == Method::GET;
    match trimmed {
        ["healthz", rest @ ..] => healthz(rest, &query),
        ["metrics", rest @ ..] => metrics::serve(server, rest.first().copied().unwrap_or_default()).await,
        ["configz"] => configz(server),
        ["logs", ..] => {
            if is_get {
                super::machine_logs::serve(
                    server,
                    rooted.strip_prefix(MACHINE_LOGS).unwrap_or_default(),
                    &path,
                )
                .await
            } else {
                wrong_method()
            }
        }
        ["pods"] if is_get => pods::assigned(server),
        ["runningpods"] if is_get => pods::running(server),
        ["stats", "summary"] if is_get => summary::serve(server, &query).await,
        ["containerLogs", namespace, pod, container] if is_get => {
            container_logs::serve(server, namespace, pod, container, &query)
        }
        ["run", namespace, pod, rest @ ..] if method == Method::POST => match rest {
            [container] => run::serve(server, namespace, pod, "", container, &query).await,
            [uid, container] => run::serve(server, namespace, pod, uid, container, &query).await,
            _ => reply::not_found(),
        },
        ["exec" | "attach" | "portForward", ..] if is_get || method == Method::POST => {
            streams(server, trimmed, request)
        }
        ["stats", "summary"] | ["pods"] | ["runningpods"] | ["containerLogs", _, _, _] => wrong_method(),
        ["run" | "exec" | "attach" | "portForward", _, _, ..] => wrong_method(),
        _ => reply::not_found(),
    }
}

fn wrong_method() -> Reply {
    reply::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed")
}

/// `/exec/NAMESPACE/POD[/UID]/CONTAINER`, and `/portForward/NAMESPACE/POD[/UID]`.
fn streams(server: &Server, path: &[&str], request: Request<Incoming>) -> Reply {
    let (what, namespace, name, uid, container) = match *path {
        ["portForward", namespace, name] => ("portForward", namespace, name, "", ""),
        ["portForward", namespace, name, uid] => ("portForward", namespace, name, uid, ""),
        [what, namespace, name, container] => (what, namespace, name, "", container),
        [what, namespace, name, uid, container] => (what, namespace, name, uid, container),
        _ => return reply::not_found(),
    };
    let Some(pod) = server.parts.pods.get(namespace, name) else {
        return reply::text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let is_other = !uid.is_empty() && uid != pod.str_at(&["metadata", "uid"]);
    let observed = server.parts.pods.observed(pod.str_at(&["metadata", "uid"]));
    let failed = |why: String| reply::text(StatusCode::INTERNAL_SERVER_ERROR, why);
    if what == "portForward" {
        if is_other {
            return reply::text(StatusCode::NOT_FOUND, "pod not found");
        }
        let sandbox = observed.as_ref().and_then(|observed| observed.sandbox());
        return match sandbox {
            Some(sandbox) => server.parts.streams.port_forward(&sandbox.id, request),
            None => failed(format!("pod not found ({})", api::quote(&format!("{name}_{namespace}")))),
        };
    }
    let running = observed.as_ref().and_then(|observed| observed.latest(container));
    match running.filter(|container| !is_other && crate::pod::is_running(container)) {
        Some(container) if what == "exec" => server.parts.streams.exec(&container.id, request),
        Some(container) => server.parts.streams.attach(&container.id, request),
        None => failed(format!("container not found ({})", api::quote(container))),
    }
}

/// The server answers, and with it the process that follows the pods.
fn healthz(check: &[&str], query: &Query) -> Reply {
    let verbose = query.has("verbose") && check.is_empty();
    let text = if verbose { "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n" } else { "ok" };
    reply::text(StatusCode::OK, text)
}

fn configz(server: &Server) -> Reply {
    reply::json(&api::tree!({"kubeletconfig": (server.parts.configuration.clone())}))
}
