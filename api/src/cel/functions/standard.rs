//! CEL's own functions on texts, lists and maps; optional values; sets.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError, operators};
use std::sync::Arc;

pub const LIBRARY: Library = Library {
    functions: &[
        "size",
        "matches",
        "dyn",
        "type",
        "optional.of",
        "optional.none",
        "optional.ofNonZeroValue",
        "optional.unwrap",
        "sets.contains",
        "sets.equivalent",
        "sets.intersects",
        "jsonpatch.escapeKey",
    ],
    methods: &[
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "hasValue",
        "value",
        "or",
        "orValue",
        "unwrapOpt",
    ],
    call,
};

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(Ok(match (name, args) {
        ("size", [of]) => size(of)?,
        ("contains", [Cel::Str(text), Cel::Str(part)]) => Cel::Bool(text.contains(part.as_str())),
        ("startsWith", [Cel::Str(text), Cel::Str(part)]) => Cel::Bool(text.starts_with(part.as_str())),
        ("endsWith", [Cel::Str(text), Cel::Str(part)]) => Cel::Bool(text.ends_with(part.as_str())),
        ("matches", [Cel::Str(text), Cel::Str(pattern)]) => {
            return Some(super::regex::matches(text, pattern));
        }
        ("dyn", [value]) => value.clone(),
        ("type", [value]) => Cel::Type(value.type_name().into()),
        ("jsonpatch.escapeKey", [Cel::Str(key)]) => Cel::text(key.replace('~', "~0").replace('/', "~1")),
        ("sets.contains", [set, part]) => Cel::Bool(within(&part.items()?, &set.items()?)),
        ("sets.equivalent", [a, b]) => {
            let (a, b) = (a.items()?, b.items()?);
            Cel::Bool(within(&a, &b) && within(&b, &a))
        }
        ("sets.intersects", [a, b]) => {
            let (a, b) = (a.items()?, b.items()?);
            Cel::Bool(a.iter().any(|x| b.iter().any(|y| operators::equal(x, y))))
        }
        _ => return optional(name, args),
    }))
}

/// Code points, bytes, items or entries.
fn size<'a>(of: &Cel<'a>) -> Option<Cel<'a>> {
    Some(Cel::size_of(match of {
        Cel::Str(text) => text.chars().count(),
        Cel::Bytes(bytes) => bytes.len(),
        Cel::Tree(crate::Value::Map(map)) => map.len(),
        Cel::Tree(crate::Value::List(list)) => list.len(),
        Cel::List(items) => items.len(),
        Cel::Map(entries) => entries.len(),
        _ => return None,
    }))
}

fn within(part: &[Cel<'_>], set: &[Cel<'_>]) -> bool {
    part.iter().all(|x| set.iter().any(|y| operators::equal(x, y)))
}

fn optional<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(Ok(match (name, args) {
        ("optional.none", []) => Cel::Optional(None),
        ("optional.of", [value]) => Cel::some(value.clone()),
        ("optional.ofNonZeroValue", [value]) if value.is_zero() => Cel::Optional(None),
        ("optional.ofNonZeroValue", [value]) => Cel::some(value.clone()),
        ("hasValue", [Cel::Optional(value)]) => Cel::Bool(value.is_some()),
        ("value", [Cel::Optional(Some(value))]) => (**value).clone(),
        ("value", [Cel::Optional(None)]) => return Some(Err(CelError::new("optional.none() dereference"))),
        ("or", [Cel::Optional(None), other @ Cel::Optional(_)]) => other.clone(),
        ("or", [value @ Cel::Optional(_), Cel::Optional(_)]) => value.clone(),
        ("orValue", [Cel::Optional(value), other]) => {
            value.as_ref().map_or_else(|| other.clone(), |value: &Arc<Cel<'a>>| (**value).clone())
        }
        ("optional.unwrap" | "unwrapOpt", [list]) => {
            let present = |item: Cel<'a>| match item {
                Cel::Optional(value) => value.map(|v| (*v).clone()),
                plain => Some(plain),
            };
            Cel::list(list.items()?.into_iter().filter_map(present).collect())
        }
        _ => return None,
    }))
}
