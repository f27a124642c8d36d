//! OpenAPI documents as protobuf, in the messages of the gnostic models, which some clients ask for instead of JSON.
//!
//! Messages are tables (`v2`, `v3`); `write` walks a document along them. Values of any form and extensions are texts
//! of YAML within; JSON is YAML.

mod v2;
mod v3;

use api::{Map, Value, json};

/// How a JSON value becomes a protobuf message.
enum Message {
    /// A struct: JSON name, number and type of each field. Other keys are extensions, named values at a number of
    /// their own (0: there are none).
    Fields(&'static [(&'static str, u32, Type)], u32),
    /// A map: each key is a named value at the number.
    Named(u32, Type, Named),
    /// A message of one field.
    Wrapped(u32, Type),
    /// Whichever fits first.
    Either(&'static [(Test, u32, Type)]),
}

/// Which keys of a map are named values; the others are extensions at the number.
#[derive(Clone, Copy)]
enum Named {
    All,
    /// All but those that begin with `x-`.
    AllBut(u32),
}

/// What tells the alternatives of a message apart.
enum Test {
    HasReference,
    /// `in` is this.
    In(&'static str),
    IsFlag,
    IsText,
    IsNumber,
    Always,
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Texts,
    Flag,
    Integer,
    Number,
    Any,
    Anys,
    One(&'static Message),
    Many(&'static Message),
}

/// The protobuf form of `/openapi/v2`, from its JSON.
pub fn v2(document: &[u8]) -> Vec<u8> {
    write(document, &v2::DOCUMENT)
}

/// The protobuf form of a document of `/openapi/v3`, from its JSON.
pub fn v3(document: &[u8]) -> Vec<u8> {
    write(document, &v3::DOCUMENT)
}

fn write(document: &[u8], message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    if let Ok(value) = json::parse(document) {
        message.write(&value, &mut out);
    }
    out
}

impl Message {
    fn write(&self, value: &Value, out: &mut Vec<u8>) {
        match self {
            Message::Fields(fields, extensions) => {
                let Some(map) = value.as_map() else { return };
                for (name, number, ty) in *fields {
                    if let Some(value) = map.get(name) {
                        ty.write(*number, value, out);
                    }
                }
                write_extensions(map, |key| fields.iter().any(|(name, ..)| *name == key), *extensions, out);
            }
            Message::Named(number, ty, named) => {
                let Some(map) = value.as_map() else { return };
                let is_extension = |key: &str| matches!(named, Named::AllBut(_)) && key.starts_with("x-");
                for (key, value) in map.iter().filter(|(key, _)| !is_extension(key)) {
                    write_named(*number, key, |out| ty.write(2, value, out), out);
                }
                if let Named::AllBut(extensions) = named {
                    write_extensions(map, |key| !is_extension(key), *extensions, out);
                }
            }
            Message::Wrapped(number, ty) => ty.write(*number, value, out),
            Message::Either(choices) => {
                if let Some((_, number, ty)) = choices.iter().find(|(test, ..)| test.holds(value)) {
                    ty.write(*number, value, out);
                }
            }
        }
    }
}

fn write_extensions(map: &Map, is_field: impl Fn(&str) -> bool, number: u32, out: &mut Vec<u8>) {
    if number == 0 {
        return;
    }
    for (key, value) in map.iter().filter(|(key, _)| !is_field(key)) {
        write_named(number, key, |out| Type::Any.write(2, value, out), out);
    }
}

fn write_named(number: u32, name: &str, value: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let mut named = Vec::new();
    bytes(1, name.as_bytes(), &mut named);
    value(&mut named);
    bytes(number, &named, out);
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Test::HasReference => value.get("$ref").is_some(),
            Test::In(place) => value.str_at(&["in"]) == *place,
            Test::IsFlag => value.as_bool().is_some(),
            Test::IsText => value.as_str().is_some(),
            Test::IsNumber => number(value).is_some(),
            Test::Always => true,
        }
    }
}

impl Type {
    fn write(self, at: u32, value: &Value, out: &mut Vec<u8>) {
        match self {
            Type::Text => bytes(at, value.as_str().unwrap_or_default().as_bytes(), out),
            Type::Texts => each(value, |text| bytes(at, text.as_str().unwrap_or_default().as_bytes(), out)),
            Type::Flag => scalar(at, u64::from(value.as_bool().unwrap_or(false)), out),
            Type::Integer => scalar(at, value.as_i64().unwrap_or(0).cast_unsigned(), out),
            Type::Number => {
                if let Some(number) = number(value) {
                    varint(u64::from(at) << 3 | 1, out);
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Type::Any => {
                let mut any = Vec::new();
                bytes(2, format!("{}\n", json::to_string(value)).as_bytes(), &mut any);
                bytes(at, &any, out);
            }
            Type::Anys => each(value, |value| Type::Any.write(at, value, out)),
            Type::One(message) => {
                let mut inner = Vec::new();
                message.write(value, &mut inner);
                bytes(at, &inner, out);
            }
            Type::Many(message) => each(value, |value| Type::One(message).write(at, value, out)),
        }
    }
}

fn each(value: &Value, write: impl FnMut(&Value)) {
    value.as_list().unwrap_or_default().iter().for_each(write);
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        // Limits of schemas are far below where doubles lose integers.
        #[expect(clippy::cast_precision_loss)]
        Value::Int(number) => Some(*number as f64),
        _ => None,
    }
}

fn bytes(at: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(at) << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A zero is not written.
fn scalar(at: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        varint(u64::from(at) << 3, out);
        varint(value, out);
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_at_their_numbers() {
        let document =
            br##"{"swagger":"2.0","info":{"title":"T"},"definitions":{"a":{"type":"object","x-y":[1]}}}"##;
        let mut want = vec![0x0a, 3];
        want.extend_from_slice(b"2.0");
        want.extend_from_slice(&[0x12, 3, 0x0a, 1, b'T']);
        // definitions (9) { 1: { name "a", value { type (22) { "object" }, extension (31) { "x-y", { yaml } } } } }
        let schema = b"\xb2\x01\x08\x0a\x06object\xfa\x01\x0d\x0a\x03x-y\x12\x06\x12\x04[1]\n";
        let length = u8::try_from(schema.len()).unwrap();
        want.extend_from_slice(&[0x4a, length + 7, 0x0a, length + 5, 0x0a, 1, b'a', 0x12, length]);
        want.extend_from_slice(schema);
        assert_eq!(v2(document), want);
    }

    #[test]
    fn references_are_told_from_schemas() {
        let document = br##"{"components":{"schemas":{"a":{"allOf":[{"$ref":"#/b"}],"default":false}}}}"##;
        let text = v3(document);
        // all_of (26) { reference (2) { ref (1) } }
        let wanted = b"\xd2\x01\x07\x12\x05\x0a\x03#/b";
        assert!(text.windows(wanted.len()).any(|window| window == wanted), "{text:02x?}");
    }
}
