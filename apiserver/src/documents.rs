//! Everything that is not a resource: discovery, OpenAPI, version, health, metrics.

use crate::answer::{Answer, PLAIN_JSON, bytes_of, tree};
use crate::corridor::Refused;
use crate::query::Query;
use crate::server::Server;
use api::tree as object;
use authz::Permit;
use http::request::Parts;
use std::sync::Arc;

/// Documents made from the registry, until it changes.
#[derive(Default)]
pub struct Documents {}

impl Documents {
    /// The registry has changed.
    pub fn forget(&self) {}
}

/// The bare 404 of paths that lead nowhere.
pub fn not_found() -> Answer {
    bytes_of(404, "text/plain; charset=utf-8", "404 page not found\n".into())
}

pub async fn serve(
    _server: &Arc<Server>,
    parts: &Parts,
    _query: &Query,
    _permit: &Permit,
) -> Result<Answer, Refused> {
    match parts.uri.path() {
        "/healthz" | "/livez" | "/readyz" => Ok(bytes_of(200, "text/plain; charset=utf-8", "ok".into())),
        "/version" => {
            Ok(tree(PLAIN_JSON, 200, &object!({"major": "1", "minor": "36", "gitVersion": "v1.36.2"}))?)
        }
        _ => Ok(not_found()),
    }
}
