//! Bodies: read within limits, then decoded into a tree of the version that the request came by.

use crate::call::Call;
use crate::door::{RequestBody, RequestBodyError};
use crate::negotiate::{Media, Offer, body_media, unsupported_media};
use crate::query::FieldValidation;
use api::{Schema, Status, Value, json, proto, schema, schema::TypeId, yaml};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use stdx::limits;

/// How much of an unreadable body an error quotes.
const QUOTED_BYTES: usize = 30;
/// How much of a body that is too large is read and thrown away.
const MAX_DISCARDED_BYTES: usize = 4 * limits::REQUEST_BODY_BYTES;
/// How many strict errors are reported.
const MAX_STRICT_ERRORS: usize = 10;
/// What stands before the lines of YAML's strict error; warnings go without it.
const YAML_FAULTS: &str = "yaml: unmarshal errors:\n";

/// Reads a body to its end; 413 when it is too large. Time is bounded by the door.
pub async fn read(mut body: RequestBody) -> Result<Bytes, Status> {
    if body.size_hint().lower() > limits::REQUEST_BODY_BYTES as u64 {
        return Err(too_large(body).await);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(unread)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limits::REQUEST_BODY_BYTES {
            return Err(too_large(body).await);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// A body that did not arrive: 504 when it took too long, else 400.
fn unread(error: RequestBodyError) -> Status {
    match error {
        RequestBodyError::TimedOut => crate::deadline::timed_out(),
        RequestBodyError::Broken(error) => Status::bad_request(format!("unable to read the body: {error}")),
    }
}

/// 413, after a look at the rest: many clients listen only when they have sent everything.
async fn too_large(mut body: RequestBody) -> Status {
    let mut left = MAX_DISCARDED_BYTES;
    while left > 0 {
        let Some(Ok(frame)) = body.frame().await else { break };
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
    }
    let message = format!("Request entity too large: limit is {}", limits::REQUEST_BODY_BYTES);
    Status::new(413, "RequestEntityTooLarge", message)
}

/// What a body must be: the kind expected at the endpoint and its schema.
pub struct Expected<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub schema: &'a Schema,
    pub ty: TypeId,
}

impl Expected<'_> {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// 400: a body of the right type that does not hold.
    fn refuse(&self, why: &dyn std::fmt::Display) -> Status {
        let Expected { kind, version, .. } = self;
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
    }
}

/// Decodes a body of a built-in type: `apiVersion` and `kind` may be missing, but not be others. Unknown and
/// duplicate fields are refused, warned of or dropped as asked.
pub fn decode(
    call: &Call,
    expected: &Expected<'_>,
    body: &Bytes,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let offer = call.offer();
    let media = body_media(&call.headers, offer).ok_or_else(unsupported_media)?;
    let typed = builtin(expected, body, media)?;
    report_strict(call, typed.strict, validation, |errors| {
        expected.refuse(&format!("strict decoding error: {errors}")).message
    })?;
    call.understood(&typed.value);
    Ok(typed.value)
}

/// Reads a body of a built-in type. JSON is decoded in one pass; only what is wrong is looked at again.
fn builtin(expected: &Expected<'_>, body: &Bytes, media: Media) -> Result<Typed, Status> {
    if media == Media::Json
        && let Ok(decoded) = schema::decode_json(expected.schema, expected.ty, body, true)
        && (decoded.value.str_at(&["apiVersion"]) == expected.api_version()
            || decoded.value.str_at(&["apiVersion"]).is_empty())
        && (decoded.value.str_at(&["kind"]).is_empty() || decoded.value.str_at(&["kind"]) == expected.kind)
    {
        let mut value = decoded.value;
        schema::set_type_meta(&mut value, &expected.api_version(), expected.kind);
        return Ok(Typed { value, strict: decoded.strict });
    }
    let raw = raw_tree(expected, body, media)?;
    let mut typed = typed(expected, raw.value, media)?;
    let mut strict = raw.duplicates;
    strict.append(&mut typed.strict);
    Ok(Typed { value: typed.value, strict })
}

/// Refuses, warns of or ignores unknown and duplicate fields.
pub fn report_strict(
    call: &Call,
    strict: Vec<String>,
    validation: FieldValidation,
    refusal: impl FnOnce(&str) -> String,
) -> Result<(), Status> {
    if strict.is_empty() {
        return Ok(());
    }
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => {
            for text in strict.iter().take(MAX_STRICT_ERRORS) {
                match text.strip_prefix(YAML_FAULTS) {
                    Some(lines) => lines.split('\n').for_each(|line| call.warn(line.trim())),
                    None => call.warn(text.as_str()),
                }
            }
        }
        FieldValidation::Strict => {
            let mut list = strict;
            if list.len() > MAX_STRICT_ERRORS {
                list.truncate(MAX_STRICT_ERRORS);
                list.push("and more".to_owned());
            }
            return Err(Status::bad_request(refusal(&list.join(", "))));
        }
    }
    Ok(())
}

