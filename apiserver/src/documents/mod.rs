//! Everything that is not a resource: discovery, OpenAPI, version, health, metrics.

mod cache;
mod discovery;
mod health;
mod issuer;
mod openapi;
pub mod version;

use crate::answer::{Answer, PLAIN_JSON, bytes_of, tree};
use crate::corridor::Refused;
use crate::negotiate::{Form, Offer, negotiate};
use crate::query::Query;
use crate::server::Server;
use api::{Status, Value, tree as object};
use authz::Permit;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use cache::Documents;

const TEXT: &str = "text/plain; charset=utf-8";
/// What the format of metrics is called.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The bare 404 of paths that lead nowhere.
pub fn not_found() -> Answer {
    bytes_of(404, TEXT, "404 page not found\n".into())
}

/// Answers a path without a resource.
pub async fn serve(
    server: &Arc<Server>,
    parts: &Parts,
    query: &Query,
    _permit: &Permit,
) -> Result<Answer, Refused> {
    let path = parts.uri.path();
    let Some(rest) = path.strip_prefix('/') else { return Ok(not_found()) };
    let segments: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
    let answer = match segments.as_slice() {
        [""] if path == "/" => index(server)?,
        ["api" | "apis", ..] => discovery::serve(server, parts, query, &segments)?,
        ["version"] => plain(parts, query, &version::document())?,
        ["openapi", "v2"] => openapi::v2(server, parts).await?,
        ["openapi", "v3"] => openapi::index(server, parts)?,
        ["openapi", "v3", ..] => openapi::v3(server, parts, query, &segments[2..].join("/")).await?,
        ["healthz" | "livez" | "readyz", ..] => health::serve(server, query, &segments).await,
        [".well-known", "openid-configuration"] => issuer::configuration(server, parts)?,
        ["openid", "v1", "jwks"] => issuer::key_set(server, parts)?,
        ["metrics"] if parts.method == http::Method::GET => {
            let mut text = server.metrics.text(&server.store, server.clock.now());
            server.flow.write_metrics(&mut text);
            if let Some(audit) = &server.audit {
                audit.write_metrics(&mut text);
            }
            bytes_of(200, METRICS, text.into())
        }
        ["metrics", "slis"] if parts.method == http::Method::GET => {
            bytes_of(200, METRICS, server.metrics.health.text(server.clock.now()).into())
        }
        ["debug", "api_priority_and_fairness", dump] => match server.flow.dump(dump, query) {
            Some(text) => bytes_of(200, TEXT, text.into()),
            None => not_found(),
        },
        _ => not_found(),
    };
    Ok(answer)
}

/// `/`: the paths there are. Always indented.
fn index(server: &Server) -> Result<Answer, Status> {
    let registry = &server.registry();
    let mut paths: BTreeSet<String> =
        ["/apis/", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/"]
            .map(str::to_owned)
            .into();
    paths.extend(::openapi::document::names(registry).into_iter().map(|name| format!("/{name}")));
    paths.extend(health::paths(server));
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    tree(Form { pretty: true, ..PLAIN_JSON }, 200, &object!({"paths": paths}))
}

/// A document that has no protobuf form; GET only.
fn plain(parts: &Parts, query: &Query, document: &Value) -> Result<Answer, Status> {
    only_get(parts)?;
    let form = negotiate(&parts.headers, query, Offer { protobuf: false, ..Offer::PLAIN })?;
    tree(form, 200, document)
}

fn only_get(parts: &Parts) -> Result<(), Status> {
    if parts.method == http::Method::GET { Ok(()) } else { Err(Status::method_not_allowed()) }
}

/// An answer without a body.
fn bare(code: u16) -> Answer {
    let mut answer = bytes_of(code, TEXT, bytes::Bytes::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

/// Adds the ETag; an answer that the client has already becomes 304.
fn with_etag(mut answer: Answer, hash: &str, request: &HeaderMap) -> Answer {
    let etag = format!("\"{hash}\"");
    if has_etag(request, &etag) {
        let vary = answer.headers_mut().remove(header::VARY);
        answer = bare(304);
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        if let Some(vary) = vary {
            answer.headers_mut().insert(header::VARY, vary);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&etag) {
        answer.headers_mut().insert(header::ETAG, value);
    }
    answer
}

fn has_etag(request: &HeaderMap, etag: &str) -> bool {
    let known = request.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
