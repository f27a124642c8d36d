//! Protobuf to trees.

use super::Error;
use super::wire::{BYTES, FIXED64, Reader, VARINT};
use crate::json::{self, MAX_TREE_DEPTH};
use crate::quantity::Quantity;
use crate::schema::{Field, Other, Scalar, Schema, Shape, Type, TypeId, assemble, time_value, zero_value};
use crate::{Map, Str, Value, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The object in a message, in the normal form; without `kind` and `apiVersion`, which the envelope tells.
/// Unknown fields are passed over, as upstream does.
pub fn decode(schema: &Schema, ty: TypeId, bytes: &[u8]) -> Result<Value, Error> {
    Decoder { schema, depth: 0 }.structure(ty, bytes)
}

struct Decoder<'s> {
    schema: &'s Schema,
    depth: usize,
}

impl<'s> Decoder<'s> {
    fn structure(&mut self, ty: TypeId, bytes: &[u8]) -> Result<Value, Error> {
        if self.depth >= MAX_TREE_DEPTH {
            return Err(Error::new("proto: exceeded max depth"));
        }
        self.depth += 1;
        let known = self.schema.get(ty);
        let mut slots: Vec<Option<Value>> = Vec::new();
        slots.resize_with(known.fields.len(), || None);
        self.group(known, &known.by_number, 0, bytes, &mut slots)?;
        for (field, slot) in known.fields.iter().zip(&mut slots) {
            if let (Shape::Map(_), Some(Value::Map(map))) = (&field.shape, slot) {
                map.sort();
            }
        }
        self.depth -= 1;
        Ok(Value::Map(assemble(self.schema, ty, slots)))
    }

    /// A message whose fields share the first `depth` numbers.
    fn group(
        &mut self,
        ty: &'s Type,
        places: &[u16],
        depth: usize,
        bytes: &[u8],
        slots: &mut [Option<Value>],
    ) -> Result<(), Error> {
        let number_of =
            |place: &u16| ty.fields.get(usize::from(*place)).and_then(|f| f.proto.get(depth)).copied();
        let mut reader = Reader(bytes);
        while let Some((number, wire_type)) = reader.tag(ty.short_name())? {
            let start = places.partition_point(|p| number_of(p) < Some(number));
            let len =
                places.get(start..).unwrap_or_default().partition_point(|p| number_of(p) == Some(number));
            let run = places.get(start..start + len).unwrap_or_default();
            let Some(place) = run.first().map(|p| usize::from(*p)) else {
                reader.skip(wire_type)?;
                continue;
            };
            let Some((field, slot)) = ty.fields.get(place).zip(slots.get_mut(place)) else { continue };
            if field.proto.len() == depth + 1 {
                self.field(field, &mut reader, wire_type, slot)?;
            } else if field.wrapped && field.proto.len() == depth + 2 {
                *slot = Some(self.wrapper(&field.shape, expect_bytes(&mut reader, wire_type, &field.name)?)?);
            } else {
                let inner = expect_bytes(&mut reader, wire_type, &field.embedded)?;
                self.group(ty, run, depth + 1, inner, slots)?;
            }
        }
        Ok(())
    }

    /// One occurrence of a field: sets it, or adds to its list or map.
    fn field(
        &mut self,
        field: &Field,
        reader: &mut Reader<'_>,
        wire_type: u32,
        slot: &mut Option<Value>,
    ) -> Result<(), Error> {
        match &field.shape {
            Shape::List(item) => {
                let value = self.value(item, reader, wire_type, &field.name)?;
                match slot {
                    Some(Value::List(items)) => items.push(value),
                    _ => *slot = Some(Value::List(vec![value])),
                }
            }
            Shape::Map(item) => {
                let (key, value) = self.entry(item, expect_bytes(reader, wire_type, &field.name)?)?;
                match slot {
                    Some(Value::Map(map)) => drop(map.insert(key, value)),
                    _ => *slot = Some(Value::Map(Map::from_pairs(vec![(key, value)]))),
                }
            }
            shape => *slot = Some(self.value(shape, reader, wire_type, &field.name)?),
        }
        Ok(())
    }

