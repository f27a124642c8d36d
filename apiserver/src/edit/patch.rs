//! PATCH in its four formats. A patch is applied to the object as the request's version shows it; what comes out is
//! read like a body. Apply has its own file.

use super::change::{Change, Wanted};
use super::{Written, settle_namespace};
use crate::call::Call;
use crate::edit::apply;
use crate::edit::replace::check_name;
use crate::query::{FieldValidation, OptionsKind, WriteOptions};
use crate::{body, fields, metadata, stored};
use api::{Fault, Schema, Status, Value, json, patch, schema, schema::TypeId};
use bytes::Bytes;

/// The format of a patch, by Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// A patch whose body has been parsed.
pub struct Patch {
    pub kind: PatchKind,
    tree: Value,
    /// Duplicate keys and unknown operation fields, for strict validation.
    strict: Vec<String>,
}

/// PATCH of an object or of a lens.
pub async fn patch(call: &Call, body: &Bytes) -> Result<Written, Status> {
    let kind = patch_kind(call)?;
    call.tell_patch(body);
    let apply = kind == PatchKind::Apply;
    let options = WriteOptions::read(&call.query, OptionsKind::Patch { apply })?;
    if apply {
        return apply::apply(call, body, &options).await;
    }
    let patch = Patch::parse(kind, body, options.field_validation)?;
    let manager = call.manager(&options.field_manager);
    let name = call.target.name.as_str();
    let change = Change { call, name, dry_run: options.dry_run, as_main: false };
    let written = change
        .run(|current| {
            let mut object = patch.patched_object(call, current, options.field_validation)?;
            if let Some(text) = metadata::dedup_owner_references(&mut object) {
                call.warn(text);
            }
            check_name(&object, name)?;
            settle_namespace(call, &mut object)?;
            fields::updated(call, current, &mut object, &manager)?;
            // A patch is made for what it finds: only a uid in the body of a PUT is a precondition.
            Ok(Wanted { object, uid: String::new() })
        })
        .await?;
    written.ok_or_else(|| call.not_found(name))
}

/// The format by Content-Type; 415 in the words of the kind's server.
pub fn patch_kind(call: &Call) -> Result<PatchKind, Status> {
    let text = call.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim();
    let custom = call.kind.stored_as_json();
    match name {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" if !custom => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ if custom => Err(Status::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => {
            let status = Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            Err(Status { details: Some(Box::default()), ..status })
        }
    }
}

impl Patch {
    pub fn parse(kind: PatchKind, body: &Bytes, validation: FieldValidation) -> Result<Self, Status> {
        let strict_checks = validation != FieldValidation::Ignore;
        let prefix =
            if strict_checks || kind == PatchKind::Strategic { "error decoding patch: " } else { "" };
        let (tree, duplicates) =
            json::parse_tracking_duplicates(body).map_err(|e| Status::bad_request(format!("{prefix}{e}")))?;
        let mut strict = Vec::new();
        match kind {
            PatchKind::Json => {
                strict = duplicates
                    .iter()
                    .map(|d| format!("json patch duplicate field {}", api::quote(d)))
                    .collect();
                strict.extend(patch::json::check(&tree, strict_checks)?);
            }
            _ if strict_checks => {
                strict = duplicates.iter().map(|d| format!("duplicate field {}", api::quote(d))).collect();
            }
            _ => {}
        }
        Ok(Patch { kind, tree, strict })
    }

    /// What the patch makes of a document, not yet read.
    pub fn patched(
        &self,
        current: &Value,
        schema: Option<(&Schema, TypeId)>,
        validation: FieldValidation,
    ) -> Result<Patched, Status> {
        let mut document = current.clone();
        let strict_checks = validation != FieldValidation::Ignore;
        let mut quoted = None;
        match (self.kind, schema) {
            (PatchKind::Json, _) => patch::json::apply(&mut document, &self.tree)?,
            (PatchKind::Merge, _) => patch::merge::apply(&mut document, self.tree.clone(), strict_checks)?,
            (PatchKind::Strategic, Some((schema, ty))) => {
                let mut tree = self.tree.clone();
                patch::strategic::apply(schema, ty, &mut document, &mut tree)?;
                quoted = Some(tree);
                let patched = Patched { document, patch: quoted };
                return match patch::misfit(schema, ty, &patched.document) {
                    Some(why) => Err(patched.undecodable(&why)),
                    None => Ok(patched),
                };
            }
            _ => return Err(patch::strategic::unsupported()),
        }
        Ok(Patched { document, patch: quoted })
    }

    /// The object that the patch makes of `current`, read and with defaults.
    fn patched_object(
        &self,
        call: &Call,
        current: &Value,
        validation: FieldValidation,
    ) -> Result<Value, Status> {
        let info = call.info();
        let schema = if call.kind.stored_as_json() { None } else { call.kind.schema(call.version()) };
        let patched = self.patched(current, schema, validation)?;
        let (api_version, kind) =
            (patched.document.str_at(&["apiVersion"]), patched.document.str_at(&["kind"]));
        let custom = call.kind.stored_as_json();
        if !custom
            && let Some(why) = body::type_mismatch(&info.group, call.version(), &info.kind, api_version, kind)
        {
            let why = misread(api_version, kind, &patched.document).unwrap_or(why);
            return Err(patched.undecodable(&why));
        }
        let read =
            call.kind.read(call.version(), patched.document.clone()).map_err(|e| patched.undecodable(&e))?;
        let mut unknown = read.strict;
        if self.kind == PatchKind::Strategic {
            unknown.sort();
        }
        self.settle_strict(call, unknown, validation, &patched)?;
        let mut object = read.object;
        if !custom {
            schema::set_type_meta(&mut object, &info.api_version(call.version()), &info.kind);
        }
        call.kind.fill(&mut object, call.version());
        stored::normalise(&*call.kind, call.version(), &mut object)?;
        Ok(object)
    }

    /// Refuses, warns of or ignores what strict validation has against the patch and what it made.
    pub fn settle_strict(
        &self,
        call: &Call,
        unknown: Vec<String>,
        validation: FieldValidation,
        patched: &Patched,
    ) -> Result<(), Status> {
        let mut strict = self.strict.clone();
        strict.extend(unknown);
        if validation == FieldValidation::Strict && !strict.is_empty() {
            return Err(patched.undecodable(&format!("strict decoding error: {}", strict.join(", "))));
        }
        body::report_strict(call, strict, validation, str::to_owned)
    }
}

/// What is wrong with a document as the known kind that it says it is; upstream finds that before it sees that the
/// kind is another one.
fn misread(api_version: &str, kind: &str, document: &Value) -> Option<String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let ty = schema::builtin_type(group, version, kind)?;
    schema::decode(schema::builtin(), ty, document.clone(), false).err().map(|e| e.to_string())
}

/// What a patch made.
pub struct Patched {
    pub document: Value,
    /// A strategic patch as it was left, which errors quote instead of the document.
    patch: Option<Value>,
}

impl Patched {
    /// 422 without a subject: what the patch made cannot be read.
    pub fn undecodable(&self, why: &str) -> Status {
        let quoted = match &self.patch {
            Some(patch) => patch::go_text(patch),
            None => json::to_string(&self.document),
        };
        Status::invalid("", "", "", &[Fault::invalid("patch", quoted, why)])
    }
}
