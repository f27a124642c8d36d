//! The walk along the types: structs, lists, maps.

use super::fault::{Mismatch, Stop};
use super::scalar::kind_name;
use super::source::Source;
use super::zero::{assemble, zero_value};
use crate::json::Kind;
use crate::schema::{Field, Other, Scalar, Schema, Shape, Type, TypeId};
use crate::{Map, Str, Value, quote};
use std::fmt::Write;

/// More strict faults than this are not collected.
const MAX_STRICT_FAULTS: usize = 100;

/// State of one decoding.
pub struct Decoder<'s> {
    schema: &'s Schema,
    strict: bool,
    strict_faults: Vec<String>,
    /// Where we are, as strict faults say it: `spec.containers[0]`. Kept up only when strict.
    path: String,
    /// Where we are, as type errors say it: the innermost struct, and the fields from the root.
    owner: Option<&'s Type>,
    fields: Vec<&'s str>,
    /// The first error that does not stop decoding at once.
    saved: Option<Stop>,
}

impl<'s> Decoder<'s> {
    pub fn new(schema: &'s Schema, strict: bool) -> Self {
        Decoder {
            schema,
            strict,
            strict_faults: Vec::new(),
            path: String::new(),
            owner: None,
            fields: Vec::new(),
            saved: None,
        }
    }

    pub fn strict_faults(self) -> Vec<String> {
        self.strict_faults
    }

    /// The whole object; null gives the type's zero value.
    pub fn root<S: Source>(&mut self, source: &mut S, ty: TypeId) -> Result<Value, Stop> {
        let shape = Shape::Struct(ty);
        let value = self.value(source, &shape, "", None)?;
        match self.saved.take() {
            Some(stop) => Err(stop),
            None => Ok(value.unwrap_or_else(|| zero_value(self.schema, &shape))),
        }
    }

    /// Keeps an error for the end; only the first counts.
    pub fn note(&mut self, stop: Stop) {
        self.saved.get_or_insert(stop);
    }

    /// A type error that ends decoding at once, as those of types that decode themselves.
    pub fn stop(&self, value: String, go_type: &str) -> Stop {
        Stop::Mismatch(Mismatch {
            value,
            go_type: go_type.to_owned(),
            struct_name: self.struct_name(),
            field: self.fields.join("."),
        })
    }

    fn struct_name(&self) -> String {
        self.owner.map_or("", Type::short_name).to_owned()
    }

    /// Notes a type error.
    pub fn mismatch(&mut self, value: String, shape: &Shape, go_type: &str) {
        let stop = if go_type.is_empty() {
            self.stop(value, &go_type_of(self.schema, shape))
        } else {
            self.stop(value, go_type)
        };
        self.note(stop);
    }

    /// One value of a shape. `prior` is what an earlier key of the same name left. Nothing for null, and for
    /// values of a wrong type.
    fn value<S: Source>(
        &mut self,
        source: &mut S,
        shape: &Shape,
        go_type: &str,
        prior: Option<Value>,
    ) -> Result<Option<Value>, Stop> {
        let kind = source.kind()?;
        match (shape, kind) {
            (Shape::Struct(_), Kind::Null) => {
                source.skip()?;
                Ok(prior)
            }
            (_, Kind::Null) => {
                source.skip()?;
                Ok(None)
            }
            (Shape::Any, _) => source.any().map(Some),
            (Shape::Scalar(scalar), _) => Ok(self.scalar(source, *scalar, kind, go_type)?.or(prior)),
            (Shape::Struct(ty), Kind::Map) => self.structure(source, *ty, prior).map(Some),
            (Shape::Map(item), Kind::Map) => self.map(source, item, go_type, prior).map(Some),
            (Shape::List(item), Kind::List) => self.list(source, item, go_type, prior).map(Some),
            (Shape::StructOr(ty, other), _) => self.struct_or(source, *ty, *other, kind),
            _ => {
                self.mismatch(kind_name(kind).to_owned(), shape, go_type);
                source.skip()?;
                Ok(prior)
            }
        }
    }

    fn structure<S: Source>(
        &mut self,
        source: &mut S,
        ty: TypeId,
        prior: Option<Value>,
    ) -> Result<Value, Stop> {
        let schema = self.schema;
        let known = schema.get(ty);
        let mut slots: Vec<Option<Value>> = Vec::new();
        slots.resize_with(known.fields.len(), || None);
        if let Some(Value::Map(map)) = prior {
            for (key, value) in map {
                if let Some(slot) = known.by_name.get(&key).and_then(|i| slots.get_mut(usize::from(*i))) {
                    *slot = Some(value);
                }
            }
        }
        let mut seen = vec![false; if self.strict { slots.len() } else { 0 }];
        let outer = self.owner.replace(known);
        let mut next = 0;
        source.each_key(|source, key| {
            let at = place_of(known, key, next);
            next = at.map_or(next, |at| at + 1);
            let Some((field, slot)) = at.and_then(|i| known.fields.get(i).zip(slots.get_mut(i))) else {
                self.strict_fault("unknown", key);
                return source.skip();
            };
            if let Some(seen) = at.and_then(|i| seen.get_mut(i))
                && std::mem::replace(seen, true)
            {
                self.strict_fault("duplicate", key);
            }
            let prior = slot.take();
            *slot = self.field(source, field, prior)?;
            Ok(())
        })?;
        self.owner = outer;
        Ok(Value::Map(assemble(schema, ty, slots)))
    }

    fn field<S: Source>(
        &mut self,
        source: &mut S,
        field: &'s Field,
        prior: Option<Value>,
    ) -> Result<Option<Value>, Stop> {
        let (depth, path_len, owner) = (self.fields.len(), self.path.len(), self.owner);
        if !field.embedded.is_empty() {
            self.fields.push(&field.embedded);
        }
        self.fields.push(&field.name);
        self.push_key(&field.name);
        let value = self.value(source, &field.shape, &field.go_type, prior)?;
        self.fields.truncate(depth);
        self.path.truncate(path_len);
        self.owner = owner;
        Ok(value)
    }