    fn entry(&mut self, item: &Shape, bytes: &[u8]) -> Result<(Str, Value), Error> {
        let (mut key, mut value) = (Str::default(), None);
        let mut reader = Reader(bytes);
        while let Some((number, wire_type)) = reader.tag("entry")? {
            match (number, item) {
                (1, _) => key = text(expect_bytes(&mut reader, wire_type, "key")?),
                (2, Shape::List(_)) => {
                    value = Some(self.wrapper(item, expect_bytes(&mut reader, wire_type, "value")?)?);
                }
                (2, _) => value = Some(self.value(item, &mut reader, wire_type, "value")?),
                _ => reader.skip(wire_type)?,
            }
        }
        Ok((key, value.unwrap_or_else(|| zero_value(self.schema, item))))
    }

    /// A list in a message of its own.
    fn wrapper(&mut self, shape: &Shape, bytes: &[u8]) -> Result<Value, Error> {
        let Shape::List(item) = shape else { return Ok(Value::Null) };
        let mut items = Vec::new();
        let mut reader = Reader(bytes);
        while let Some((number, wire_type)) = reader.tag("items")? {
            match number {
                1 => items.push(self.value(item, &mut reader, wire_type, "items")?),
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(Value::List(items))
    }

    fn value(
        &mut self,
        shape: &Shape,
        reader: &mut Reader<'_>,
        wire_type: u32,
        name: &str,
    ) -> Result<Value, Error> {
        match shape {
            Shape::Scalar(scalar) => scalar_value(*scalar, reader, wire_type, name),
            Shape::Any => any(expect_bytes(reader, wire_type, name)?),
            Shape::Struct(ty) => self.structure(*ty, expect_bytes(reader, wire_type, name)?),
            Shape::StructOr(ty, other) => self.struct_or(*ty, *other, expect_bytes(reader, wire_type, name)?),
            Shape::List(_) => self.wrapper(shape, expect_bytes(reader, wire_type, name)?),
            Shape::Map(_) => Err(Error(format!("proto: a map inside of {name}"))),
        }
    }

    fn struct_or(&mut self, ty: TypeId, other: Other, bytes: &[u8]) -> Result<Value, Error> {
        let (mut structure, mut allows, mut items) = (None, false, Vec::new());
        let structure_number = if other == Other::Bool { 2 } else { 1 };
        let mut reader = Reader(bytes);
        while let Some((number, wire_type)) = reader.tag("JSONSchemaPropsOr")? {
            if number == structure_number {
                structure = Some(self.structure(ty, expect_bytes(&mut reader, wire_type, "Schema")?)?);
                continue;
            }
            match (number, other) {
                (1, Other::Bool) => allows = expect_varint(&mut reader, wire_type, "Allows")? != 0,
                (2, Other::List) => {
                    let item = expect_bytes(&mut reader, wire_type, "JSONSchemas")?;
                    items.push(self.structure(ty, item)?);
                }
                (2, Other::StrList) => {
                    items.push(text(expect_bytes(&mut reader, wire_type, "Property")?).into());
                }
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(match (structure, other) {
            _ if !items.is_empty() => Value::List(items),
            (Some(structure), _) => structure,
            (None, Other::Bool) => Value::Bool(allows),
            (None, _) => Value::Null,
        })
    }
}

fn wrong(wire_type: u32, name: &str) -> Error {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let go_name: String = first.into_iter().chain(letters).collect();
    Error(format!("proto: wrong wireType = {wire_type} for field {go_name}"))
}

fn expect_bytes<'a>(reader: &mut Reader<'a>, wire_type: u32, name: &str) -> Result<&'a [u8], Error> {
    if wire_type == BYTES { reader.bytes() } else { Err(wrong(wire_type, name)) }
}

fn expect_varint(reader: &mut Reader<'_>, wire_type: u32, name: &str) -> Result<u64, Error> {
    if wire_type == VARINT { reader.varint() } else { Err(wrong(wire_type, name)) }
}

fn text(bytes: &[u8]) -> Str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}

/// JSON inside of a message (`RawExtension`, `FieldsV1`); no bytes are null.
fn any(bytes: &[u8]) -> Result<Value, Error> {
    let mut raw: &[u8] = &[];
    let mut reader = Reader(bytes);
    while let Some((number, wire_type)) = reader.tag("RawExtension")? {
        match number {
            1 => raw = expect_bytes(&mut reader, wire_type, "Raw")?,
            _ => reader.skip(wire_type)?,
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    json::parse(raw).map_err(|e| Error(e.message))
}

fn scalar_value(scalar: Scalar, reader: &mut Reader<'_>, wire_type: u32, name: &str) -> Result<Value, Error> {
    match scalar {
        Scalar::Str => Ok(Value::Str(text(expect_bytes(reader, wire_type, name)?))),
        Scalar::Bool => Ok(Value::Bool(expect_varint(reader, wire_type, name)? != 0)),
        Scalar::Int64 => Ok(Value::Int(expect_varint(reader, wire_type, name)?.cast_signed())),
        #[allow(clippy::cast_possible_truncation)]
        Scalar::Int32 => Ok(Value::from((expect_varint(reader, wire_type, name)? as u32).cast_signed())),
        Scalar::Double if wire_type == FIXED64 => Ok(Value::Float(f64::from_bits(reader.fixed64()?))),
        Scalar::Double => Err(wrong(wire_type, name)),
        Scalar::Bytes => Ok(STANDARD.encode(expect_bytes(reader, wire_type, name)?).into()),
        Scalar::Quantity => quantity(expect_bytes(reader, wire_type, name)?),
        Scalar::IntOrString => int_or_string(expect_bytes(reader, wire_type, name)?),
        Scalar::Time => timestamp(expect_bytes(reader, wire_type, name)?, false),
        Scalar::MicroTime => timestamp(expect_bytes(reader, wire_type, name)?, true),
        Scalar::Duration => {
            let (nanos, _, _) = small_message(expect_bytes(reader, wire_type, name)?)?;
            Ok(time::format_duration(nanos).into())
        }
    }
}

fn quantity(bytes: &[u8]) -> Result<Value, Error> {
    let mut quantity = Quantity::default();
    let mut reader = Reader(bytes);
    while let Some((number, wire_type)) = reader.tag("Quantity")? {
        match number {
            1 => {
                let text = text(expect_bytes(&mut reader, wire_type, "String_")?);
                quantity = Quantity::parse(&text).map_err(|e| Error(e.to_string()))?;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(quantity.to_string().into())
}

/// The two numbers and the text of the small special messages, whose fields have the numbers 1, 2 and 3.
fn small_message(bytes: &[u8]) -> Result<(i64, i64, Str), Error> {
    let mut found = (0, 0, Str::default());
    let mut reader = Reader(bytes);
    while let Some((number, wire_type)) = reader.tag("message")? {
        match number {
            1 => found.0 = expect_varint(&mut reader, wire_type, "seconds")?.cast_signed(),
            2 => found.1 = expect_varint(&mut reader, wire_type, "nanos")?.cast_signed(),
            3 => found.2 = text(expect_bytes(&mut reader, wire_type, "strVal")?),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(found)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let (kind, int, string) = small_message(bytes)?;
    #[allow(clippy::cast_possible_truncation)]
    Ok(if kind == 1 { Value::Str(string) } else { Value::from(int as i32) })
}

/// Seconds, and for `MicroTime` the microseconds of the nanoseconds.
fn timestamp(bytes: &[u8], micro: bool) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (secs, nanos, _) = small_message(bytes)?;
    let nanos = if micro { u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000).unwrap_or(0) } else { 0 };
    Ok(time_value(time::Time { secs, nanos: nanos / 1000 * 1000 }, micro))
}
