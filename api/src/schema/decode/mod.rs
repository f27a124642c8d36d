//! From what a client sent to the normalised tree of a type: what a round trip through Go's structs gives.
//!
//! Fields come in the struct's order, unknown ones are dropped (and reported), nulls vanish, zero values are
//! left out or written as the field's `Presence` says; quantities, times and base64 take their canonical form.
//! Type errors stop the decoding only at the end, and are worded as upstream words them.

mod base64;
mod fault;
mod scalar;
mod source;
mod typed;
mod zero;

pub use fault::Mismatch;
pub use zero::zero_value;
pub(crate) use zero::{assemble, time_value};

use super::{Presence, Schema, Shape, TypeId};
use crate::{Str, Value, json};
use fault::Stop;
use source::Tree;
use typed::Decoder;

/// A decoded object.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    pub value: Value,
    /// Unknown and duplicate fields in the order found, as strict validation words them:
    /// `unknown field "spec.foo"`. Empty unless asked for; at most 100.
    pub strict: Vec<String>,
}

/// Why nothing could be decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodeError {
    /// No JSON at all.
    Syntax(json::Error),
    /// A value of the wrong type.
    Mismatch(Mismatch),
    /// A text that is no quantity, time, duration or base64.
    Text(String),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Syntax(error) => error.fmt(f),
            DecodeError::Mismatch(error) => error.fmt(f),
            DecodeError::Text(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<Stop> for DecodeError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Syntax(error) => DecodeError::Syntax(error),
            Stop::Mismatch(error) => DecodeError::Mismatch(error),
            Stop::Text(text) => DecodeError::Text(text),
        }
    }
}

/// Decodes JSON text. A syntax error anywhere outranks every other error. With `strict`, unknown and duplicate
/// fields are collected. Of duplicates the last one counts; structs and maps that come twice are merged.
pub fn decode_json(schema: &Schema, ty: TypeId, text: &[u8], strict: bool) -> Result<Decoded, DecodeError> {
    let mut cursor = json::Cursor::new(text);
    let mut decoder = Decoder::new(schema, strict);
    let value = decoder.root(&mut cursor, ty).and_then(|value| {
        cursor.end()?;
        Ok(value)
    });
    match value {
        Ok(value) => Ok(Decoded { value, strict: decoder.strict_faults() }),
        Err(Stop::Syntax(error)) => Err(DecodeError::Syntax(error)),
        Err(stop) => match check(text) {
            Ok(()) => Err(stop.into()),
            Err(error) => Err(DecodeError::Syntax(error)),
        },
    }
}

fn check(text: &[u8]) -> Result<(), json::Error> {
    let mut cursor = json::Cursor::new(text);
    cursor.skip()?;
    cursor.end()
}

/// Decodes a tree (YAML, the outcome of a patch). Duplicates cannot occur here.
pub fn decode(schema: &Schema, ty: TypeId, raw: Value, strict: bool) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(schema, strict);
    let value = decoder.root(&mut Tree(raw), ty)?;
    Ok(Decoded { value, strict: decoder.strict_faults() })
}

/// Brings a tree that was edited back into the normal form: order of fields, presence of zero values, sorted maps.
pub fn normalise(schema: &Schema, ty: TypeId, value: &mut Value) -> Result<(), DecodeError> {
    *value = decode(schema, ty, value.take(), false)?.value;
    Ok(())
}

/// What storing an object loses: lists and maps that are always written become `null` when there is nothing in them,
/// as the wire form of protobuf does not tell them from missing ones.
pub fn forget_empty(schema: &Schema, ty: TypeId, value: &mut Value) {
    let Value::Map(map) = value else { return };
    let ty = schema.get(ty);
    for (name, value) in map.iter_mut() {
        if !matches!(value, Value::Map(_) | Value::List(_)) {
            continue;
        }
        let Some(field) = ty.field(name) else { continue };
        let listed = matches!(field.shape, Shape::List(_) | Shape::Map(_));
        if listed && field.presence == Presence::Always && value.is_empty() {
            *value = Value::Null;
        } else {
            forget_inside(schema, &field.shape, value);
        }
    }
}

fn forget_inside(schema: &Schema, shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(ty), value @ Value::Map(_)) => forget_empty(schema, *ty, value),
        (Shape::List(inner), Value::List(items)) if !matches!(**inner, Shape::Scalar(_)) => {
            items.iter_mut().for_each(|item| forget_inside(schema, inner, item));
        }
        (Shape::Map(inner), Value::Map(map)) if !matches!(**inner, Shape::Scalar(_)) => {
            map.iter_mut().for_each(|(_, item)| forget_inside(schema, inner, item));
        }
        _ => {}
    }
}

/// Sets `kind` and `apiVersion`, which upstream writes first.
pub fn set_type_meta(value: &mut Value, api_version: &str, kind: &str) {
    let Value::Map(map) = value else { return };
    if map.keys().map(Str::as_str).take(2).eq(["kind", "apiVersion"]) {
        map.insert("kind", kind);
        map.insert("apiVersion", api_version);
        return;
    }
    let rest = std::mem::take(map).into_iter().filter(|(k, _)| k != "kind" && k != "apiVersion");
    let first: [(Str, Value); 2] = [("kind".into(), kind.into()), ("apiVersion".into(), api_version.into())];
    *map = first.into_iter().chain(rest).collect();
}

#[cfg(test)]
mod tests;
