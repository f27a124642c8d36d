//! The scale lens: `autoscaling/v1 Scale` in and out, replicas of the parent underneath.

use super::change::{Change, Wanted};
use super::patch::{Patch, PatchKind, patch_kind};
use super::replace::check_name;
use super::{Written, apply};
use crate::address::Verb;
use crate::call::Call;
use crate::query::{FieldValidation, OptionsKind, WriteOptions};
use crate::{body, stored};
use api::{Schema, Status, Str, Value, merge, schema, schema::TypeId};
use bytes::Bytes;
use kinds::ScalePaths;
use kinds::autoscaling::scale;

fn scale_type() -> Result<(&'static Schema, TypeId), Status> {
    schema::builtin_type("autoscaling", "v1", "Scale")
        .map(|ty| (schema::builtin(), ty))
        .ok_or_else(|| Status::internal("Scale is not in the schema"))
}

/// The Scale of a parent in the stored version.
pub fn of(paths: &ScalePaths, parent: &Value) -> Result<Value, Status> {
    let (schema, ty) = scale_type()?;
    let mut value = scale::from_parent(parent, paths).map_err(Status::bad_request)?;
    schema::normalise(schema, ty, &mut value).map_err(Status::internal)?;
    Ok(value)
}

/// GET of the scale.
pub async fn get(call: &Call, paths: &ScalePaths) -> Result<Value, Status> {
    let name = &call.target.name;
    let found = call.server.store.get(&call.key(name)).await.map_err(|e| super::store_failure(&e))?;
    let entry = found.ok_or_else(|| call.not_found(name))?;
    let parent = stored::decode(&*call.kind, &entry)?;
    if call.kind.stored_as_json() && replicas_missing(paths, &parent) {
        return Err(Status::internal(format!(
            "the spec replicas field {} does not exist",
            shown_path(paths)
        )));
    }
    of(paths, &parent)
}

/// Replicas of a custom object that has none, as long as nobody sets them.
const UNSET_REPLICAS: i64 = -2_147_483_648;

fn replicas_missing(paths: &ScalePaths, parent: &Value) -> bool {
    let path: Vec<&str> = paths.spec_replicas.iter().map(Str::as_str).collect();
    parent.at(&path).is_none()
}

/// The path of the replicas as definitions write it, quoted.
fn shown_path(paths: &ScalePaths) -> String {
    let path: String = paths.spec_replicas.iter().map(|part| format!(".{part}")).collect();
    api::quote(&path)
}

/// What is said of a Scale of a custom object, whose own rules say the rest.
fn refuse_unset(paths: &ScalePaths, wanted: &Value) -> Result<(), Status> {
    if wanted.i64_at(&["spec", "replicas"]) == Some(UNSET_REPLICAS) {
        let message = format!("the spec replicas field {} cannot be empty", shown_path(paths));
        return Err(Status::bad_request(message));
    }
    Ok(())
}

/// PUT or PATCH of the scale; answers with the new one.
pub async fn write(call: &Call, paths: &ScalePaths, bytes: &Bytes) -> Result<Value, Status> {
    let is_patch = call.verb() == Verb::Patch;
    let kind = if is_patch { Some(patch_kind(call)?) } else { None };
    let apply = kind == Some(PatchKind::Apply);
    let options = WriteOptions::read(
        &call.query,
        if is_patch { OptionsKind::Patch { apply } } else { OptionsKind::Update },
    )?;
    if kind.is_some() {
        call.tell_patch(bytes);
    }
    let input = match kind {
        None => Input::Body(read_body(call, bytes, options.field_validation)?),
        Some(PatchKind::Apply) => Input::Apply(apply::parse(call, bytes, options.field_validation)?),
        Some(kind) => Input::Patch(Patch::parse(kind, bytes, options.field_validation)?),
    };
    let manager = call.manager(&options.field_manager);
    let change = Change { call, name: &call.target.name, dry_run: options.dry_run, as_main: true };
    let written: Option<Written> = change
        .run(|current| {
            let mut shown = of(paths, current)?;
            let owned = owned_by_scale(call, paths, current)?;
            if !owned.is_empty() {
                shown.set(&["metadata", "managedFields"], owned);
            }
            let custom = call.kind.stored_as_json();
            if custom && replicas_missing(paths, current) {
                shown.set(&["spec", "replicas"], UNSET_REPLICAS);
            }
            let wanted = input.scale(call, &shown, &manager, &options)?;
            if custom {
                refuse_unset(paths, &wanted)?
            } else {
                refuse(&call.target.name, &wanted)?
            }
            let mut parent = current.clone();
            scale::to_parent(&wanted, &mut parent, paths);
            give_back(call, paths, &mut parent, &wanted)?;
            Ok(Wanted { object: parent, uid: wanted.str_at(&["metadata", "uid"]).to_owned() })
        })
        .await?;
    let written = written.ok_or_else(|| call.not_found(&call.target.name))?;
    of(paths, &written.object)
}

