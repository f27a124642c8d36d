//! PATCH in its four formats. A patch is applied to the object as the request's version shows it; what comes out is
//! read like a body. Apply has its own file.

use super::change::{Change, Wanted};
use super::create::DUPLICATE_OWNERS;
use super::{Written, settle_namespace};
use crate::call::Call;
use crate::edit::apply;
use crate::edit::replace::check_name;
use crate::query::{FieldValidation, OptionsKind, WriteOptions};
use crate::{body, fields, metadata, stored};
use api::{Fault, Schema, Status, Value, json, patch, schema::TypeId};
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
pub async fn patch(call: &Call, body: &Bytes) -> Result<(Written, bool), Status> {
    let kind = patch_kind(call)?;
    let apply = kind == PatchKind::Apply;
    let options = WriteOptions::read(&call.query, OptionsKind::Patch { apply })?;
    if apply {
        return apply::apply(call, body, &options).await.map(|w| { let c = w.created; (w, c) });
    }
    let patch = Patch::parse(kind, body, options.field_validation)?;
    let manager = call.manager(&options.field_manager);
    let name = call.target.name.as_str();
    let change = Change { call, name, dry_run: options.dry_run, as_main: false };
    let written = change
        .run(|current| {
            let mut object = patch.patched_object(call, current, options.field_validation)?;
            if metadata::dedup_owner_references(&mut object) {
                call.warn(DUPLICATE_OWNERS);
            }
            check_name(&object, name)?;
            settle_namespace(call, &mut object)?;
            fields::updated(call, current, &mut object, &manager)?;
            // A patch is made for what it finds: only a uid in the body of a PUT is a precondition.
            Ok(Wanted { object, uid: String::new() })
        })
        .await?;
    written.map(|w| (w, false)).ok_or_else(|| call.not_found(name))
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
        let prefix = if strict_checks || kind == PatchKind::Strategic { "error decoding patch: " } else { "" };
        let (tree, duplicates) = json::parse_tracking_duplicates(body)
            .map_err(|e| Status::bad_request(format!("{prefix}{e}")))?;
        let mut strict = Vec::new();
        match kind {
            PatchKind::Json => {
                strict = duplicates.iter().map(|d| format!("json patch {d}")).collect();
                strict.extend(patch::json::check(&tree, strict_checks)?);
            }
            _ if strict_checks => strict = duplicates,
            _ => {}
        }
        Ok(Patch { kind, tree, strict })
    }

    /// The patched tree, not yet read; with what quoting errors show.
    pub fn patched(
        &self,
        current: &Value,
        schema: Option<(&Schema, TypeId)>,
        validation: FieldValidation,
    ) -> Result<Value, Status> {
        let mut document = current.clone();
        let strict_checks = validation != FieldValidation::Ignore;
        match (self.kind, schema) {
            (PatchKind::Json, _) => patch::json::apply(&mut document, &self.tree)?,
            (PatchKind::Merge, _) => patch::merge::apply(&mut document, self.tree.clone(), strict_checks)?,
            (PatchKind::Strategic, Some((schema, ty))) => {
                patch::strategic::apply(schema, ty, &mut document, &mut self.tree.clone())?;
            }
            _ => return Err(patch::strategic::unsupported()),
        }
        Ok(document)
    }

    /// The object that the patch makes of `current`, read and with defaults.
    fn patched_object(&self, call: &Call, current: &Value, validation: FieldValidation) -> Result<Value, Status> {
        let schema = if call.kind.stored_as_json() { None } else { call.kind.schema(call.version()) };
        let patched = self.patched(current, schema, validation)?;
        self.read(call, patched, validation)
    }

    fn read(&self, call: &Call, patched: Value, validation: FieldValidation) -> Result<Value, Status> {
        let info = call.info();
        let quoted = || self.quoted(&patched);
        if let Some(status) = other_type(call, &patched) {
            return Err(self.undecodable(&quoted(), &status));
        }
        let read = call
            .kind
            .read(call.version(), patched.clone())
            .map_err(|e| self.undecodable(&quoted(), &e))?;
        let mut strict = self.strict.clone();
        strict.extend(read.strict);
        if validation == FieldValidation::Strict && !strict.is_empty() {
            let why = format!("strict decoding error: {}", strict.join(", "));
            return Err(self.undecodable(&quoted(), &why));
        }
        body::report_strict(call, strict, validation, str::to_owned)?;
        let mut object = read.object;
        object.set(&["kind"], info.kind.clone());
        object.set(&["apiVersion"], info.api_version(call.version()));
        call.kind.fill(&mut object, call.version());
        stored::normalise(&*call.kind, call.version(), &mut object)?;
        Ok(object)
    }

    /// The patched document (for strategic merge the patch) as errors quote it.
    fn quoted(&self, patched: &Value) -> String {
        match self.kind {
            PatchKind::Strategic => patch::go_text(&self.tree),
            _ => json::to_string(patched),
        }
    }

    /// 422 without a subject: what the patch made cannot be read.
    pub fn undecodable(&self, quoted: &str, why: &str) -> Status {
        Status::invalid("", "", "", &[Fault::invalid("patch", quoted, why)])
    }
}

/// Why a patched document is no object of the call's kind and version any more.
fn other_type(call: &Call, patched: &Value) -> Option<String> {
    let info = call.info();
    let (api_version, kind) = (patched.str_at(&["apiVersion"]), patched.str_at(&["kind"]));
    if api_version == info.api_version(call.version()) && kind == info.kind.as_str() {
        return None;
    }
    body::type_mismatch(&info.group, call.version(), &info.kind, api_version, kind)
}
