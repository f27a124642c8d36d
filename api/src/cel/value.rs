//! Values of expressions: scalars, what was built, and borrowed parts of trees.

use super::CelError;
use super::authorizer::Asking;
use super::functions::{cidr::Cidr, semver::Semver, url::Url};
use crate::time::Time;
use crate::{Quantity, Str, Value};
use std::net::IpAddr;
use std::sync::Arc;

/// One value. Lists and maps of trees stay where they are.
#[derive(Clone, Debug)]
pub enum Cel<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Str),
    Bytes(Arc<[u8]>),
    List(Arc<Vec<Cel<'a>>>),
    Map(Arc<Vec<(Cel<'a>, Cel<'a>)>>),
    /// A list or a map of a tree.
    Tree(&'a Value),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Time),
    Optional(Option<Arc<Cel<'a>>>),
    /// The name of a type.
    Type(Str),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(Cidr),
    Quantity(Arc<Quantity>),
    Semver(Arc<Semver>),
    /// The name of a format of names: `dns1123Label`.
    Format(&'static str),
    Asking(Arc<Asking>),
}

impl<'a> From<&'a Value> for Cel<'a> {
    fn from(tree: &'a Value) -> Self {
        match tree {
            Value::Null => Cel::Null,
            Value::Bool(b) => Cel::Bool(*b),
            Value::Int(i) => Cel::Int(*i),
            Value::Float(f) => Cel::Double(*f),
            Value::Str(s) => Cel::Str(s.clone()),
            Value::List(_) | Value::Map(_) => Cel::Tree(tree),
        }
    }
}

impl<'a> Cel<'a> {
    pub fn text(text: impl Into<Str>) -> Self {
        Cel::Str(text.into())
    }

    pub fn list(items: Vec<Cel<'a>>) -> Self {
        Cel::List(Arc::new(items))
    }

    pub fn some(value: Cel<'a>) -> Self {
        Cel::Optional(Some(Arc::new(value)))
    }

    pub fn size_of(count: usize) -> Self {
        Cel::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// As `type(x)` prints it.
    pub fn type_name(&self) -> &str {
        match self {
            Cel::Null => "null_type",
            Cel::Bool(_) => "bool",
            Cel::Int(_) => "int",
            Cel::Uint(_) => "uint",
            Cel::Double(_) => "double",
            Cel::Str(_) => "string",
            Cel::Bytes(_) => "bytes",
            Cel::List(_) | Cel::Tree(Value::List(_)) => "list",
            Cel::Map(_) | Cel::Tree(_) => "map",
            Cel::Duration(_) => "google.protobuf.Duration",
            Cel::Timestamp(_) => "google.protobuf.Timestamp",
            Cel::Optional(_) => "optional_type",
            Cel::Type(_) => "type",
            Cel::Url(_) => "kubernetes.URL",
            Cel::Ip(_) => "net.IP",
            Cel::Cidr(_) => "net.CIDR",
            Cel::Quantity(_) => "kubernetes.Quantity",
            Cel::Semver(_) => "kubernetes.Semver",
            Cel::Format(_) => "kubernetes.NamedFormat",
            Cel::Asking(asking) => asking.type_name(),
        }
    }

    /// The items of a list; `None` for anything else.
    pub fn items(&self) -> Option<Vec<Cel<'a>>> {
        match self {
            Cel::List(items) => Some(items.to_vec()),
            Cel::Tree(Value::List(items)) => Some(items.iter().map(Cel::from).collect()),
            _ => None,
        }
    }

    /// The entries of a map; `None` for anything else.
    pub fn entries(&self) -> Option<Vec<(Cel<'a>, Cel<'a>)>> {
        match self {
            Cel::Map(entries) => Some(entries.to_vec()),
            Cel::Tree(Value::Map(map)) => {
                Some(map.iter().map(|(k, v)| (Cel::Str(k.clone()), Cel::from(v))).collect())
            }
            _ => None,
        }
    }

    /// The value at a field or key; `None` when it is not there or this is no map.
    pub fn field(&self, key: &str) -> Option<Cel<'a>> {
        match self {
            Cel::Tree(tree) => tree.get(key).map(Cel::from),
            Cel::Map(entries) => {
                let is_it = |k: &Cel<'_>| matches!(k, Cel::Str(s) if s.as_str() == key);
                entries.iter().find(|(k, _)| is_it(k)).map(|(_, v)| v.clone())
            }
            _ => None,
        }
    }

    pub fn is_map(&self) -> bool {
        matches!(self, Cel::Map(_) | Cel::Tree(Value::Map(_)))
    }

    /// What CEL calls a zero value: what `optional.ofNonZeroValue` leaves out.
    pub fn is_zero(&self) -> bool {
        match self {
            Cel::Null => true,
            Cel::Bool(b) => !b,
            Cel::Int(i) => *i == 0,
            Cel::Uint(u) => *u == 0,
            Cel::Double(d) => *d == 0.0,
            Cel::Str(s) => s.is_empty(),
            Cel::Bytes(b) => b.is_empty(),
            Cel::List(l) => l.is_empty(),
            Cel::Map(m) => m.is_empty(),
            Cel::Tree(tree) => tree.is_empty(),
            Cel::Duration(d) => *d == 0,
            Cel::Optional(o) => o.is_none(),
            _ => false,
        }
    }

    /// As a tree; an error for what has no form as one.
    pub fn into_tree(self) -> Result<Value, CelError> {
        Ok(match self {
            Cel::Null => Value::Null,
            Cel::Bool(b) => Value::Bool(b),
            Cel::Int(i) => Value::Int(i),
            Cel::Uint(u) => i64::try_from(u).map_or(Value::Float(u as f64), Value::Int),
            Cel::Double(d) => Value::Float(d),
            Cel::Str(s) => Value::Str(s),
            Cel::Tree(tree) => tree.clone(),
            Cel::List(items) => {
                Value::List(items.iter().map(|i| i.clone().into_tree()).collect::<Result<_, _>>()?)
            }
            Cel::Map(entries) => {
                let entry = |(k, v): &(Cel<'a>, Cel<'a>)| Ok((k.clone().key_text()?, v.clone().into_tree()?));
                Value::Map(entries.iter().map(entry).collect::<Result<_, CelError>>()?)
            }
            Cel::Bytes(bytes) => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(&bytes).into()
            }
            Cel::Timestamp(time) => time.rfc3339().into(),
            Cel::Duration(nanos) => super::functions::conversions::duration_text(nanos).into(),
            Cel::Optional(Some(value)) => (*value).clone().into_tree()?,
            other => return Err(CelError::new(format!("unsupported value of type {}", other.type_name()))),
        })
    }

    fn key_text(self) -> Result<Str, CelError> {
        match self {
            Cel::Str(s) => Ok(s),
            Cel::Int(i) => Ok(i.to_string().into()),
            Cel::Uint(u) => Ok(u.to_string().into()),
            Cel::Bool(b) => Ok(if b { "true" } else { "false" }.into()),
            other => Err(CelError::new(format!("unsupported key type: {}", other.type_name()))),
        }
    }
}