const NO_CONVERSION: &str = "failed to create manager for existing fields: failed to convert live object (/; autoscaling/v1, Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1";
const MANAGED: [&str; 2] = ["metadata", "managedFields"];

/// Runs `work` with where each served version of the parent keeps its replicas.
fn with_paths<T>(
    call: &Call,
    paths: &ScalePaths,
    work: impl FnOnce(merge::scale::ReplicasPaths<'_>) -> T,
) -> T {
    let replicas: Vec<&str> = paths.spec_replicas.iter().map(Str::as_str).collect();
    let info = call.info();
    let versions: Vec<String> = info.versions.iter().map(|v| info.api_version(v)).collect();
    let pairs: Vec<(&str, &[&str])> = versions.iter().map(|v| (v.as_str(), replicas.as_slice())).collect();
    work(&pairs)
}

/// Who owns the replicas, as entries of the scale.
fn owned_by_scale(call: &Call, paths: &ScalePaths, parent: &Value) -> Result<Value, Status> {
    let entries = parent.at(&MANAGED).cloned().unwrap_or_default();
    with_paths(call, paths, |paths| merge::scale::to_scale(&entries, paths)).map_err(Status::unclassified)
}

/// Writes who owns the replicas now back into the parent.
fn give_back(call: &Call, paths: &ScalePaths, parent: &mut Value, scale: &Value) -> Result<(), Status> {
    let before = parent.at(&MANAGED).cloned().unwrap_or_default();
    let owned = scale.at(&MANAGED).cloned().unwrap_or_default();
    let version = call.info().api_version(call.version());
    let after = with_paths(call, paths, |paths| merge::scale::to_parent(&before, &owned, &version, paths))
        .map_err(Status::unclassified)?;
    if after.is_empty() {
        parent.unset(&MANAGED);
    } else {
        parent.set(&MANAGED, after);
    }
    Ok(())
}

enum Input {
    Body(Value),
    Patch(Patch),
    Apply(Value),
}

impl Input {
    /// The wanted scale with its owners; `current` has them too.
    fn scale(
        &self,
        call: &Call,
        current: &Value,
        manager: &str,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let (schema, ty) = scale_type()?;
        let fields = merge::FieldManager {
            typing: merge::Typing::of(schema, ty),
            api_version: "autoscaling/v1",
            kind: "Scale",
            subresource: &call.target.subresource,
            reset_fields: &merge::FieldSet::EMPTY,
            versions: &merge::OneVersion,
        };
        let wanted = match self {
            Input::Body(body) => body.clone(),
            Input::Patch(patch) => patched(call, patch, current, options.field_validation)?,
            // Upstream cannot bring a Scale into the version of a custom kind: it keeps no owners, and applies nothing.
            Input::Apply(_) if call.kind.stored_as_json() => return Err(Status::unclassified(NO_CONVERSION)),
            Input::Apply(config) => {
                let applied = fields.apply(current, config, manager, options.force, &call.now)?;
                let mut wanted = applied.unwrap_or_else(|| current.clone());
                schema::normalise(schema, ty, &mut wanted)
                    .map_err(|e| Status::unclassified(e.to_string()))?;
                return Ok(wanted);
            }
        };
        if call.kind.stored_as_json() {
            let mut wanted = wanted;
            wanted.unset(&MANAGED);
            return Ok(wanted);
        }
        Ok(fields.update(Some(current), wanted, manager, &call.now))
    }
}

/// The scale that a patch makes of the current one.
fn patched(
    call: &Call,
    patch: &Patch,
    current: &Value,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let (schema, ty) = scale_type()?;
    let patched = patch.patched(current, Some((schema, ty)), validation)?;
    let (api_version, kind) = (patched.document.str_at(&["apiVersion"]), patched.document.str_at(&["kind"]));
    if let Some(why) = body::type_mismatch("autoscaling", "v1", "Scale", api_version, kind) {
        return Err(patched.undecodable(&why));
    }
    let decoded = schema::decode(schema, ty, patched.document.clone(), true)
        .map_err(|e| patched.undecodable(&e.to_string()))?;
    patch.settle_strict(call, decoded.strict, validation, &patched)?;
    check_name(&decoded.value, &call.target.name)?;
    Ok(decoded.value)
}

fn read_body(call: &Call, bytes: &Bytes, validation: FieldValidation) -> Result<Value, Status> {
    let (schema, ty) = scale_type()?;
    let expected = body::Expected { group: "autoscaling", version: "v1", kind: "Scale", schema, ty };
    let value = body::decode(call, &expected, bytes, validation)?;
    check_name(&value, &call.target.name)?;
    Ok(value)
}

/// 422 of a Scale that no parent may have.
fn refuse(name: &str, wanted: &Value) -> Result<(), Status> {
    let faults = scale::faults(wanted);
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("autoscaling", "Scale", name, &faults)) }
}
