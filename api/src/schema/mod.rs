//! The schema table: per type its fields, and per field everything the server needs to know of it.
//!
//! One description drives strict decoding, defaults, both codecs, strategic merge, server-side apply,
//! `explain` and OpenAPI. Built-in types come from the generated table (`builtin()`); each version of a custom
//! kind brings a `Schema` of its own, built from its CustomResourceDefinition.

mod builtin;
mod decode;

pub use builtin::{builtin, builtin_type, gvk_types, of_table};
pub use decode::{
    DecodeError, Decoded, Mismatch, decode, decode_json, forget_empty, normalise, set_type_meta, zero_value,
};
pub(crate) use decode::{assemble, time_value};

use crate::{Str, Value};
use std::collections::HashMap;

/// A set of types that refer to each other by `TypeId`.
#[derive(Debug, Default)]
pub struct Schema {
    types: Vec<Type>,
    by_name: HashMap<Str, TypeId>,
}

/// The place of a type in its `Schema`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(u32);

/// A struct: a map with known fields.
#[derive(Debug, Default)]
pub struct Type {
    /// OpenAPI v2 definition name (`io.k8s.api.core.v1.PodSpec`); for custom kinds any unique name.
    pub name: Str,
    /// Fields as JSON shows them, in upstream's order of writing; protobuf-nested (inlined) structs are flattened.
    pub fields: Vec<Field>,
    /// JSON name → place in `fields`.
    pub by_name: HashMap<Str, u16>,
    /// The places of fields that have a protobuf form, in the order of their numbers.
    pub by_number: Vec<u16>,
    /// Merged as one value by server-side apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Keeps fields it does not know.
    pub preserves_unknown: bool,
}

/// One field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: Str,
    pub shape: Shape,
    /// Protobuf field numbers from the outside in: `[5]`, or `[2, 5]` for a field of a struct that JSON inlines
    /// and protobuf nests. Empty when the field has no protobuf form.
    pub proto: Vec<u32>,
    /// The list is a message of its own in protobuf (`Verbs`); the last of the numbers is that message's.
    pub wrapped: bool,
    /// The embedded Go structs this field comes from (`VolumeSource`), "" when none; type errors name them.
    pub embedded: Str,
    /// The Go type where it has a name of its own (`v1.Protocol`), else ""; type errors name it.
    pub go_type: Str,
    pub presence: Presence,
    pub required: bool,
    /// How apply merges a list (also of set-like scalars); `Atomic` where unsaid.
    pub list: ListKind,
    /// Apply replaces this map or struct as one value.
    pub atomic: bool,
    /// Strategic merge: `patchStrategy` contains `merge`.
    pub patch_merge: bool,
    /// Strategic merge: `patchStrategy` contains `retainKeys`.
    pub patch_retain_keys: bool,
    /// Strategic merge: `patchMergeKey`, "" when none.
    pub patch_merge_key: Str,
    pub default: Option<Value>,
    pub enum_values: Vec<Str>,
}

/// What values a field, list item or map value may have.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Any JSON value, kept as it came (RawExtension, JSON, FieldsV1, unknown parts of custom objects).
    Any,
    Scalar(Scalar),
    Struct(TypeId),
    /// A struct, or another form in its place (the schemas inside a CustomResourceDefinition).
    StructOr(TypeId, Other),
    List(Box<Shape>),
    /// String keys; written in sorted order.
    Map(Box<Shape>),
}

/// What may stand in a struct's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A boolean.
    Bool,
    /// A list of such structs.
    List,
    /// A list of strings.
    StrList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Str,
    Bool,
    Int32,
    Int64,
    Double,
    /// base64 in JSON.
    Bytes,
    /// `resource.Quantity`: a string on the wire, number accepted, canonicalised.
    Quantity,
    /// A 32-bit integer or a string.
    IntOrString,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// Go's duration text (`1m0s`).
    Duration,
}

/// Whether a field is written when it holds nothing: Go's struct tags and pointers, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A value with `omitempty`: zero values are left out (a nested struct is always written, as `{}`).
    OmitEmpty,
    /// A value with `omitzero`: left out when zero, structs as well.
    OmitZero,
    /// A pointer with `omitempty`: written when present, zero or not.
    Pointer,
    /// A value without `omitempty`: always written (`""`, `0`, `false`, `{}`; `null` for nil lists and maps).
    Always,
    /// A pointer without `omitempty`: `null` when absent.
    AlwaysPointer,
}

/// `x-kubernetes-list-type` with its keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    Map(Vec<Str>),
}

impl Schema {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type whose fields may refer to types declared already; its indexes are made here.
    pub fn add(&mut self, ty: Type) -> TypeId {
        let id = self.declare(&ty.name);
        self.define(id, ty);
        id
    }

    /// Reserves a place for a type that is defined later, so that types can refer to each other in circles.
    pub fn declare(&mut self, name: &str) -> TypeId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = TypeId(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        self.types.push(Type { name: name.into(), ..Type::default() });
        self.by_name.insert(name.into(), id);
        id
    }

    pub fn define(&mut self, id: TypeId, mut ty: Type) {
        let places = || (0_u16..).zip(&ty.fields);
        let by_name = places().map(|(i, f)| (f.name.clone(), i)).collect();
        let mut numbered: Vec<(&[u32], u16)> =
            places().filter(|(_, f)| !f.proto.is_empty()).map(|(i, f)| (f.proto.as_slice(), i)).collect();
        numbered.sort_unstable();
        let mut by_number: Vec<u16> = numbered.into_iter().map(|(_, i)| i).collect();
        by_number.shrink_to_fit();
        (ty.by_name, ty.by_number) = (by_name, by_number);
        ty.fields.shrink_to_fit();
        self.types[id.0 as usize] = ty;
    }

    /// Gives back the room that was kept for more types.
    fn shrink(&mut self) {
        self.types.shrink_to_fit();
        self.by_name.shrink_to_fit();
    }

    /// The type at an id that this schema gave out.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// By OpenAPI definition name.
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    pub fn types(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, t)| (TypeId(u32::try_from(i).unwrap_or(u32::MAX)), t))
    }
}

impl Type {
    /// The name as Go's errors print it: `v1.PodSpec`.
    pub fn go_name(&self) -> &str {
        let dots = self.name.rmatch_indices('.').nth(1);
        dots.and_then(|(at, _)| self.name.get(at + 1..)).unwrap_or(&self.name)
    }

    /// The last part of the name: `PodSpec`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).and_then(|i| self.fields.get(usize::from(*i)))
    }
}

impl Field {
    /// A plain optional field of a shape, for schemas built by hand or from a CustomResourceDefinition.
    pub fn new(name: impl Into<Str>, shape: Shape) -> Self {
        Field {
            name: name.into(),
            shape,
            proto: Vec::new(),
            wrapped: false,
            embedded: Str::default(),
            go_type: Str::default(),
            presence: Presence::Pointer,
            required: false,
            list: ListKind::Atomic,
            atomic: false,
            patch_merge: false,
            patch_retain_keys: false,
            patch_merge_key: Str::default(),
            default: None,
            enum_values: Vec::new(),
        }
    }
}
