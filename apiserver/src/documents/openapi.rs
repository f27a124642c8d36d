//! `/openapi/v2` and `/openapi/v3`: made when asked for, off the threads that serve others, and kept compressed.

use super::cache::Document;
use super::{TEXT, bare, with_etag};
use crate::answer::{Answer, bytes_of, gzip::AsIs};
use crate::door::Body;
use crate::negotiate::clauses;
use crate::query::Query;
use crate::server::Server;
use ::openapi::{document, gnostic};
use api::{Map, Status, json, tree};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

const JSON: &str = "application/json";
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V3_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";

/// The formats of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Protobuf,
}

/// The first format of the Accept header that there is. `version` is `v2` or `v3`.
fn format(headers: &HeaderMap, version: &str) -> Option<Format> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let accept = if accept.is_empty() { "*/*" } else { accept };
    let protobuf = [
        format!("com.github.proto-openapi.spec.{version}@v1.0+protobuf"),
        format!("com.github.proto-openapi.spec.{version}.v1.0+protobuf"),
    ];
    clauses(accept).into_iter().find_map(|clause| match (clause.ty, clause.subtype) {
        ("application" | "*", "json" | "*") => Some(Format::Json),
        ("application" | "*", subtype) if protobuf.iter().any(|p| p == subtype) => Some(Format::Protobuf),
        _ => None,
    })
}

/// `/openapi/v2`.
pub async fn v2(server: &Arc<Server>, parts: &Parts) -> Result<Answer, Status> {
    let Some(format) = format(&parts.headers, "v2") else { return Ok(bare(406)) };
    let Some(found) = find(server, "v2", format).await? else { return Ok(bare(404)) };
    let content_type = if format == Format::Json { JSON } else { V2_PROTOBUF };
    let is_gzip = crate::answer::gzip::is_accepted(&parts.headers);
    let body = if is_gzip { found.packed.clone() } else { found.text().into() };
    let mut answer = bytes_of(200, content_type, body);
    answer.extensions_mut().insert(AsIs);
    let headers = answer.headers_mut();
    if is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let mut answer = with_etag(answer, &found.hash, &parts.headers);
    let headers = answer.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

/// `/openapi/v3`: where each document is, with what it amounts to now.
pub fn index(server: &Server, parts: &Parts) -> Result<Answer, Status> {
    let registry = server.registry();
    let mut paths = Map::new();
    for name in document::names(&registry) {
        let hash = document::v3_hash(&registry, &name).unwrap_or_default();
        paths.insert(name.as_str(), tree!({"serverRelativeURL": url(&name, &hash)}));
    }
    let text = json::to_vec(&tree!({"paths": paths}));
    let hash = document::v2_hash(&registry);
    Ok(with_etag(bytes_of(200, TEXT, text.into()), &hash, &parts.headers))
}

fn url(name: &str, hash: &str) -> String {
    format!("/openapi/v3/{name}?hash={hash}")
}

/// One document of `/openapi/v3`. A URL with the document's hash may be kept for ever; one with another hash leads on.
pub async fn v3(server: &Arc<Server>, parts: &Parts, query: &Query, name: &str) -> Result<Answer, Status> {
    let Some(format) = format(&parts.headers, "v3") else { return Ok(vary(bare(406))) };
    let Some(hash) = document::v3_hash(&server.registry(), name) else { return Ok(vary(bare(404))) };
    let content_type = if format == Format::Json { JSON } else { V3_PROTOBUF };
    let asked = query.text("hash");
    if !asked.is_empty() && asked != hash {
        return redirect(&url(name, &hash), content_type);
    }
    let Some(found) = find(server, name, format).await? else { return Ok(vary(bare(404))) };
    let mut answer = vary(bytes_of(200, content_type, found.text().into()));
    answer.extensions_mut().insert(AsIs);
    let mut answer = with_etag(answer, &found.hash, &parts.headers);
    if !asked.is_empty() {
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        if let Ok(expires) = HeaderValue::from_str(&in_a_year(server)) {
            answer.headers_mut().insert(header::EXPIRES, expires);
        }
    }
    Ok(answer)
}

fn vary(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

fn redirect(to: &str, content_type: &'static str) -> Result<Answer, Status> {
    let mut answer = vary(bytes_of(301, content_type, Bytes::new()));
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_str(to).map_err(Status::internal)?);
    *answer.body_mut() = Body::full(Bytes::new());
    Ok(answer)
}

/// As HTTP writes dates.
fn in_a_year(server: &Server) -> String {
    const YEAR_SECS: u64 = 365 * 24 * 60 * 60;
    let then = server.clock.now().plus(Duration::from_secs(YEAR_SECS));
    http_date(then)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(time: Time) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let text = time.rfc3339();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse().ok().and_then(|m: usize| MONTHS.get(m.wrapping_sub(1))).unwrap_or(&"");
    let weekday = usize::try_from(time.secs.div_euclid(86_400).rem_euclid(7))
        .ok()
        .and_then(|d| DAYS.get(d))
        .unwrap_or(&"");
    format!("{weekday}, {} {month} {} {} GMT", part(8, 10), part(0, 4), part(11, 19))
}

/// A document in a format, made when it is not there. `name` is `v2` or a document of version 3.
async fn find(server: &Arc<Server>, name: &str, format: Format) -> Result<Option<Document>, Status> {
    let key = format!("{name} {format:?}");
    if let Some(found) = server.documents.find(&key) {
        return Ok(Some(found));
    }
    let generation = server.documents.generation();
    let registry = server.registry();
    let wanted = name.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let (hash, text) = match wanted.as_str() {
            "v2" => (document::v2_hash(&registry), document::v2(&registry)),
            name => (document::v3_hash(&registry, name)?, document::v3(&registry, name)?),
        };
        let bytes = match (format, wanted.as_str()) {
            (Format::Json, _) => text,
            (Format::Protobuf, "v2") => gnostic::v2(&text),
            (Format::Protobuf, _) => gnostic::v3(&text),
        };
        Some(Document::new(hash, &bytes))
    });
    let made = made.await.map_err(Status::internal)?;
    if let Some(document) = &made {
        server.documents.keep(generation, &key, document);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_has_them() {
        assert_eq!(http_date(Time { secs: 784_111_777, nanos: 0 }), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn the_first_format_there_is_wins() {
        let ask = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            format(&headers, "v2")
        };
        assert_eq!(ask("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), Some(Format::Protobuf));
        assert_eq!(ask("application/com.github.proto-openapi.spec.v3@v1.0+protobuf"), None);
        assert_eq!(ask("application/yaml, application/json"), Some(Format::Json));
        assert_eq!(ask("application/yaml"), None);
    }
}
