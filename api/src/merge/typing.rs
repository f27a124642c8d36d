//! The schema as apply sees it: every place allows a scalar, a list, a map, or several of them; lists and maps are
//! merged item by item or as one value.

use super::element::PathElement;
use crate::schema::{Field, ListKind, Presence, Scalar, Shape, Type, TypeId};
use crate::{Schema, Str, Value, quote, schema};
use std::sync::LazyLock;

/// How the objects of a kind are typed.
#[derive(Clone, Copy, Debug)]
pub struct Typing<'s> {
    schema: &'s Schema,
    root: TypeRef<'s>,
}

/// The type of a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum TypeRef<'s> {
    Field {
        shape: &'s Shape,
        list: &'s ListKind,
        atomic: bool,
    },
    Struct(TypeId),
    /// Goes by the value: maps are merged, lists are not. Custom kinds without a schema, and free-form parts.
    Deduced,
    /// Anything, as one value (RawExtension).
    Untyped,
}

/// What a place allows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Atom<'s> {
    pub scalar: Option<ScalarKind>,
    pub list: Option<ListAtom<'s>>,
    pub map: Option<MapAtom<'s>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ScalarKind {
    Numeric,
    Str,
    Bool,
    Any,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ListAtom<'s> {
    pub kind: &'s ListKind,
    pub items: TypeRef<'s>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MapAtom<'s> {
    pub atomic: bool,
    pub ty: Option<&'s Type>,
    /// The type of keys that are not fields; none when there may be no others.
    pub others: Option<TypeRef<'s>>,
}

/// What a value is handled as.
pub(super) enum Form<'s> {
    Scalar(ScalarKind),
    List(ListAtom<'s>),
    Map(MapAtom<'s>),
}

static NO_TYPES: LazyLock<Schema> = LazyLock::new(Schema::new);
static ATOMIC: ListKind = ListKind::Atomic;

impl<'s> Typing<'s> {
    /// By a type of a schema.
    pub fn of(schema: &'s Schema, ty: TypeId) -> Self {
        Typing { schema, root: TypeRef::Struct(ty) }
    }

    /// By the values themselves, for custom kinds without a schema.
    pub fn deduced() -> Typing<'static> {
        Typing { schema: &NO_TYPES, root: TypeRef::Deduced }
    }

    /// An object of the type with nothing set: of built-in kinds, what is always there is there.
    pub(super) fn empty_object(&self) -> Value {
        let mut object = Value::map();
        if let (TypeRef::Struct(ty), true) = (self.root, self.is_builtin()) {
            let made = schema::normalise(self.schema, ty, &mut object);
            debug_assert!(made.is_ok(), "an empty object is an object of every type");
        }
        object
    }

    pub(super) fn is_builtin(&self) -> bool {
        std::ptr::eq(self.schema, schema::builtin())
    }

    pub(super) fn root(&self) -> TypeRef<'s> {
        self.root
    }

    pub(super) fn resolve(&self, at: TypeRef<'s>) -> Atom<'s> {
        match at {
            TypeRef::Deduced => by_value(false),
            TypeRef::Untyped => by_value(true),
            TypeRef::Struct(id) => self.struct_atom(id, false),
            TypeRef::Field { shape, list, atomic } => match shape {
                Shape::Any => by_value(atomic),
                Shape::StructOr(..) => by_value(false),
                Shape::Scalar(scalar) => Atom { scalar: Some(kind_of(*scalar)), ..Atom::default() },
                Shape::Struct(id) => self.struct_atom(*id, atomic),
                Shape::List(items) => {
                    let list = ListAtom { kind: list, items: nested(items) };
                    Atom { list: Some(list), ..Atom::default() }
                }
                Shape::Map(values) => {
                    let map = MapAtom { atomic, ty: None, others: Some(nested(values)) };
                    Atom { map: Some(map), ..Atom::default() }
                }
            },
        }
    }

    fn struct_atom(&self, id: TypeId, atomic: bool) -> Atom<'s> {
        let ty = self.schema.get(id);
        let open = ty.preserves_unknown || ty.fields.is_empty();
        let others = open.then_some(TypeRef::Deduced);
        Atom { map: Some(MapAtom { atomic: atomic || ty.atomic, ty: Some(ty), others }), ..Atom::default() }
    }

    /// The element that names an item of a list merged by item; the error says why there is none.
    pub(super) fn item_element(&self, list: &ListAtom<'s>, item: &Value) -> Result<PathElement, String> {
        let keys = match list.kind {
            ListKind::Atomic => return Err("invalid indexing of non-associative list".to_owned()),
            ListKind::Set => return set_element(item),
            ListKind::Map(keys) => keys,
        };
        let map = match item {
            Value::Map(map) => map,
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let mut found: Vec<(Str, Value)> = Vec::with_capacity(keys.len());
        for key in keys {
            let value = map.get(key).cloned().or_else(|| self.key_default(list, key));
            found.extend(value.map(|v| (key.clone(), v)));
        }
        if found.is_empty() && !keys.is_empty() {
            let keys: Vec<String> = keys.iter().map(|k| quote(k)).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
                 default values for any key fields)",
                keys.join(" ")
            ));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(PathElement::Key(found))
    }

    /// A missing key's default: the field's own, or the zero of a field that is always written.
    fn key_default(&self, list: &ListAtom<'s>, key: &str) -> Option<Value> {
        let field = self.resolve(list.items).map?.ty?.field(key)?;
        if field.default.is_some() || field.presence != Presence::Always {
            return field.default.clone();
        }
        match field.shape {
            Shape::Scalar(Scalar::Bool) => Some(Value::Bool(false)),
            Shape::Scalar(Scalar::Int32 | Scalar::Int64) => Some(Value::Int(0)),
            Shape::Scalar(Scalar::Str) => Some(Value::from("")),
            _ => None,
        }
    }
}

