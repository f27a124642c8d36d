//! Strategic merge patch: a merge patch that knows the types. Lists with a merge key are merged item by item, lists
//! of scalars as sets, other lists replaced; directives say more: `$patch` (replace, delete), `$retainKeys`,
//! `$setElementOrder/FIELD` and `$deleteFromPrimitiveList/FIELD`.

use super::{element_order, go_text, strategic_list};
use crate::schema::{Field, Shape, TypeId};
use crate::{Map, Schema, Status, Value, quote};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";

/// Where the merge is in the schema.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'s> {
    schema: &'s Schema,
    shape: &'s Shape,
}

/// What a field's schema says of merging its list.
pub(super) struct ListRule<'s> {
    /// The items' place in the schema.
    pub items: Lookup<'s>,
    pub merge: bool,
    /// "" when there is none.
    pub key: &'s str,
}

/// 500 without a reason, as upstream answers most malformed strategic patches.
pub(super) fn failure(message: impl Into<String>) -> Status {
    Status::unclassified(message)
}

/// 500 for an item without its merge key.
pub(super) fn no_merge_key(item: &Map, key: &str) -> Status {
    let item = go_text(&Value::Map(item.clone()));
    failure(format!("map: {item} does not contain declared merge key: {key}"))
}

/// 500 for a value of a wrong type.
pub(super) fn bad_type(wanted: &str, found: &Value) -> Status {
    let found = match found {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => LIST,
        Value::Map(_) => MAP,
    };
    failure(format!("expected a {wanted}, but received a {found}"))
}

pub(super) const LIST: &str = "[]interface {}";
pub(super) const MAP: &str = "map[string]interface {}";

/// Applies a patch to an object of a built-in kind.
///
/// The patch is changed on the way: directives that were carried out are gone from it, which is how upstream quotes
/// it (`go_text`) when the outcome does not decode. Errors are 400 or 500.
pub fn apply(schema: &Schema, ty: TypeId, object: &mut Value, patch: &mut Value) -> Result<(), Status> {
    let map = match patch {
        Value::Map(map) => map,
        Value::Null => return Ok(()),
        other => {
            let found = other.json_type();
            return Err(Status::bad_request(format!(
                "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
    };
    if !matches!(object, Value::Map(_)) {
        *object = Value::map();
    }
    let shape = Shape::Struct(ty);
    match object {
        Value::Map(object) => merge_map(object, map, Lookup { schema, shape: &shape }),
        _ => Ok(()),
    }
}

/// 400 for kinds without a schema of their own (custom kinds).
pub fn unsupported() -> Status {
    Status::bad_request("strategic merge patch format is not supported")
}

impl<'s> Lookup<'s> {
    fn field(self, name: &str) -> Result<&'s Field, Status> {
        let (Shape::Struct(id) | Shape::StructOr(id, _)) = self.shape else {
            return match self.shape {
                Shape::Any => Err(unknown_field("RawExtension", name)),
                _ => Err(failure(format!(
                    "merging an object in json but data type is not struct, instead is: {}",
                    self.kind()
                ))),
            };
        };
        let ty = self.schema.get(*id);
        let folded = || ty.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        ty.field(name).or_else(folded).ok_or_else(|| unknown_field(ty.short_name(), name))
    }

    fn map_at(self, name: &str) -> Result<Lookup<'s>, Status> {
        Ok(Lookup { schema: self.schema, shape: &self.field(name)?.shape })
    }

    fn list_at(self, name: &str) -> Result<ListRule<'s>, Status> {
        let field = self.field(name)?;
        let Shape::List(items) = &field.shape else {
            return Err(failure(format!("expected slice or array type, but got: {}", self.kind())));
        };
        let items = Lookup { schema: self.schema, shape: items };
        Ok(ListRule { items, merge: field.patch_merge, key: &field.patch_merge_key })
    }

    /// Go's kind of the type.
    pub(super) fn kind(self) -> &'static str {
        match self.shape {
            Shape::Any | Shape::Struct(_) | Shape::StructOr(..) => "struct",
            Shape::List(_) => "slice",
            Shape::Map(_) => "map",
            Shape::Scalar(_) => "string",
        }
    }
}

fn unknown_field(ty: &str, name: &str) -> Status {
    failure(format!("unable to find api field in struct {ty} for the json field {}", quote(name)))
}

/// Merges a patch into a map of the object.
pub(super) fn merge_map(original: &mut Map, patch: &mut Map, at: Lookup<'_>) -> Result<(), Status> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                *original = patch.clone();
                Ok(())
            }
            Some("delete") => {
                *original = Map::new();
                Ok(())
            }
            _ => Err(bad_directive(directive, patch)),
        };
    }
    retain_keys(original, patch)?;
    set_element_orders(original, patch, at)?;
    for (key, value) in patch.iter_mut() {
        match key.strip_prefix(DELETE_FROM_LIST) {
            Some(rest) => {
                let Some(field) = rest.strip_prefix('/') else {
                    return Err(Status::bad_request("invalid patch format of primitive list"));
                };
                merge_field(original, if field.is_empty() { key } else { field }, value, at, true)?;
            }
            None => merge_field(original, key, value, at, false)?,
        }
    }
    Ok(())
}

