//! Operators: equality across kinds of numbers, order, arithmetic without overflow, look-up.

use super::eval::Outcome;
use super::{Cel, CelError};
use crate::Value;
use crate::time::Time;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

const NANOS: i64 = 1_000_000_000;

pub fn is_operator(name: &str) -> bool {
    name.contains('_') && !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name == "@in"
}

/// An operator on its sides; `None` when there is no such operator on these.
pub fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(match (name, args) {
        ("_==_", [a, b]) => Ok(Cel::Bool(equal(a, b))),
        ("_!=_", [a, b]) => Ok(Cel::Bool(!equal(a, b))),
        ("_<_", [a, b]) => compare(a, b).map(|o| Cel::Bool(o.is_lt())),
        ("_<=_", [a, b]) => compare(a, b).map(|o| Cel::Bool(o.is_le())),
        ("_>_", [a, b]) => compare(a, b).map(|o| Cel::Bool(o.is_gt())),
        ("_>=_", [a, b]) => compare(a, b).map(|o| Cel::Bool(o.is_ge())),
        ("!_", [Cel::Bool(b)]) => Ok(Cel::Bool(!b)),
        ("-_", [Cel::Int(i)]) => i.checked_neg().map(Cel::Int).ok_or_else(overflow),
        ("-_", [Cel::Double(d)]) => Ok(Cel::Double(-d)),
        ("-_", [Cel::Duration(d)]) => d.checked_neg().map(Cel::Duration).ok_or_else(duration_overflow),
        ("@in", [item, range]) => return contains(item, range),
        ("_[_]", [Cel::Optional(inner), key]) => optional_index(inner.as_deref(), key),
        ("_[_]", [of, key]) => index(of, key),
        ("_[?_]", [Cel::Optional(inner), key]) => optional_index(inner.as_deref(), key),
        ("_[?_]", [of, key]) => optional_index(Some(of), key),
        (_, [a, b]) => return arithmetic(name, a, b),
        _ => return None,
    })
}

fn overflow() -> CelError {
    CelError::new("integer overflow")
}

fn duration_overflow() -> CelError {
    CelError::new("duration overflow")
}

/// Equality of any two values; different types are unequal, numbers are compared by value.
pub fn equal(a: &Cel<'_>, b: &Cel<'_>) -> bool {
    match (a, b) {
        (Cel::Null, Cel::Null) => true,
        (Cel::Bool(a), Cel::Bool(b)) => a == b,
        (Cel::Str(a), Cel::Str(b)) | (Cel::Type(a), Cel::Type(b)) => a == b,
        (Cel::Bytes(a), Cel::Bytes(b)) => a == b,
        (Cel::Duration(a), Cel::Duration(b)) => a == b,
        (Cel::Timestamp(a), Cel::Timestamp(b)) => a == b,
        (Cel::Tree(a), Cel::Tree(b)) if std::ptr::eq(*a, *b) => true,
        (Cel::Optional(a), Cel::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b),
            (a, b) => a.is_none() && b.is_none(),
        },
        (Cel::Url(a), Cel::Url(b)) => a == b,
        (Cel::Ip(a), Cel::Ip(b)) => a == b,
        (Cel::Cidr(a), Cel::Cidr(b)) => a == b,
        (Cel::Quantity(a), Cel::Quantity(b)) => a.cmp(b).is_eq(),
        (Cel::Semver(a), Cel::Semver(b)) => a == b,
        (Cel::Format(a), Cel::Format(b)) => a == b,
        _ => numbers(a, b).is_some_and(|o| o == Some(Ordering::Equal)) || equal_parts(a, b),
    }
}

fn equal_parts(a: &Cel<'_>, b: &Cel<'_>) -> bool {
    if let (Some(a), Some(b)) = (a.items(), b.items()) {
        return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| equal(a, b));
    }
    match (a.entries(), b.entries()) {
        (Some(a), Some(b)) => a.len() == b.len() && same_entries(&a, &b),
        _ => false,
    }
}

/// What equal keys have in common, to find them by.
#[derive(PartialEq, Eq, Hash)]
enum Hint<'k> {
    Text(&'k str),
    /// The bits of a number as a float.
    Number(u64),
    Other,
}

impl<'k> Hint<'k> {
    fn of(key: &'k Cel<'_>) -> Self {
        let bits = |number: f64| Hint::Number((number + 0.0).to_bits());
        match key {
            Cel::Str(text) => Hint::Text(text),
            Cel::Int(i) => bits(*i as f64),
            Cel::Uint(u) => bits(*u as f64),
            Cel::Double(d) => bits(*d),
            _ => Hint::Other,
        }
    }
}