struct Raw {
    value: Value,
    duplicates: Vec<String>,
}

struct Typed {
    value: Value,
    strict: Vec<String>,
}

fn raw_tree(expected: &Expected<'_>, body: &Bytes, media: Media) -> Result<Raw, Status> {
    match media {
        Media::Json => {
            let (value, duplicates) = json::parse_tracking_duplicates(body).map_err(|e| {
                unrecognized(
                    expected.kind,
                    &format!("couldn't get version/kind; json parse error: {e}"),
                    body,
                )
            })?;
            meta_shape(expected.kind, &value, body)?;
            let duplicates =
                duplicates.iter().map(|at| format!("duplicate field {}", api::quote(at))).collect();
            Ok(Raw { value, duplicates })
        }
        Media::Yaml => {
            let (value, duplicates) = yaml::parse_tracking_duplicates(body)
                .map_err(|e| unrecognized(expected.kind, &e.to_string(), body))?;
            meta_shape(expected.kind, &value, body)?;
            Ok(Raw { value, duplicates: yaml_faults(&duplicates).into_iter().collect() })
        }
        Media::Protobuf => proto_tree(expected, body).map(|value| Raw { value, duplicates: Vec::new() }),
    }
}

/// All that strict reading of YAML finds is one error, a line each.
fn yaml_faults(lines: &[String]) -> Option<String> {
    (!lines.is_empty()).then(|| format!("{YAML_FAULTS}  {}", lines.join("\n  ")))
}

/// A body must be a map whose `apiVersion` and `kind` are strings, or nothing at all.
fn meta_shape(kind: &str, value: &Value, body: &[u8]) -> Result<(), Status> {
    const GO_STRUCT: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let fail = |text: String| {
        Err(unrecognized(kind, &format!("couldn't get version/kind; json parse error: {text}"), body))
    };
    let Some(map) = value.as_map() else {
        if value.is_null() {
            return Ok(());
        }
        return fail(format!(
            "json: cannot unmarshal {} into Go value of type {GO_STRUCT}",
            value.json_type()
        ));
    };
    for field in ["apiVersion", "kind"] {
        match map.get(field) {
            None | Some(Value::Null | Value::Str(_)) => {}
            Some(other) => {
                let ty = other.json_type();
                return fail(format!(
                    "json: cannot unmarshal {ty} into Go struct field .{field} of type string"
                ));
            }
        }
    }
    Ok(())
}

fn proto_tree(expected: &Expected<'_>, body: &[u8]) -> Result<Value, Status> {
    let envelope = proto::unwrap(body).map_err(|e| unrecognized(expected.kind, &e.to_string(), body))?;
    check_type(expected, envelope.api_version, envelope.kind)?;
    let mut value =
        proto::decode(expected.schema, expected.ty, envelope.raw).map_err(|e| expected.refuse(&e))?;
    schema::set_type_meta(&mut value, &expected.api_version(), expected.kind);
    Ok(value)
}

pub fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    let quoted = summary(body);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({quoted})"
    ))
}

/// The start of a body for an error: text when it may be JSON, else hexadecimal.
fn summary(body: &[u8]) -> String {
    let shown = &body[..body.len().min(QUOTED_BYTES)];
    let more = if body.len() > QUOTED_BYTES { " ..." } else { "" };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => format!("{}{more}", shown.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    }
}

/// A tree of a built-in type, read along the schema.
fn typed(expected: &Expected<'_>, mut raw: Value, media: Media) -> Result<Typed, Status> {
    let api_version = raw.str_at(&["apiVersion"]).to_owned();
    let kind = raw.str_at(&["kind"]).to_owned();
    check_type(expected, &api_version, &kind)?;
    raw.set(&["apiVersion"], expected.api_version());
    raw.set(&["kind"], expected.kind);
    let strict = media != Media::Protobuf;
    let decoded =
        schema::decode(expected.schema, expected.ty, raw, strict).map_err(|e| expected.refuse(&e))?;
    Ok(Typed { value: decoded.value, strict: decoded.strict })
}

