//! What an answer looks like: the Accept header against what the server can write, and how to read a body's type.

use crate::query::Query;
use api::Status;
use http::HeaderMap;

/// A wire format of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
            Media::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    /// The type of a stream of watch events.
    pub fn stream_type(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
            Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }

    fn subtype(self) -> &'static str {
        &self.content_type()["application/".len()..]
    }
}

/// What to turn an object into before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Whole,
    /// `Table` of meta.k8s.io; the version is `v1` or `v1beta1`.
    Table(&'static str),
    Partial(&'static str),
    PartialList(&'static str),
}

/// The negotiated form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub media: Media,
    pub shape: Shape,
    pub pretty: bool,
}

/// Which formats and shapes an endpoint can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub protobuf: bool,
    pub table: bool,
    pub partial: bool,
}

impl Offer {
    /// Resources of built-in kinds.
    pub const BUILTIN: Offer = Offer { protobuf: true, table: true, partial: true };
    /// Custom kinds: no protobuf for whole objects, but for their metadata.
    pub const CUSTOM: Offer = Offer { protobuf: false, table: true, partial: true };
    /// Documents such as discovery, and refusals.
    pub const PLAIN: Offer = Offer { protobuf: true, table: false, partial: false };
}

/// All formats, as refusals list them.
const NAMES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// The formats of streams of watch events.
const STREAM_NAMES: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// One clause of an Accept header.
pub struct Clause<'a> {
    pub ty: &'a str,
    pub subtype: &'a str,
    quality: f32,
    pub params: Vec<(&'a str, &'a str)>,
}

/// The router's look at the Accept header, before the endpoint's own: some clause must name a format in full, or
/// anything at all. Lists have the formats of watches as well.
pub fn routed(headers: &HeaderMap, lists: bool) -> Result<(), Status> {
    let accept = headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let fits = |clause: &str| {
        let name = clause.split(';').next().unwrap_or_default().trim_matches(' ');
        name == "*/*" || [Media::Json, Media::Yaml, Media::Protobuf].iter().any(|m| m.content_type() == name)
    };
    if accept.is_empty() || accept.split(',').any(fits) {
        return Ok(());
    }
    let mut message = format!("406: Not Acceptable\n\nAvailable representations: {NAMES}");
    if lists {
        message = format!("{message}, {STREAM_NAMES}");
    }
    let mut status = Status::new(406, "NotAcceptable", message);
    status.details = Some(Box::default());
    Err(status)
}