fn same_entries<'k>(a: &'k [(Cel<'_>, Cel<'_>)], b: &'k [(Cel<'_>, Cel<'_>)]) -> bool {
    let mut by_key: HashMap<Hint<'k>, Vec<&(Cel<'_>, Cel<'_>)>> = HashMap::with_capacity(b.len());
    for entry in b {
        by_key.entry(Hint::of(&entry.0)).or_default().push(entry);
    }
    a.iter().all(|(key, value)| {
        let alike = by_key.get(&Hint::of(key)).map_or(&[][..], Vec::as_slice);
        alike.iter().any(|(k, v)| equal(k, key) && equal(v, value))
    })
}

/// The order of two numbers; the inner `None` for NaN, the outer one when they are not both numbers.
fn numbers(a: &Cel<'_>, b: &Cel<'_>) -> Option<Option<Ordering>> {
    Some(match (a, b) {
        (Cel::Int(a), Cel::Int(b)) => Some(a.cmp(b)),
        (Cel::Uint(a), Cel::Uint(b)) => Some(a.cmp(b)),
        (Cel::Double(a), Cel::Double(b)) => a.partial_cmp(b),
        (Cel::Int(a), Cel::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Cel::Uint(a), Cel::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Cel::Int(a), Cel::Double(b)) => whole(i128::from(*a), *b),
        (Cel::Double(a), Cel::Int(b)) => whole(i128::from(*b), *a).map(Ordering::reverse),
        (Cel::Uint(a), Cel::Double(b)) => whole(i128::from(*a), *b),
        (Cel::Double(a), Cel::Uint(b)) => whole(i128::from(*b), *a).map(Ordering::reverse),
        _ => return None,
    })
}

/// A whole number beside a float, exactly: floats beyond 128 bits saturate.
fn whole(a: i128, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    let floor = b.floor();
    Some(a.cmp(&(floor as i128)).then(if b > floor { Ordering::Less } else { Ordering::Equal }))
}

/// The order of two values that have one.
pub fn compare(a: &Cel<'_>, b: &Cel<'_>) -> Result<Ordering, CelError> {
    if let Some(order) = numbers(a, b) {
        return order.ok_or_else(|| CelError::new("NaN values cannot be ordered"));
    }
    Ok(match (a, b) {
        (Cel::Bool(a), Cel::Bool(b)) => a.cmp(b),
        (Cel::Str(a), Cel::Str(b)) => a.cmp(b),
        (Cel::Bytes(a), Cel::Bytes(b)) => a.cmp(b),
        (Cel::Duration(a), Cel::Duration(b)) => a.cmp(b),
        (Cel::Timestamp(a), Cel::Timestamp(b)) => (a.secs, a.nanos).cmp(&(b.secs, b.nanos)),
        _ => return Err(CelError::overload()),
    })
}

fn contains<'a>(item: &Cel<'a>, range: &Cel<'a>) -> Option<Outcome<'a>> {
    if let (Cel::Tree(Value::Map(map)), Cel::Str(key)) = (range, item) {
        return Some(Ok(Cel::Bool(map.contains_key(key))));
    }
    if let Some(items) = range.items() {
        return Some(Ok(Cel::Bool(items.iter().any(|i| equal(i, item)))));
    }
    let entries = range.entries()?;
    Some(Ok(Cel::Bool(entries.iter().any(|(key, _)| equal(key, item)))))
}

/// The place that a number names in a list.
fn place(key: &Cel<'_>) -> Option<i64> {
    match key {
        Cel::Int(i) => Some(*i),
        Cel::Uint(u) => i64::try_from(*u).ok(),
        Cel::Double(d) if d.fract() == 0.0 && d.abs() < 9e15 => Some(*d as i64),
        _ => None,
    }
}

fn look_up<'a>(of: &Cel<'a>, key: &Cel<'a>) -> Result<Option<Cel<'a>>, CelError> {
    if of.is_map() {
        return Ok(match key {
            Cel::Str(key) => of.field(key),
            key => of.entries().unwrap_or_default().into_iter().find(|(k, _)| equal(k, key)).map(|(_, v)| v),
        });
    }
    let at = |len: usize| place(key).map(|i| usize::try_from(i).ok().filter(|i| *i < len));
    match of {
        Cel::List(items) => match at(items.len()) {
            Some(at) => Ok(at.and_then(|i| items.get(i)).cloned()),
            None => Err(CelError::new(format!("unsupported index type '{}' in list", key.type_name()))),
        },
        Cel::Tree(Value::List(items)) => match at(items.len()) {
            Some(at) => Ok(at.and_then(|i| items.get(i)).map(Cel::from)),
            None => Err(CelError::new(format!("unsupported index type '{}' in list", key.type_name()))),
        },
        _ => Err(CelError::overload()),
    }
}

fn index<'a>(of: &Cel<'a>, key: &Cel<'a>) -> Outcome<'a> {
    let text = || super::functions::format::text_of(key);
    look_up(of, key)?.ok_or_else(|| match of.is_map() {
        true => CelError::new(format!("no such key: {}", text())),
        false => CelError::new(format!("index out of bounds: {}", text())),
    })
}

