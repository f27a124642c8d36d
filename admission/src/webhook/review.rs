//! AdmissionReview, `admission.k8s.io/v1` and `v1beta1`: what a webhook is told, and what it answers.

use super::matching;
use crate::review::Review;
use api::{Status, Str, Value, json, quote, tree};
use base64::Engine as _;

const GROUP: &str = "admission.k8s.io";
/// The versions that are spoken.
pub const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The new and the old object in a version, null where there is none.
pub struct Objects {
    pub object: Value,
    pub old: Value,
}

impl Objects {
    pub fn of(review: &Review<'_>, version: &str) -> Result<Self, Status> {
        let shown = |object: Option<&Value>| match object {
            Some(object) => review.details.shown(object, version),
            None => Ok(Value::Null),
        };
        Ok(Objects { object: shown(review.object.as_deref())?, old: shown(review.old)? })
    }
}

/// The request without its id and objects: also the variable `request` of expressions.
pub fn request(review: &Review<'_>, version: &str) -> Value {
    let info = review.kind.info();
    let subresource = info.find_subresource(review.subresource);
    let kind = |version: &str| {
        let (mut group, mut named, mut kind) = (info.group.as_str(), version, info.kind.as_str());
        if let Some(own) = subresource {
            kind = &own.kind;
            if !own.version.is_empty() {
                (group, named) = (&own.group, &own.version);
            }
        }
        tree!({"group": group, "version": named, "kind": kind})
    };
    let resource = |version: &str| tree!({"group": (info.group.as_str()), "version": version, "resource": (info.plural.as_str())});
    let mut request = tree!({"kind": (kind(version)), "resource": (resource(version))});
    let mut put = |field: &str, value: Value| request.set(&[field], value);
    let mut put_text = |field: &str, text: &str| {
        if !text.is_empty() {
            put(field, text.into());
        }
    };
    put_text("subResource", review.subresource);
    request.set(&["requestKind"], kind(review.version));
    request.set(&["requestResource"], resource(review.version));
    let texts = [
        ("requestSubResource", review.subresource),
        ("name", matching::name(review)),
        ("namespace", matching::namespace(review)),
        ("operation", review.operation.name()),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        request.set(&[field], text);
    }
    request.set(&["userInfo"], user(review));
    request.set(&["dryRun"], review.dry_run);
    request.set(&["options"], review.details.options(review.operation));
    request
}

fn user(review: &Review<'_>) -> Value {
    let mut user = Value::map();
    for (field, text) in [("username", review.user), ("uid", review.uid)] {
        if !text.is_empty() {
            user.set(&[field], text);
        }
    }
    if !review.groups.is_empty() {
        user.set(&["groups"], review.groups.to_vec());
    }
    for (key, values) in review.details.extra() {
        user.make_map(&["extra"]).insert(key, values.clone());
    }
    user
}

/// The body that is sent.
pub fn body(request: &Value, objects: &Objects, uid: &str, version: &str) -> Vec<u8> {
    let mut request = request.clone();
    request.set(&["uid"], uid);
    request.set(&["object"], objects.object.clone());
    request.set(&["oldObject"], objects.old.clone());
    json::to_vec(
        &tree!({"kind": "AdmissionReview", "apiVersion": (format!("{GROUP}/{version}")), "request": request}),
    )
}