fn set_element(item: &Value) -> Result<PathElement, String> {
    match item {
        Value::Map(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::List(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        scalar => Ok(PathElement::Value(scalar.clone())),
    }
}

fn nested(shape: &Shape) -> TypeRef<'_> {
    TypeRef::Field { shape, list: &ATOMIC, atomic: false }
}

fn by_value<'s>(atomic: bool) -> Atom<'s> {
    let others = if atomic { TypeRef::Untyped } else { TypeRef::Deduced };
    Atom {
        scalar: Some(ScalarKind::Any),
        list: Some(ListAtom { kind: &ATOMIC, items: TypeRef::Untyped }),
        map: Some(MapAtom { atomic, ty: None, others: Some(others) }),
    }
}

fn kind_of(scalar: Scalar) -> ScalarKind {
    match scalar {
        Scalar::Str | Scalar::Bytes | Scalar::Duration => ScalarKind::Str,
        Scalar::Bool => ScalarKind::Bool,
        Scalar::Int32 | Scalar::Int64 | Scalar::Double => ScalarKind::Numeric,
        Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime => ScalarKind::Any,
    }
}

impl<'s> MapAtom<'s> {
    /// A declared field's type.
    pub(super) fn field(&self, name: &str) -> Option<TypeRef<'s>> {
        let ty = self.ty?;
        let Field { shape, list, atomic, .. } = ty.field(name)?;
        // Free-form fields of built-in types are RawExtension, one value each; JSON in schemas of custom kinds is not.
        let raw =
            *shape == Shape::Any && ty.name.starts_with("io.k8s.") && !ty.name.contains(".apiextensions.");
        Some(TypeRef::Field { shape, list, atomic: *atomic || raw })
    }

    /// A key's type, declared or not; none where it may not be.
    pub(super) fn value(&self, name: &str) -> Option<TypeRef<'s>> {
        self.field(name).or(self.others)
    }
}

impl ListAtom<'_> {
    pub(super) fn is_atomic(&self) -> bool {
        *self.kind == ListKind::Atomic
    }
}

impl<'s> Atom<'s> {
    /// Narrows to what the value is, when the place allows it; otherwise all stays, to be refused later.
    pub(super) fn deduce(self, value: Option<&Value>) -> Atom<'s> {
        match value {
            Some(Value::Map(_)) if self.map.is_some() => Atom { map: self.map, ..Atom::default() },
            Some(Value::List(_)) if self.list.is_some() => Atom { list: self.list, ..Atom::default() },
            Some(Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_))
                if self.scalar.is_some() =>
            {
                Atom { scalar: self.scalar, ..Atom::default() }
            }
            _ => self,
        }
    }

    /// Whether two deductions of the same atom allow the same.
    pub(super) fn allows_same(&self, other: &Atom<'_>) -> bool {
        self.map.is_some() == other.map.is_some()
            && self.list.is_some() == other.list.is_some()
            && self.scalar.is_some() == other.scalar.is_some()
    }

    /// What it is handled as: a map before a scalar before a list.
    pub(super) fn form(self) -> Form<'s> {
        match (self.map, self.scalar, self.list) {
            (Some(map), _, _) => Form::Map(map),
            (None, Some(scalar), _) => Form::Scalar(scalar),
            (None, None, Some(list)) => Form::List(list),
            (None, None, None) => Form::Scalar(ScalarKind::Any),
        }
    }
}
