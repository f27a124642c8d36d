//! Conversions between types: `int("1")`, `string(2.0)`, `timestamp("…")`.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use crate::time::{self, Time};
use std::sync::Arc;

pub const LIBRARY: Library = Library {
    functions: &["int", "uint", "double", "string", "bytes", "bool", "duration", "timestamp"],
    methods: &[],
    call,
};

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    let [value] = args else { return None };
    Some(match name {
        "int" => int(value)?,
        "uint" => uint(value)?,
        "double" => double(value)?,
        "string" => string(value)?,
        "bytes" => match value {
            Cel::Bytes(_) => Ok(value.clone()),
            Cel::Str(text) => Ok(Cel::Bytes(Arc::from(text.as_bytes()))),
            _ => return None,
        },
        "bool" => match value {
            Cel::Bool(_) => Ok(value.clone()),
            Cel::Str(text) => boolean(text),
            _ => return None,
        },
        "duration" => match value {
            Cel::Duration(_) => Ok(value.clone()),
            Cel::Str(text) => time::parse_duration(text).map(Cel::Duration).map_err(CelError::new),
            _ => return None,
        },
        _ => match value {
            Cel::Timestamp(_) => Ok(value.clone()),
            Cel::Str(text) => time::parse(text).map(Cel::Timestamp).map_err(CelError::new),
            Cel::Int(secs) => Ok(Cel::Timestamp(Time { secs: *secs, nanos: 0 })),
            _ => return None,
        },
    })
}

fn range(kind: &str) -> CelError {
    CelError::new(format!("{kind} overflow"))
}

/// What Go says of a text that is no number.
fn not_a_number(function: &str, text: &str) -> CelError {
    CelError::new(format!("strconv.{function}: parsing {}: invalid syntax", crate::quote(text)))
}

fn int<'a>(value: &Cel<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Cel::Int(_) => Ok(value.clone()),
        Cel::Uint(u) => i64::try_from(*u).map(Cel::Int).map_err(|_| range("integer")),
        Cel::Double(d) if *d > -9.223_372_036_854_775e18 && *d < 9.223_372_036_854_775e18 => {
            Ok(Cel::Int(*d as i64))
        }
        Cel::Double(_) => Err(range("integer")),
        Cel::Str(text) => text.parse().map(Cel::Int).map_err(|_| not_a_number("ParseInt", text)),
        Cel::Timestamp(time) => Ok(Cel::Int(time.secs)),
        Cel::Duration(nanos) => Ok(Cel::Int(*nanos)),
        _ => return None,
    })
}

fn uint<'a>(value: &Cel<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Cel::Uint(_) => Ok(value.clone()),
        Cel::Int(i) => u64::try_from(*i).map(Cel::Uint).map_err(|_| range("unsigned integer")),
        Cel::Double(d) if *d >= 0.0 && *d < 1.844_674_407_370_955e19 => Ok(Cel::Uint(*d as u64)),
        Cel::Double(_) => Err(range("unsigned integer")),
        Cel::Str(text) => text.parse().map(Cel::Uint).map_err(|_| not_a_number("ParseUint", text)),
        _ => return None,
    })
}

fn double<'a>(value: &Cel<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Cel::Double(_) => Ok(value.clone()),
        Cel::Int(i) => Ok(Cel::Double(*i as f64)),
        Cel::Uint(u) => Ok(Cel::Double(*u as f64)),
        Cel::Str(text) => text.parse().map(Cel::Double).map_err(|_| not_a_number("ParseFloat", text)),
        _ => return None,
    })
}

fn boolean<'a>(text: &str) -> Outcome<'a> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Cel::Bool(true)),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Cel::Bool(false)),
        _ => Err(not_a_number("ParseBool", text)),
    }
}

fn string<'a>(value: &Cel<'a>) -> Option<Outcome<'a>> {
    Some(Ok(Cel::text(match value {
        Cel::Str(_) => return Some(Ok(value.clone())),
        Cel::Bool(b) => b.to_string(),
        Cel::Int(i) => i.to_string(),
        Cel::Uint(u) => u.to_string(),
        Cel::Double(d) => super::format::double_text(*d),
        Cel::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Some(Err(CelError::new("invalid UTF-8 in bytes, cannot convert to string"))),
        },
        Cel::Timestamp(time) => timestamp_text(time),
        Cel::Duration(nanos) => duration_text(*nanos),
        Cel::Url(url) => url.text.clone(),
        Cel::Ip(ip) => ip.to_string(),
        Cel::Cidr(cidr) => cidr.to_string(),
        Cel::Quantity(quantity) => quantity.to_string(),
        Cel::Semver(version) => version.text.clone(),
        _ => return None,
    })))
}

/// RFC 3339 with as much of a fraction as there is.
pub fn timestamp_text(time: &Time) -> String {
    let whole = Time { secs: time.secs, nanos: 0 }.rfc3339();
    if time.nanos == 0 {
        return whole;
    }
    let fraction = format!("{:09}", time.nanos);
    format!("{}.{}Z", whole.trim_end_matches('Z'), fraction.trim_end_matches('0'))
}

/// `1.5s`: seconds with a fraction.
pub fn duration_text(nanos: i64) -> String {
    let (secs, rest) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let sign = if nanos < 0 { "-" } else { "" };
    match rest {
        0 => format!("{sign}{secs}s"),
        rest => format!("{sign}{secs}.{}s", format!("{rest:09}").trim_end_matches('0')),
    }
}