    fn map<S: Source>(
        &mut self,
        source: &mut S,
        item: &Shape,
        go_type: &str,
        prior: Option<Value>,
    ) -> Result<Value, Stop> {
        let item_type = item_type(go_type);
        let mut pairs: Vec<(Str, Value)> = match prior {
            Some(Value::Map(map)) => map.into_iter().collect(),
            _ => Vec::new(),
        };
        let known = pairs.len();
        source.each_key(|source, key| {
            let fresh = pairs.get(known..).unwrap_or_default();
            if self.strict && fresh.iter().any(|(k, _)| k == key) {
                self.strict_fault("duplicate", key);
            }
            let path_len = self.path.len();
            self.push_key(key);
            let value = self.value(source, item, item_type, None)?;
            self.path.truncate(path_len);
            pairs.push((key.into(), value.unwrap_or_else(|| zero_value(self.schema, item))));
            Ok(())
        })?;
        let mut map = Map::from_pairs(pairs);
        map.sort();
        Ok(Value::Map(map))
    }

    fn list<S: Source>(
        &mut self,
        source: &mut S,
        item: &Shape,
        go_type: &str,
        prior: Option<Value>,
    ) -> Result<Value, Stop> {
        let item_type = item_type(go_type);
        let mut prior = match prior {
            Some(Value::List(items)) => items.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let mut items = Vec::new();
        source.each_item(|source, at| {
            let path_len = self.path.len();
            if self.strict {
                let _ = write!(self.path, "[{at}]");
            }
            let value = self.value(source, item, item_type, prior.next())?;
            self.path.truncate(path_len);
            items.push(value.unwrap_or_else(|| zero_value(self.schema, item)));
            Ok(())
        })?;
        Ok(Value::List(items))
    }

    /// These types decode themselves upstream: not strictly, and the first error inside ends all.
    fn struct_or<S: Source>(
        &mut self,
        source: &mut S,
        ty: TypeId,
        other: Other,
        kind: Kind,
    ) -> Result<Option<Value>, Stop> {
        let shape = match (other, kind) {
            (_, Kind::Map) => Shape::Struct(ty),
            (Other::Bool, Kind::Bool) => return Ok(Some(Value::Bool(source.bool()?))),
            (Other::Bool, _) => return Err(Stop::Text("boolean or JSON schema expected".to_owned())),
            (Other::List, Kind::List) => Shape::List(Box::new(Shape::Struct(ty))),
            (Other::StrList, Kind::List) => Shape::List(Box::new(Shape::Scalar(Scalar::Str))),
            _ => {
                source.skip()?;
                return Ok(Some(Value::Null));
            }
        };
        let mut inner = Decoder::new(self.schema, false);
        let value = inner.value(source, &shape, "", None);
        let stop = match (value, inner.saved.take()) {
            (Ok(value), None) => return Ok(value),
            (Err(stop), _) | (Ok(_), Some(stop)) => stop,
        };
        Err(match stop {
            Stop::Mismatch(inner) => {
                let mut fields = self.fields.clone();
                fields.extend((!inner.field.is_empty()).then_some(inner.field.as_str()));
                let (struct_name, field) = (self.struct_name(), fields.join("."));
                Stop::Mismatch(Mismatch { struct_name, field, ..inner })
            }
            other => other,
        })
    }

    fn push_key(&mut self, key: &str) {
        if self.strict {
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.push_str(key);
        }
    }

    fn strict_fault(&mut self, what: &str, key: &str) {
        if !self.strict || self.strict_faults.len() >= MAX_STRICT_FAULTS {
            return;
        }
        let dot = if self.path.is_empty() { "" } else { "." };
        let fault = format!("{what} field {}", quote(&format!("{}{dot}{key}", self.path)));
        if !self.strict_faults.contains(&fault) {
            self.strict_faults.push(fault);
        }
    }
}

/// Where a type has a field. Most bodies have their fields in the type's order, so that it is often just ahead.
fn place_of(known: &Type, key: &str, next: usize) -> Option<usize> {
    const AHEAD: usize = 6;
    let ahead = known.fields.iter().enumerate().skip(next).take(AHEAD);
    let near = ahead.filter(|(_, field)| field.name == key).map(|(at, _)| at).next();
    near.or_else(|| known.by_name.get(key).map(|i| usize::from(*i)))
}

/// `[]v1.X` → `v1.X`, `map[string]v1.X` → `v1.X`; "" when the type's name does not show it.
fn item_type(go_type: &str) -> &str {
    match go_type.strip_prefix("[]") {
        Some(item) => item,
        None => go_type.strip_prefix("map[").and_then(|t| t.split_once(']')).map_or("", |(_, item)| item),
    }
}

/// How Go's reflection prints the type of a shape that has no name of its own.
fn go_type_of(schema: &Schema, shape: &Shape) -> String {
    match shape {
        Shape::Any => "runtime.RawExtension".to_owned(),
        Shape::Struct(ty) | Shape::StructOr(ty, _) => schema.get(*ty).go_name().to_owned(),
        Shape::List(item) => format!("[]{}", go_type_of(schema, item)),
        Shape::Map(item) => format!("map[string]{}", go_type_of(schema, item)),
        Shape::Scalar(scalar) => match scalar {
            Scalar::Str => "string",
            Scalar::Bool => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Double => "float64",
            Scalar::Bytes => "[]uint8",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
            Scalar::Duration => "v1.Duration",
        }
        .to_owned(),
    }
}
