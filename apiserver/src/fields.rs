//! Who owns which fields: `metadata.managedFields`, kept by every write.

use crate::call::Call;
use crate::stored;
use api::merge::{FieldManager, FieldSet, PathElement, Typing, Versions};
use api::{Status, Value};
use kinds::Kind;

/// The versions of a kind, in which owners may have named their fields.
struct KindVersions<'s>(&'s dyn Kind, FieldSet);

impl<'s> Versions<'s> for KindVersions<'s> {
    fn typing(&self, api_version: &str) -> Option<Typing<'s>> {
        let version = self.version(api_version)?;
        self.0.schema(version).map(|(schema, ty)| Typing::of(schema, ty))
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        let from = self.version(object.str_at(&["apiVersion"]))?.to_owned();
        let mut object = object.clone();
        stored::convert(self.0, &mut object, &from, self.version(api_version)?).ok()?;
        Some(object)
    }

    fn reset_fields(&self, api_version: &str) -> Option<&FieldSet> {
        self.version(api_version).map(|_| &self.1)
    }
}

impl KindVersions<'_> {
    /// The served version that an `apiVersion` names.
    fn version<'a>(&self, api_version: &'a str) -> Option<&'a str> {
        let info = self.0.info();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        (info.group == group && info.versions.iter().any(|v| v == version)).then_some(version)
    }
}

/// Runs `work` with the field manager of a request.
fn with_manager<T>(call: &Call, work: impl FnOnce(&FieldManager<'_, '_>) -> T) -> Result<T, Status> {
    let kind = &*call.kind;
    let (schema, ty) = kind
        .schema(call.version())
        .ok_or_else(|| Status::internal(format!("no schema for {} {}", kind.info().kind, call.version())))?;
    let mut reset = FieldSet::new();
    for path in kind.reset_fields(&call.target.subresource) {
        reset.insert(path.iter().map(|name| PathElement::Field((*name).into())).collect());
    }
    let manager = FieldManager {
        typing: Typing::of(schema, ty),
        api_version: &kind.info().api_version(call.version()),
        kind: &kind.info().kind,
        subresource: &call.target.subresource,
        reset_fields: &reset,
        versions: &KindVersions(kind, reset.clone()),
    };
    Ok(work(&manager))
}

/// A new object, all of whose fields `name` owns.
pub fn created(call: &Call, obj: &mut Value, name: &str) -> Result<(), Status> {
    let new = obj.take();
    *obj = with_manager(call, |manager| manager.update(None, new, name, &call.now))?;
    Ok(())
}

/// A changed object: `name` owns what it changed. Both in the request's version.
pub fn updated(call: &Call, old: &Value, new: &mut Value, name: &str) -> Result<(), Status> {
    let wanted = new.take();
    *new = with_manager(call, |manager| manager.update(Some(old), wanted, name, &call.now))?;
    Ok(())
}

/// What `live` (an empty object when there is none) becomes when `name` applies `config`; nothing when it stays.
pub fn applied(
    call: &Call,
    live: &Value,
    config: &Value,
    name: &str,
    force: bool,
) -> Result<Option<Value>, Status> {
    with_manager(call, |manager| manager.apply(live, config, name, force, &call.now))?
}