/// What a webhook answered.
#[derive(Debug, Default)]
pub struct Answer {
    pub allowed: bool,
    /// The Status of a refusal; null for none.
    pub status: Value,
    /// The text of a patch.
    pub patch: Vec<u8>,
    pub patch_type: String,
    pub audit_annotations: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

/// Why an answer counts for nothing.
#[derive(Debug, PartialEq)]
pub enum Bad {
    /// It cannot be read: `failed to call webhook`.
    Unreadable(String),
    /// It does not answer the question: `received invalid webhook response`.
    Invalid(String),
}

/// Reads the answer to the review `uid` of a version.
pub fn answer(body: &[u8], uid: &str, version: &str, mutating: bool) -> Result<Answer, Bad> {
    let tree = json::parse(body)
        .map_err(|why| Bad::Unreadable(format!("couldn't get version/kind; json parse error: {why}")))?;
    check_type(&tree, body, version)?;
    let response = match tree.get("response") {
        None | Some(Value::Null) => return Err(invalid("webhook response was absent")),
        Some(response) => response,
    };
    let read = Reader { response };
    let answer = read.answer()?;
    if version == "v1" {
        check_v1(&tree, response, uid)?;
        check_patch(response, &answer, mutating)?;
    }
    Ok(match (mutating, version) {
        (false, _) => Answer { patch: Vec::new(), patch_type: String::new(), ..answer },
        (true, "v1beta1") if !answer.patch.is_empty() => {
            Answer { patch_type: "JSONPatch".to_owned(), ..answer }
        }
        _ => answer,
    })
}

fn invalid(why: impl Into<String>) -> Bad {
    Bad::Invalid(why.into())
}

/// A body may leave out what it is, but be nothing else.
fn check_type(tree: &Value, body: &[u8], version: &str) -> Result<(), Bad> {
    if !matches!(tree, Value::Map(_) | Value::Null) {
        let kind = tree.json_type();
        return Err(Bad::Unreadable(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value of type struct {{ \
             APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        )));
    }
    let _ = body;
    let (api_version, kind) = (tree.str_at(&["apiVersion"]), tree.str_at(&["kind"]));
    let wanted = format!("{GROUP}/{version}");
    let api_version = if api_version.is_empty() { &wanted } else { api_version };
    let kind = if kind.is_empty() { "AdmissionReview" } else { kind };
    if kind == "AdmissionReview" && api_version == wanted {
        return Ok(());
    }
    let known = VERSIONS.iter().find(|v| api_version == format!("{GROUP}/{v}"));
    Err(Bad::Unreadable(match known {
        Some(given) if kind == "AdmissionReview" => {
            format!("converting ({given}.AdmissionReview) to ({version}.AdmissionReview): unknown conversion")
        }
        _ => format!(
            "no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/runtime/scheme.go:110\""
        ),
    }))
}

fn check_v1(tree: &Value, response: &Value, uid: &str) -> Result<(), Bad> {
    let given = response.str_at(&["uid"]);
    if given != uid {
        return Err(invalid(format!("expected response.uid={}, got {}", quote(uid), quote(given))));
    }
    let (api_version, kind) = (tree.str_at(&["apiVersion"]), tree.str_at(&["kind"]));
    if api_version.is_empty() || kind.is_empty() {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let given = if group.is_empty() { format!("/{version}") } else { format!("{group}/{version}") };
        return Err(invalid(format!(
            "expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {given}, Kind={kind}"
        )));
    }
    Ok(())
}

fn check_patch(response: &Value, answer: &Answer, mutating: bool) -> Result<(), Bad> {
    let typed = response.get("patchType").is_some_and(|t| !t.is_null());
    let patched = !answer.patch.is_empty();
    match (mutating, patched, typed) {
        (true, true, false) => Err(invalid("webhook returned response.patch but not response.patchType")),
        (true, false, true) => Err(invalid("webhook returned response.patchType but not response.patch")),
        (true, _, true) if answer.patch_type.is_empty() => {
            Err(invalid("webhook returned invalid response.patchType of \"\""))
        }
        (false, true, _) => Err(invalid("validating webhook may not return response.patch")),
        (false, _, true) => Err(invalid("validating webhook may not return response.patchType")),
        _ => Ok(()),
    }
}

/// Reads the fields of a response; one of a wrong type is refused in the words of Go's decoder.
struct Reader<'v> {
    response: &'v Value,
}

impl Reader<'_> {
    fn answer(&self) -> Result<Answer, Bad> {
        if !matches!(self.response, Value::Map(_)) {
            return Err(mismatch(self.response, "", "v1.AdmissionResponse"));
        }
        self.text("uid", "types.UID")?;
        let allowed = match self.response.get("allowed") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(allowed)) => *allowed,
            Some(other) => return Err(mismatch(other, ".allowed", "bool")),
        };
        let status = match self.response.get("status") {
            None | Some(Value::Null) => Value::Null,
            Some(status @ Value::Map(_)) => status.clone(),
            Some(other) => return Err(mismatch(other, ".status", "v1.Status")),
        };
        let patch = base64::engine::general_purpose::STANDARD
            .decode(self.text("patch", "[]uint8")?.as_str())
            .map_err(|why| Bad::Unreadable(decode_error(&why)))?;
        Ok(Answer {
            allowed,
            status,
            patch,
            patch_type: self.text("patchType", "v1.PatchType")?.to_string(),
            audit_annotations: self.annotations()?,
            warnings: self.warnings()?,
        })
    }

    fn text(&self, field: &str, ty: &str) -> Result<Str, Bad> {
        match self.response.get(field) {
            None | Some(Value::Null) => Ok(Str::default()),
            Some(Value::Str(text)) => Ok(text.clone()),
            Some(other) => Err(mismatch(other, &format!(".{field}"), ty)),
        }
    }

    fn annotations(&self) -> Result<Vec<(String, String)>, Bad> {
        match self.response.get("auditAnnotations") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Map(map)) => map
                .iter()
                .map(|(key, value)| match value {
                    Value::Str(text) => Ok((key.to_string(), text.to_string())),
                    Value::Null => Ok((key.to_string(), String::new())),
                    other => Err(mismatch(other, ".auditAnnotations", "string")),
                })
                .collect(),
            Some(other) => Err(mismatch(other, ".auditAnnotations", "map[string]string")),
        }
    }

    fn warnings(&self) -> Result<Vec<String>, Bad> {
        match self.response.get("warnings") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::List(list)) => list
                .iter()
                .map(|item| match item {
                    Value::Str(text) => Ok(text.to_string()),
                    Value::Null => Ok(String::new()),
                    other => Err(mismatch(other, ".warnings", "string")),
                })
                .collect(),
            Some(other) => Err(mismatch(other, ".warnings", "[]string")),
        }
    }
}

fn mismatch(given: &Value, field: &str, ty: &str) -> Bad {
    let kind = given.json_type();
    Bad::Unreadable(format!(
        "json: cannot unmarshal {kind} into Go struct field AdmissionReview.response{field} of type {ty}"
    ))
}

fn decode_error(why: &base64::DecodeError) -> String {
    let at = match why {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

/// The refusal that a webhook's Status becomes: `admission webhook "NAME" denied the request: …`.
pub fn refusal(webhook: &str, status: &Value) -> Status {
    let text = |field: &str| status.str_at(&[field]);
    let denied = format!("admission webhook {} denied the request", quote(webhook));
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let code = status.i64_at(&["code"]).unwrap_or(0).max(400);
    let code = u16::try_from(code).ok().filter(|code| *code < 1000).unwrap_or(500);
    let mut whole = tree!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
    if let Some(metadata @ Value::Map(_)) = status.get("metadata") {
        whole.set(&["metadata"], metadata.clone());
    }
    let said = text("status");
    whole.set(&["status"], if matches!(said, "" | "Success") { "Failure" } else { said });
    whole.set(&["message"], message.as_str());
    if !text("reason").is_empty() {
        whole.set(&["reason"], text("reason"));
    }
    if let Some(details @ Value::Map(_)) = status.get("details") {
        whole.set(&["details"], details.clone());
    }
    whole.set(&["code"], i64::from(code));
    Status::said_elsewhere(code, message, whole)
}
