//! Who owns which fields: `metadata.managedFields`, kept by every write.

use crate::call::Call;
use api::merge::FieldManager;
use api::{Status, Value};

fn manager(call: &Call) -> Result<FieldManager<'_>, Status> {
    let info = call.info();
    let (schema, ty) = call
        .kind
        .schema(call.version())
        .ok_or_else(|| Status::internal(format!("no schema for {} {}", info.kind, call.version())))?;
    Ok(FieldManager {
        schema,
        ty,
        group: &info.group,
        kind: &info.kind,
        version: call.version(),
        subresource: &call.target.subresource,
        reset_fields: call.kind.reset_fields(&call.target.subresource),
    })
}

/// A new object, all of whose fields `name` owns.
pub fn created(call: &Call, obj: &mut Value, name: &str) -> Result<(), Status> {
    manager(call)?.update(&Value::map(), obj, name, &call.now);
    Ok(())
}

/// A changed object: `name` owns what it changed. Both in the request's version.
pub fn updated(call: &Call, old: &Value, new: &mut Value, name: &str) -> Result<(), Status> {
    manager(call)?.update(old, new, name, &call.now);
    Ok(())
}

/// What `live` (empty when there is none) becomes when `name` applies `config`.
pub fn applied(call: &Call, live: &Value, config: Value, name: &str, force: bool) -> Result<Value, Status> {
    manager(call)?.apply(live, config, name, force, &call.now)
}
