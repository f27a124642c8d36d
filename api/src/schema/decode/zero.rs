//! What stands where nothing was given: zero values as Go writes them.

use super::super::{Field, Presence, Scalar, Schema, Shape, TypeId};
use crate::{Map, Str, Value, time};

/// Structs to Go, whatever they look like in JSON: `omitempty` never leaves them out.
fn is_struct_like(shape: &Shape) -> bool {
    match shape {
        Shape::Any | Shape::Struct(_) | Shape::StructOr(..) => true,
        Shape::Scalar(scalar) => matches!(
            scalar,
            Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime | Scalar::Duration
        ),
        Shape::List(_) | Shape::Map(_) => false,
    }
}

/// Go's zero value of a shape: `""`, `0`, `{}` with all that is always written, `null` for lists and maps.
pub fn zero_value(schema: &Schema, shape: &Shape) -> Value {
    match shape {
        Shape::Struct(ty) => Value::Map(zero_struct(schema, *ty)),
        Shape::Any | Shape::StructOr(..) | Shape::List(_) | Shape::Map(_) => Value::Null,
        Shape::Scalar(scalar) => match scalar {
            Scalar::Str => Value::from(""),
            Scalar::Bool => Value::Bool(false),
            Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString => Value::Int(0),
            Scalar::Double => Value::Float(0.0),
            Scalar::Quantity => Value::from("0"),
            Scalar::Duration => Value::from("0s"),
            Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Value::Null,
        },
    }
}

fn zero_struct(schema: &Schema, ty: TypeId) -> Map {
    let absent = |field: &Field| absent(schema, field).map(|value| (field.name.clone(), value));
    Map::from_unique(schema.get(ty).fields.iter().filter_map(absent).collect())
}

/// What is written for a field that was not given, if anything.
pub fn absent(schema: &Schema, field: &Field) -> Option<Value> {
    match field.presence {
        Presence::Pointer | Presence::OmitZero => None,
        Presence::OmitEmpty if !is_struct_like(&field.shape) => None,
        Presence::OmitEmpty | Presence::Always => Some(zero_value(schema, &field.shape)),
        Presence::AlwaysPointer => Some(Value::Null),
    }
}

/// Whether a value that was given is written.
fn stays(field: &Field, value: &Value) -> bool {
    match field.presence {
        Presence::Pointer | Presence::Always | Presence::AlwaysPointer => true,
        Presence::OmitEmpty => is_struct_like(&field.shape) || !value.is_empty(),
        Presence::OmitZero => !value.is_empty(),
    }
}

/// Puts the fields' values, in the order of the struct, into its map.
pub fn assemble(schema: &Schema, ty: TypeId, slots: Vec<Option<Value>>) -> Map {
    let fields = &schema.get(ty).fields;
    let mut pairs: Vec<(Str, Value)> = Vec::with_capacity(slots.iter().flatten().count() + 2);
    for (field, slot) in fields.iter().zip(slots) {
        let value = match slot {
            Some(value) => Some(value).filter(|v| stays(field, v)),
            None => absent(schema, field),
        };
        pairs.extend(value.map(|v| (field.name.clone(), v)));
    }
    Map::from_unique(pairs)
}

/// A time in its written form; Go's zero time is `null`.
pub fn time_value(moment: time::Time, micro: bool) -> Value {
    if moment == time::ZERO {
        return Value::Null;
    }
    Value::from(if micro { moment.rfc3339_micro() } else { moment.rfc3339() })
}
