//! Discovery: which document a path and an Accept header ask for. The documents are made in `openapi::discovery`.

use super::{not_found, only_get, with_etag};
use crate::answer::{Answer, tree};
use crate::negotiate::{Clause, Form, Media, Offer, Shape, clauses, negotiate};
use crate::query::Query;
use crate::server::Server;
use ::openapi::discovery::{aggregated, legacy};
use api::{Status, Value, json};
use http::request::Parts;
use http::{HeaderValue, header};
use kinds::Registry;
use sha2::{Digest, Sha512};

/// `/api…` and `/apis…` without a resource.
pub fn serve(server: &Server, parts: &Parts, query: &Query, segments: &[&str]) -> Result<Answer, Status> {
    let registry = server.registry();
    let document = match segments {
        ["api"] | ["apis"] => {
            only_get(parts)?;
            if let Some(media) = aggregated_media(parts) {
                return aggregate(&registry, segments == ["api"], media, parts);
            }
            match segments {
                ["api"] => Some(legacy::api_versions(&registry, &own_address(parts))),
                _ => Some(legacy::group_list(&registry)),
            }
        }
        ["api", version] => legacy::resource_list(&registry, "", version),
        ["apis", group] => legacy::api_group(&registry, group),
        ["apis", group, version] => legacy::resource_list(&registry, group, version),
        _ => None,
    };
    let Some(document) = document else { return unknown(&registry, segments) };
    only_get(parts)?;
    let form = negotiate(&parts.headers, query, Offer::PLAIN)?;
    write(form, document)
}

/// Nothing is served there: in a group of built-in kinds that is a Status, elsewhere the bare 404.
fn unknown(registry: &Registry, segments: &[&str]) -> Result<Answer, Status> {
    let group = match segments {
        ["api", ..] => "",
        ["apis", group, _, ..] => group,
        _ => return Ok(not_found()),
    };
    if registry.kinds().any(|k| k.info().group == group && !k.stored_as_json()) {
        return Err(Status::unknown_resource());
    }
    Ok(not_found())
}

/// The core group's documents say no version; their protobuf form does.
fn write(form: Form, mut document: Value) -> Result<Answer, Status> {
    if form.media == Media::Protobuf {
        document.set(&["apiVersion"], "v1");
    }
    tree(form, 200, &document)
}

/// Where the client found this server.
fn own_address(parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

/// The format of the aggregated document, when the client takes it at all: it goes before the plain one, wherever it
/// stands in the Accept header.
fn aggregated_media(parts: &Parts) -> Option<Media> {
    let accept = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    clauses(accept).iter().filter(|clause| is_aggregated(clause)).find_map(media)
}

fn is_aggregated(clause: &Clause<'_>) -> bool {
    let param = |name: &str| clause.params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    param("as") == Some("APIGroupDiscoveryList")
        && param("g") == Some("apidiscovery.k8s.io")
        && param("v") == Some("v2")
}

fn media(clause: &Clause<'_>) -> Option<Media> {
    match (clause.ty, clause.subtype) {
        ("application", "json" | "*") | ("*", "*") => Some(Media::Json),
        ("application", "yaml") => Some(Media::Yaml),
        ("application", "vnd.kubernetes.protobuf") => Some(Media::Protobuf),
        _ => None,
    }
}

fn aggregate(registry: &Registry, core: bool, media: Media, parts: &Parts) -> Result<Answer, Status> {
    let document = if core { aggregated::core_list(registry) } else { aggregated::group_list(registry) };
    let hash: String =
        Sha512::digest(json::to_vec(&document)).iter().map(|byte| format!("{byte:02X}")).collect();
    let form = Form { media, shape: Shape::Whole, pretty: false };
    let mut answer = tree(form, 200, &document)?;
    let content_type = match media {
        Media::Json => HeaderValue::from_static(aggregated::CONTENT_TYPE),
        other => {
            let suffix = aggregated::CONTENT_TYPE.strip_prefix("application/json").unwrap_or_default();
            let text = format!("{}{suffix}", other.content_type());
            HeaderValue::from_str(&text).map_err(Status::internal)?
        }
    };
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(with_etag(answer, &hash, &parts.headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregated_form_wins_wherever_it_is_named() {
        const ASKED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let ask = |accept: String| {
            let request = http::Request::get("/api").header(header::ACCEPT, accept).body(()).unwrap();
            aggregated_media(&request.into_parts().0)
        };
        assert_eq!(ask(format!("application/json,{ASKED}")), Some(Media::Json));
        assert_eq!(ask(format!("{ASKED},application/json")), Some(Media::Json));
        assert_eq!(ask(ASKED.replace("v2", "v2beta1")), None);
        assert_eq!(ask("*/*".to_owned()), None);
    }
}
