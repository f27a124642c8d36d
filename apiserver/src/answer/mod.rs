//! Answers: from objects in the store to bytes on the wire, in the form that was negotiated.

pub mod gzip;
pub mod list;
pub mod long;
pub mod partial;
mod splice;
pub mod table;

use crate::call::Call;
use crate::door::Body;
use crate::edit::Written;
use crate::negotiate::{Form, Media, Shape};
use crate::stored;
use api::{Map, Status, Value, json, proto, schema, yaml};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use store::Entry;

/// An answer that has been made.
pub type Answer = Response<Body>;

/// A stored object. In its stored version, as plain JSON, this is a copy of bytes.
pub fn entry(call: &Call, form: Form, entry: &Entry) -> Result<Answer, Status> {
    if form.media == Media::Json && form.shape == Shape::Whole && !form.pretty {
        return Ok(json_bytes(200, stored::json(&*call.kind, entry, call.version())?));
    }
    if form.media == Media::Protobuf
        && form.shape == Shape::Whole
        && let Some(bytes) = enveloped(call, entry)
    {
        return Ok(bytes_of(200, form.media.content_type(), bytes.into()));
    }
    object(call, form, 200, stored::decode(&*call.kind, entry)?)
}

/// A stored object in its protobuf envelope, where that is a copy of what is stored.
pub fn enveloped(call: &Call, entry: &Entry) -> Option<Vec<u8>> {
    let message = stored::message(&*call.kind, entry, call.version())?;
    let info = call.info();
    Some(proto::wrap(&info.api_version(call.version()), &info.kind, &message))
}

/// The outcome of a write.
pub fn written(call: &Call, form: Form, code: u16, mut written: Written) -> Result<Answer, Status> {
    // Dry runs answer with what would be read as well.
    stored::as_read(&*call.kind, &mut written.object)?;
    let same_version = call.version() == call.info().storage_version.as_str();
    match written.entry {
        Some(entry)
            if form.media == Media::Json
                && form.shape == Shape::Whole
                && same_version
                && !(form.pretty && call.kind.stored_as_json()) =>
        {
            stored::remember(&*call.kind, &entry, &written.object);
            let bytes = stored::json(&*call.kind, &entry, call.version())?;
            if form.pretty { tree(form, code, &written.object) } else { Ok(json_bytes(code, bytes)) }
        }
        // What a custom object is, its way through the stored version says.
        Some(entry) if call.kind.stored_as_json() => {
            object(call, form, code, stored::decode(&*call.kind, &entry)?)
        }
        _ => object(call, form, code, written.object),
    }
}

/// An object in the stored version.
pub fn object(call: &Call, form: Form, code: u16, obj: Value) -> Result<Answer, Status> {
    match form.shape {
        Shape::Whole => tree(form, code, &stored::to_version(&*call.kind, obj, call.version())?),
        Shape::Partial(version) => tree(form, code, &partial::object(&obj, version)),
        Shape::PartialList(_) => {
            let what = go_type(call, "");
            let message = format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list ({what})"
            );
            Err(Status::new(406, "NotAcceptable", message))
        }
        Shape::Table(version) => {
            let options = table::Options::read(&call.query)?;
            let meta = partial::list_meta(obj.str_at(&["metadata", "resourceVersion"]), "", None);
            let rows = vec![table::row(call, version, obj, options.include)?];
            tree(form, code, &table::table(version, meta, Some(table::columns(&*call.kind)), rows))
        }
    }
}

/// What Go calls the type, as refusals print it: `*core.ConfigMap`.
fn go_type(call: &Call, suffix: &str) -> String {
    let group = call.group();
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) };
    if call.kind.stored_as_json() {
        return format!("*unstructured.Unstructured{suffix}");
    }
    format!("*{package}.{}{suffix}", call.info().kind)
}

/// Any tree that says what it is; protobuf where its type has a form in it. Indented JSON has no final newline.
pub fn tree(form: Form, code: u16, value: &Value) -> Result<Answer, Status> {
    let bytes = match form.media {
        Media::Json if form.pretty => json::to_pretty(value),
        Media::Json => return Ok(json_bytes(code, json::to_vec(value).into())),
        Media::Yaml => yaml::to_string(value).into_bytes(),
        Media::Protobuf => protobuf(value)?,
    };
    Ok(bytes_of(code, form.media.content_type(), bytes.into()))
}

/// The protobuf envelope of a tree of a built-in type.
pub fn protobuf(value: &Value) -> Result<Vec<u8>, Status> {
    let (api_version, kind) = (value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let ty = schema::builtin_type(group, version, kind).ok_or_else(|| {
        Status::new(406, "NotAcceptable", format!("object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message: {kind}"))
    })?;
    let raw = proto::encode(schema::builtin(), ty, value);
    Ok(proto::wrap(api_version, kind, &raw))
}

/// JSON that has no final newline yet.
pub fn json_bytes(code: u16, bytes: Bytes) -> Answer {
    let mut text = Vec::with_capacity(bytes.len() + 1);
    text.extend_from_slice(&bytes);
    text.push(b'\n');
    bytes_of(code, Media::Json.content_type(), text.into())
}

/// Bytes of a content type.
pub fn bytes_of(code: u16, content_type: &'static str, bytes: Bytes) -> Answer {
    let length = bytes.len();
    let mut response = Response::new(Body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// A refusal, in the negotiated format where it could be negotiated, else as indented JSON.
pub fn refusal(status: &Status, form: Option<Form>) -> Answer {
    let value = status.to_value();
    let indented = || bytes_of(status.code, Media::Json.content_type(), json::to_pretty(&value).into());
    let mut response = match form {
        Some(form) => tree(form, status.code, &value).unwrap_or_else(|_| indented()),
        None => indented(),
    };
    if let Some(secs) = status.retry_after_secs {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// Compact JSON of a whole object.
pub const PLAIN_JSON: Form = Form { media: Media::Json, shape: Shape::Whole, pretty: false };

/// Adds each warning as a header of its own.
pub fn with_warnings(mut response: Answer, warnings: &[String]) -> Answer {
    for warning in warnings {
        let text = format!("299 - {}", quoted_header(warning));
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append("warning", value);
        }
    }
    response
}

/// A quoted string of HTTP: backslashes and quotes escaped, nothing unprintable.
fn quoted_header(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A map without the fields that only say what it is.
pub fn without_type(map: &Map) -> Map {
    map.iter()
        .filter(|(k, _)| !matches!(k.as_str(), "kind" | "apiVersion"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}