pub(super) fn bad_directive(directive: &Value, map: &Map) -> Status {
    let map = go_text(&Value::Map(map.clone()));
    failure(format!("unknown patch type: {} in map: {map}", go_text(directive)))
}

/// One field of a patch; `deletes` when its list names what to delete.
fn merge_field(
    original: &mut Map,
    key: &str,
    value: &mut Value,
    at: Lookup<'_>,
    deletes: bool,
) -> Result<(), Status> {
    if value.is_null() {
        original.remove(key);
        return Ok(());
    }
    let Some(current) = original.get_mut(key) else {
        if !deletes {
            take_new(original, key, value);
        }
        return Ok(());
    };
    let same = same_type(current, value);
    match (&mut *current, &mut *value) {
        (Value::Map(current), Value::Map(patch)) => merge_map(current, patch, at.map_at(key)?)?,
        (Value::List(list), Value::List(patch)) => {
            let rule = at.list_at(key)?;
            if rule.merge || deletes {
                *list = strategic_list::merge(std::mem::take(list), patch, &rule, deletes)?;
            } else {
                list.clone_from(patch);
            }
        }
        (current, value) if same => current.clone_from(value),
        _ if deletes => {}
        _ => take_new(original, key, value),
    }
    Ok(())
}

fn same_type(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// A value that has nothing to merge with: without nulls, and without what carries directives.
fn take_new(original: &mut Map, key: &str, value: &mut Value) {
    discard_nulls(value);
    if remove_directives(value) {
        original.insert(key, value.clone());
    } else {
        original.remove(key);
    }
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => map.retain(|_, v| {
            discard_nulls(v);
            !v.is_null()
        }),
        Value::List(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Drops maps that carry `$patch`, at every depth; false when the value itself is one.
fn remove_directives(value: &mut Value) -> bool {
    match value {
        Value::Map(map) if map.contains_key(DIRECTIVE) => return false,
        Value::Map(map) => map.retain(|_, v| remove_directives(v)),
        Value::List(list) => list.retain_mut(remove_directives),
        _ => {}
    }
    true
}

/// `$retainKeys`: keys that it does not name are cleared; the patch may set no others.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), Status> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || Status::bad_request("invalid patch format of retainKeys");
    let keys = keys.as_list().ok_or_else(bad)?;
    let named = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let free = |key: &str| key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !free(key) && !named(key)) {
        return Err(bad());
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the field's list right away and puts it into that order.
fn set_element_orders(original: &mut Map, patch: &mut Map, at: Lookup<'_>) -> Result<(), Status> {
    let directives: Vec<_> = patch.keys().filter(|k| k.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let order = match patch.remove(&directive) {
            Some(Value::List(order)) => order,
            other => return Err(bad_type(LIST, &other.unwrap_or_default())),
        };
        let field = match directive.split_once('/') {
            Some((SET_ELEMENT_ORDER, field)) => field,
            _ => return Err(Status::bad_request("invalid patch format of setElementOrder list")),
        };
        let current = list_of(original.get(field))?;
        let change = list_of(patch.get(field))?;
        let rule = at.list_at(field)?;
        element_order::check(change.unwrap_or_default(), &order, rule.key)?;
        let mut change = change.map(<[Value]>::to_vec);
        let before = current.unwrap_or_default().to_vec();
        let merged = match (current, &mut change) {
            (None, None) => continue,
            (Some(_), None) => before.clone(),
            (None, Some(change)) => {
                let mut added = change.clone();
                added.retain_mut(remove_directives);
                added
            }
            (Some(_), Some(change)) if rule.merge => {
                strategic_list::merge(before.clone(), change, &rule, false)?
            }
            (Some(_), Some(change)) => change.clone(),
        };
        let change = change.unwrap_or_default();
        let (listed, others) = element_order::partition(merged, &order, rule.key)?;
        let keyed = strategic_list::items_are_maps(&[&before, &change])?;
        let all = element_order::normalize(listed, others, &order, &before, keyed.then_some(rule.key))?;
        original.insert(field, Value::List(all));
        patch.remove(field);
    }
    Ok(())
}

fn list_of(value: Option<&Value>) -> Result<Option<&[Value]>, Status> {
    match value {
        None => Ok(None),
        Some(Value::List(list)) => Ok(Some(list)),
        Some(other) => Err(bad_type(LIST, other)),
    }
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
