//! The scale lens: `autoscaling/v1 Scale` in and out, replicas of the parent underneath.

use super::Written;
use super::change::{Change, Wanted};
use super::patch::{Patch, PatchKind, patch_kind};
use super::replace::check_name;
use crate::address::Verb;
use crate::call::Call;
use crate::query::{FieldValidation, OptionsKind, WriteOptions};
use crate::{body, fields, stored};
use api::{Schema, Status, Value, schema, schema::TypeId};
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
    of(paths, &stored::decode(&*call.kind, &entry)?)
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
    let input = match kind {
        None => Input::Body(read_body(call, bytes, options.field_validation)?),
        Some(PatchKind::Apply) => Input::Merge(read_apply(bytes)?),
        Some(kind) => Input::Patch(Patch::parse(kind, bytes, options.field_validation)?),
    };
    let manager = call.manager(&options.field_manager);
    let change = Change { call, name: &call.target.name, dry_run: options.dry_run, as_main: true };
    let written: Option<Written> = change
        .run(|current| {
            let wanted = input.scale(call, &of(paths, current)?, options.field_validation)?;
            refuse(&call.target.name, &wanted)?;
            let mut parent = current.clone();
            scale::to_parent(&wanted, &mut parent, paths);
            fields::updated(call, current, &mut parent, &manager)?;
            Ok(Wanted { object: parent, uid: wanted.str_at(&["metadata", "uid"]).to_owned() })
        })
        .await?;
    let written = written.ok_or_else(|| call.not_found(&call.target.name))?;
    of(paths, &written.object)
}

enum Input {
    Body(Value),
    Patch(Patch),
    /// An applied Scale: merged over the current one.
    Merge(Value),
}

impl Input {
    fn scale(&self, call: &Call, current: &Value, validation: FieldValidation) -> Result<Value, Status> {
        let (schema, ty) = scale_type()?;
        match self {
            Input::Body(body) => Ok(body.clone()),
            Input::Merge(config) => {
                let mut wanted = current.clone();
                wanted.unset(&["metadata", "resourceVersion"]);
                if let Some(replicas) = config.at(&["spec", "replicas"]) {
                    wanted.set(&["spec", "replicas"], replicas.clone());
                }
                Ok(wanted)
            }
            Input::Patch(patch) => {
                let patched = patch.patched(current, Some((schema, ty)), validation)?;
                let (api_version, kind) =
                    (patched.document.str_at(&["apiVersion"]), patched.document.str_at(&["kind"]));
                if let Some(why) = body::type_mismatch("autoscaling", "v1", "Scale", api_version, kind) {
                    return Err(patched.undecodable(&why));
                }
                let decoded = schema::decode(schema, ty, patched.document.clone(), true)
                    .map_err(|e| patched.undecodable(&e.to_string()))?;
                patch.settle_strict(call, decoded.strict, validation, &patched)?;
                check_name(&decoded.value, &call.target.name)?;
                Ok(decoded.value)
            }
        }
    }
}

fn read_body(call: &Call, bytes: &Bytes, validation: FieldValidation) -> Result<Value, Status> {
    let (schema, ty) = scale_type()?;
    let expected = body::Expected { group: "autoscaling", version: "v1", kind: "Scale", schema, ty };
    let value = body::decode(call, &expected, bytes, validation)?;
    check_name(&value, &call.target.name)?;
    Ok(value)
}

fn read_apply(bytes: &Bytes) -> Result<Value, Status> {
    api::yaml::parse(bytes).map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")))
}

/// 422 of a Scale that no parent may have.
fn refuse(name: &str, wanted: &Value) -> Result<(), Status> {
    let faults = scale::faults(wanted);
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("autoscaling", "Scale", name, &faults)) }
}