/// A body may say what it is only in agreement with the endpoint.
fn check_type(expected: &Expected<'_>, api_version: &str, kind: &str) -> Result<(), Status> {
    let Expected { group, version, kind: wanted, .. } = expected;
    let Some(why) = type_mismatch(group, version, wanted, api_version, kind) else { return Ok(()) };
    if why.starts_with("the API version") {
        return Err(Status::bad_request(why));
    }
    let shown = if kind.is_empty() { wanted } else { kind };
    let given = match api_version.rsplit('/').next().unwrap_or_default() {
        "" => version,
        version => version,
    };
    Err(Status::bad_request(format!("{shown} in version \"{given}\" cannot be handled as a {wanted}: {why}")))
}

/// Why a document with this `apiVersion` and `kind` ("" for those of the endpoint) is not of the endpoint's type.
pub fn type_mismatch(
    group: &str,
    version: &str,
    wanted: &str,
    api_version: &str,
    kind: &str,
) -> Option<String> {
    let (given_group, given_version) = match api_version.split_once('/') {
        _ if api_version.is_empty() => (group, version),
        Some(pair) => pair,
        None => ("", api_version),
    };
    let kind = if kind.is_empty() { wanted } else { kind };
    if (given_group, given_version, kind) == (group, version, wanted) {
        return None;
    }
    let known = schema::builtin_type(given_group, given_version, kind).is_some()
        || is_list_of_known(given_group, given_version, kind);
    Some(if !known {
        const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";
        let shown = if api_version.is_empty() { version } else { api_version };
        format!("no kind \"{kind}\" is registered for version \"{shown}\" in scheme \"{SCHEME}\"")
    } else if kind == wanted {
        let expected = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )
    } else {
        let to = group_words(group);
        format!("converting ({given_version}.{kind}) to ({to}.{wanted}): unknown conversion")
    })
}

/// Lists are no kinds of their own in the table, but registered upstream.
fn is_list_of_known(group: &str, version: &str, kind: &str) -> bool {
    kind.strip_suffix("List").is_some_and(|item| schema::builtin_type(group, version, item).is_some())
}

/// The Go package of a group's internal types: `core`, `apps`, `networking`.
fn group_words(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

/// The format of a body that is not an object of the endpoint's kind (DeleteOptions).
pub fn media(headers: &HeaderMap, offer: Offer) -> Result<Media, Status> {
    body_media(headers, offer).ok_or_else(unsupported_media)
}

/// Decodes the body of a write to an object of the call's kind: a whole object of the request's version, with defaults.
pub fn object(call: &Call, body: &Bytes, validation: FieldValidation) -> Result<Value, Status> {
    let offer = call.offer();
    let media = body_media(&call.headers, offer).ok_or_else(unsupported_media)?;
    let info = call.info();
    let (schema, ty) = call
        .kind
        .schema(call.version())
        .ok_or_else(|| Status::internal(format!("no schema for {} {}", info.kind, call.version())))?;
    let expected = Expected { group: &info.group, version: call.version(), kind: &info.kind, schema, ty };
    let (mut value, strict) = if call.kind.stored_as_json() {
        custom(call, &expected, body, media)?
    } else {
        let typed = builtin(&expected, body, media)?;
        (typed.value, typed.strict)
    };
    report_strict(call, strict, validation, |errors| {
        expected.refuse(&format!("strict decoding error: {errors}")).message
    })?;
    call.kind.fill(&mut value, call.version());
    crate::stored::normalise(&*call.kind, call.version(), &mut value)?;
    call.understood(&value);
    Ok(value)
}

/// Reads the body of a custom kind, which knows itself what to make of a tree.
fn custom(
    call: &Call,
    expected: &Expected<'_>,
    body: &Bytes,
    media: Media,
) -> Result<(Value, Vec<String>), Status> {
    let raw = raw_tree(expected, body, media)?;
    let value = raw.value;
    for (field, name) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if value.str_at(&[field]).is_empty() {
            let text = String::from_utf8_lossy(body);
            let why = format!("Object '{name}' is missing in '{}'", text.trim_end());
            return Err(unrecognized(expected.kind, &why, body));
        }
    }
    let given = value.str_at(&["apiVersion"]);
    if given != expected.api_version() {
        let wanted = expected.api_version();
        return Err(Status::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({wanted})"
        )));
    }
    let read = call.kind.read(call.version(), value).map_err(|e| expected.refuse(&e))?;
    let mut strict = raw.duplicates;
    strict.extend(read.strict);
    Ok((read.object, strict))
}