fn optional_index<'a>(of: Option<&Cel<'a>>, key: &Cel<'a>) -> Outcome<'a> {
    let Some(of) = of else { return Ok(Cel::Optional(None)) };
    Ok(Cel::Optional(look_up(of, key)?.map(Arc::new)))
}

fn arithmetic<'a>(name: &str, a: &Cel<'a>, b: &Cel<'a>) -> Option<Outcome<'a>> {
    Some(match (a, b) {
        (Cel::Int(a), Cel::Int(b)) => whole_numbers(name, *a, *b)?,
        (Cel::Uint(a), Cel::Uint(b)) => unsigned(name, *a, *b)?,
        (Cel::Double(a), Cel::Double(b)) => Ok(Cel::Double(match name {
            "_+_" => a + b,
            "_-_" => a - b,
            "_*_" => a * b,
            "_/_" => a / b,
            _ => return None,
        })),
        _ => return join(name, a, b).or_else(|| moments(name, a, b)),
    })
}

fn whole_numbers<'a>(name: &str, a: i64, b: i64) -> Option<Outcome<'a>> {
    let result = match name {
        "_+_" => a.checked_add(b),
        "_-_" => a.checked_sub(b),
        "_*_" => a.checked_mul(b),
        "_/_" if b == 0 => return Some(Err(CelError::new("division by zero"))),
        "_/_" => a.checked_div(b),
        "_%_" if b == 0 => return Some(Err(CelError::new("modulus by zero"))),
        "_%_" => a.checked_rem(b),
        _ => return None,
    };
    Some(result.map(Cel::Int).ok_or_else(overflow))
}

fn unsigned<'a>(name: &str, a: u64, b: u64) -> Option<Outcome<'a>> {
    let result = match name {
        "_+_" => a.checked_add(b),
        "_-_" => a.checked_sub(b),
        "_*_" => a.checked_mul(b),
        "_/_" if b == 0 => return Some(Err(CelError::new("division by zero"))),
        "_/_" => a.checked_div(b),
        "_%_" if b == 0 => return Some(Err(CelError::new("modulus by zero"))),
        "_%_" => a.checked_rem(b),
        _ => return None,
    };
    Some(result.map(Cel::Uint).ok_or_else(|| CelError::new("unsigned integer overflow")))
}

/// Texts, bytes and lists one after the other.
fn join<'a>(name: &str, a: &Cel<'a>, b: &Cel<'a>) -> Option<Outcome<'a>> {
    if name != "_+_" {
        return None;
    }
    Some(Ok(match (a, b) {
        (Cel::Str(a), Cel::Str(b)) => Cel::text(format!("{a}{b}")),
        (Cel::Bytes(a), Cel::Bytes(b)) => Cel::Bytes(a.iter().chain(b.iter()).copied().collect()),
        _ => {
            let (mut all, more) = (a.items()?, b.items()?);
            all.extend(more);
            Cel::list(all)
        }
    }))
}

/// Arithmetic of points in time and durations.
fn moments<'a>(name: &str, a: &Cel<'a>, b: &Cel<'a>) -> Option<Outcome<'a>> {
    let plus = |time: &Time, nanos: i64| {
        let sum = i64::from(time.nanos) + nanos.rem_euclid(NANOS);
        let secs = time.secs.checked_add(nanos.div_euclid(NANOS) + sum.div_euclid(NANOS));
        let nanos = u32::try_from(sum.rem_euclid(NANOS)).unwrap_or(0);
        secs.map(|secs| Cel::Timestamp(Time { secs, nanos }))
            .ok_or_else(|| CelError::new("timestamp overflow"))
    };
    Some(match (name, a, b) {
        ("_+_", Cel::Duration(a), Cel::Duration(b)) => {
            a.checked_add(*b).map(Cel::Duration).ok_or_else(duration_overflow)
        }
        ("_-_", Cel::Duration(a), Cel::Duration(b)) => {
            a.checked_sub(*b).map(Cel::Duration).ok_or_else(duration_overflow)
        }
        ("_+_", Cel::Timestamp(t), Cel::Duration(d)) | ("_+_", Cel::Duration(d), Cel::Timestamp(t)) => {
            plus(t, *d)
        }
        ("_-_", Cel::Timestamp(t), Cel::Duration(d)) => plus(t, d.checked_neg()?),
        ("_-_", Cel::Timestamp(a), Cel::Timestamp(b)) => {
            let secs = a.secs.checked_sub(b.secs).and_then(|s| s.checked_mul(NANOS));
            let nanos = secs.and_then(|s| s.checked_add(i64::from(a.nanos) - i64::from(b.nanos)));
            nanos.map(Cel::Duration).ok_or_else(duration_overflow)
        }
        _ => return None,
    })
}
