//! Trees to protobuf.

use super::wire::{FIXED64, put_bytes, put_int, put_message, put_tag, put_varint};
use crate::schema::{Field, Other, Presence, Scalar, Schema, Shape, Type, TypeId};
use crate::{Map, Value, json, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The message of an object, without envelope. Fields without a protobuf form (`kind`, `apiVersion`) are left out.
pub fn encode(schema: &Schema, ty: TypeId, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    encode_into(schema, ty, value, &mut out);
    out
}

/// Appends the message of an object.
pub fn encode_into(schema: &Schema, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    Encoder { schema }.structure(ty, value, out);
}

struct Encoder<'s> {
    schema: &'s Schema,
}

impl Encoder<'_> {
    fn structure(&self, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
        let ty = self.schema.get(ty);
        let empty = Map::new();
        self.group(ty, &ty.by_number, 0, value.as_map().unwrap_or(&empty), out);
    }

    /// The fields that share the first `depth` numbers. Those that go deeper are in a message of their own, which
    /// is always written, as it is embedded by value.
    fn group(&self, ty: &Type, places: &[u16], depth: usize, map: &Map, out: &mut Vec<u8>) {
        let field = |place: &u16| ty.fields.get(usize::from(*place));
        let number = |place: &u16| field(place).and_then(|f| f.proto.get(depth)).copied();
        for run in places.chunk_by(|a, b| number(a) == number(b)) {
            let Some((first, number)) = run.first().and_then(|p| field(p).zip(number(p))) else { continue };
            if first.proto.len() == depth + 1 {
                self.field(first, number, map.get(&first.name), out);
            } else if first.wrapped && first.proto.len() == depth + 2 {
                self.wrapped(first, number, map.get(&first.name), out);
            } else {
                put_message(number, out, |out| self.group(ty, run, depth + 1, map, out));
            }
        }
    }

    fn wrapped(&self, field: &Field, number: u32, value: Option<&Value>, out: &mut Vec<u8>) {
        if let Some(list @ Value::List(_)) = value {
            put_message(number, out, |out| self.value(&field.shape, 1, list, out));
        }
    }

    fn field(&self, field: &Field, number: u32, value: Option<&Value>, out: &mut Vec<u8>) {
        let value = value.unwrap_or(&Value::Null);
        let pointer = matches!(field.presence, Presence::Pointer | Presence::AlwaysPointer);
        if !(pointer && value.is_null()) {
            self.value(&field.shape, number, value, out);
        }
    }

    /// One value with its tag. Null is the shape's zero value, which only lists, maps and bytes do not write.
    fn value(&self, shape: &Shape, number: u32, value: &Value, out: &mut Vec<u8>) {
        match shape {
            Shape::Any => put_message(number, out, |out| {
                if !value.is_null() {
                    put_bytes(1, &json::to_vec(value), out);
                }
            }),
            Shape::Scalar(scalar) => put_scalar(*scalar, number, value, out),
            Shape::Struct(ty) => put_message(number, out, |out| self.structure(*ty, value, out)),
            Shape::StructOr(ty, other) => {
                put_message(number, out, |out| self.struct_or(*ty, *other, value, out));
            }
            Shape::List(item) => {
                for value in value.as_list().unwrap_or_default() {
                    self.value(item, number, value, out);
                }
            }
            Shape::Map(item) => self.map(item, number, value, out),
        }
    }

    fn map(&self, item: &Shape, number: u32, value: &Value, out: &mut Vec<u8>) {
        let Some(map) = value.as_map() else { return };
        let mut pairs: Vec<_> = map.iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        for (key, value) in pairs {
            put_message(number, out, |out| {
                put_bytes(1, key.as_bytes(), out);
                match item {
                    Shape::List(inner) if !value.is_null() => {
                        put_message(2, out, |out| self.value(&Shape::List(inner.clone()), 1, value, out));
                    }
                    _ => self.value(item, 2, value, out),
                }
            });
        }
    }

    fn struct_or(&self, ty: TypeId, other: Other, value: &Value, out: &mut Vec<u8>) {
        let structure = Shape::Struct(ty);
        match (other, value) {
            (Other::Bool, Value::Map(_)) => {
                put_int(1, 1, out);
                self.value(&structure, 2, value, out);
            }
            (Other::Bool, _) => put_int(1, i64::from(value.as_bool().unwrap_or_default()), out),
            (_, Value::Map(_)) => self.value(&structure, 1, value, out),
            (Other::List, _) => self.value(&Shape::List(Box::new(structure)), 2, value, out),
            (Other::StrList, _) => {
                self.value(&Shape::List(Box::new(Shape::Scalar(Scalar::Str))), 2, value, out);
            }
        }
    }
}

fn put_scalar(scalar: Scalar, number: u32, value: &Value, out: &mut Vec<u8>) {
    let text = value.as_str().unwrap_or_default();
    match scalar {
        Scalar::Str => put_bytes(number, text.as_bytes(), out),
        Scalar::Bool => put_int(number, i64::from(value.as_bool().unwrap_or_default()), out),
        Scalar::Int32 | Scalar::Int64 => put_int(number, value.as_i64().unwrap_or_default(), out),
        Scalar::Double => {
            put_tag(number, FIXED64, out);
            out.extend_from_slice(&double(value).to_le_bytes());
        }
        Scalar::Bytes => {
            if let Value::Str(text) = value {
                put_bytes(number, &STANDARD.decode(text.as_bytes()).unwrap_or_default(), out);
            }
        }
        Scalar::Quantity => put_message(number, out, |out| {
            put_bytes(1, if text.is_empty() { b"0" } else { text.as_bytes() }, out);
        }),
        Scalar::IntOrString => put_message(number, out, |out| {
            put_int(1, i64::from(matches!(value, Value::Str(_))), out);
            put_int(2, value.as_i64().unwrap_or_default(), out);
            put_bytes(3, text.as_bytes(), out);
        }),
        Scalar::Time => put_time(number, time::parse(text).ok(), out),
        Scalar::MicroTime => put_time(number, time::parse_micro(text).ok(), out),
        Scalar::Duration => put_message(number, out, |out| {
            put_int(1, time::parse_duration(text).unwrap_or_default(), out);
        }),
    }
}

#[allow(clippy::cast_precision_loss)]
fn double(value: &Value) -> f64 {
    match value {
        Value::Float(float) => *float,
        Value::Int(int) => *int as f64,
        _ => 0.0,
    }
}

/// Seconds and nanoseconds; Go's zero time is an empty message.
fn put_time(number: u32, moment: Option<time::Time>, out: &mut Vec<u8>) {
    put_message(number, out, |out| {
        if let Some(moment) = moment.filter(|m| *m != time::ZERO) {
            put_int(1, moment.secs, out);
            put_tag(2, super::wire::VARINT, out);
            put_varint(moment.nanos.into(), out);
        }
    });
}