/// Picks the form of an answer; 406 when there is none.
pub fn negotiate(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Form, Status> {
    let accept = headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let pretty = wants_pretty(headers, query);
    if accept.is_empty() {
        return Ok(Form { media: Media::Json, shape: Shape::Whole, pretty });
    }
    for clause in clauses(accept) {
        for media in [Media::Json, Media::Yaml, Media::Protobuf] {
            let whole =
                clause.ty == "application" && (clause.subtype == media.subtype() || clause.subtype == "*");
            let matches = whole || (clause.ty == "*" && clause.subtype == "*");
            if !matches {
                continue;
            }
            if let Some((shape, pretty_param)) = accepted(&clause, media, offer) {
                return Ok(Form { media, shape, pretty: pretty || pretty_param });
            }
        }
    }
    Err(not_acceptable(NAMES))
}

/// 406 with the formats that there are.
fn not_acceptable(names: &str) -> Status {
    Status::new(406, "NotAcceptable", format!("only the following media types are accepted: {names}"))
}

/// 406 of a watch in a format that has no streams.
pub fn no_stream() -> Status {
    not_acceptable(STREAM_NAMES)
}

/// 415 of a body in a format that cannot be read.
pub fn unsupported_media() -> Status {
    let message =
        format!("the body of the request was in an unknown format - accepted media types include: {NAMES}");
    Status::new(415, "UnsupportedMediaType", message)
}

/// The shape that a clause asks for in a format, when the endpoint can do it; and whether it asks for indentation.
fn accepted(clause: &Clause<'_>, media: Media, offer: Offer) -> Option<(Shape, bool)> {
    let (mut kind, mut group, mut version, mut pretty) = (None, "", "", false);
    for (key, value) in &clause.params {
        match *key {
            "as" => kind = Some(*value),
            "g" => group = value,
            "v" => version = value,
            "stream" if !value.is_empty() && (*value != "watch" || media == Media::Yaml) => return None,
            "sv" if !value.is_empty() => return None,
            "pretty" => pretty = *value == "1",
            _ => {}
        }
    }
    let Some(kind) = kind else {
        return if media == Media::Protobuf && !offer.protobuf { None } else { Some((Shape::Whole, pretty)) };
    };
    let version = match (group, version) {
        ("meta.k8s.io", "v1") => "v1",
        ("meta.k8s.io", "v1beta1") => "v1beta1",
        _ => return None,
    };
    let shape = match kind {
        "Table" if offer.table && media != Media::Protobuf => Shape::Table(version),
        "PartialObjectMetadata" if offer.partial => Shape::Partial(version),
        "PartialObjectMetadataList" if offer.partial => Shape::PartialList(version),
        _ => return None,
    };
    Some((shape, pretty))
}

/// Clauses by falling quality, more specific ones first, otherwise in the order given.
pub fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(clause).collect();
    let rank = |c: &Clause<'_>| u8::from(c.ty != "*") + u8::from(c.subtype != "*");
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(rank(b).cmp(&rank(a))));
    clauses
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?;
    let (ty, subtype) = match name.split_once('/') {
        Some((ty, subtype)) => (ty.trim(), subtype.trim()),
        None if name == "*" => ("*", "*"),
        None => return None,
    };
    let mut clause = Clause { ty, subtype, quality: 1.0, params: Vec::new() };
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        match key.trim() {
            "q" => clause.quality = value.trim().parse().unwrap_or(1.0),
            key => clause.params.push((key, value.trim())),
        }
    }
    Some(clause)
}

/// `?pretty=…` decides; without it, clients that people look at get indentation.
fn wants_pretty(headers: &HeaderMap, query: &Query) -> bool {
    match query.get("pretty") {
        Some(text) if !text.is_empty() => matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => {
            let agent =
                headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|start| agent.starts_with(start))
        }
    }
}

/// The format of a body by its Content-Type; JSON when there is none. `None`: a format that cannot be read.
pub fn body_media(headers: &HeaderMap, offer: Offer) -> Option<Media> {
    let text = headers.get(http::header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?")).unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "application/json" => Some(Media::Json),
        "application/yaml" => Some(Media::Yaml),
        "application/vnd.kubernetes.protobuf" if offer.protobuf => Some(Media::Protobuf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Result<Form, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, accept.parse().unwrap());
        negotiate(&headers, &Query::default(), Offer::BUILTIN)
    }

    #[test]
    fn quality_decides_and_tables_fall_back() {
        assert_eq!(form("application/json;q=0.1, application/yaml;q=0.9").unwrap().media, Media::Yaml);
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(form(table).unwrap().shape, Shape::Table("v1"));
        assert_eq!(
            form("application/json;as=Table;v=v2;g=meta.k8s.io,application/json").unwrap().shape,
            Shape::Whole
        );
        assert_eq!(form("text/html, */*").unwrap().media, Media::Json);
        assert_eq!(form("text/html").unwrap_err().code, 406);
    }

    #[test]
    fn the_router_wants_whole_names() {
        let routed = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, accept.parse().unwrap());
            routed(&headers, true).map_err(|status| status.message)
        };
        assert!(routed("text/html, application/json;as=Table").is_ok());
        assert!(routed("*/*").is_ok());
        assert!(
            routed("application/*")
                .unwrap_err()
                .ends_with("application/vnd.kubernetes.protobuf;stream=watch")
        );
    }
}
