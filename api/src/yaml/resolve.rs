//! What a plain scalar means, by YAML 1.1 as the Go library reads it.

use crate::json::float_text;

/// The meaning of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// Kept as text, but quoted when written.
    Timestamp,
    /// `<<`.
    Merge,
    Str,
}

impl Meaning {
    /// The tag's short form, as refusals name it.
    pub fn tag(self) -> &'static str {
        match self {
            Meaning::Null => "!!null",
            Meaning::Bool(_) => "!!bool",
            Meaning::Int(_) | Meaning::Uint(_) => "!!int",
            Meaning::Float(_) => "!!float",
            Meaning::Timestamp => "!!timestamp",
            Meaning::Merge => "!!merge",
            Meaning::Str => "!!str",
        }
    }
}

pub fn resolve(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        "<<" => return Meaning::Merge,
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text).map_or(Meaning::Str, Meaning::Float),
        Some(b'+' | b'-' | b'0'..=b'9') => number(text),
        _ => Meaning::Str,
    }
}

fn number(text: &str) -> Meaning {
    if is_timestamp(text) {
        return Meaning::Timestamp;
    }
    let plain = text.replace('_', "");
    let negative = plain.starts_with('-');
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    if let Some(size) = integer(unsigned) {
        if let Ok(int) = i64::try_from(if negative { -i128::from(size) } else { i128::from(size) }) {
            return Meaning::Int(int);
        }
        if !plain.starts_with(['-', '+']) {
            return Meaning::Uint(size);
        }
    }
    float(&plain).map_or(Meaning::Str, Meaning::Float)
}

/// Digits with Go's prefixes: `0x`, `0o`, `0b`, and `0` for octal.
fn integer(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    let digits_only = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    if digits_only { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// A number with an optional fraction and exponent; too big ones are text.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let fits =
        digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits;
    if fits { text.parse().ok().filter(|f: &f64| f.is_finite()) } else { None }
}

/// `2001-12-14`, `2001-12-14 21:59:43.10`, `2001-12-14t21:59:43.10-05:00`: fields may have one digit.
pub fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) || !in_range(month, 1, 12) {
        return false;
    }
    let (day, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let padded = format!("{year}-{month:0>2}-{day:0>2}T00:00:00Z");
    if day.is_empty() || day.len() > 2 || crate::time::parse(&padded).is_err() {
        return false;
    }
    match rest.chars().next() {
        None => true,
        Some(' ') => clock(&rest[1..]).is_some_and(str::is_empty),
        Some('T' | 't') => clock(&rest[1..]).is_some_and(is_zone),
        _ => false,
    }
}

fn in_range(digits: &str, least: u32, most: u32) -> bool {
    let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain && digits.parse().is_ok_and(|n: u32| (least..=most).contains(&n))
}

/// Hours, minutes, seconds and a fraction; gives what is left.
fn clock(text: &str) -> Option<&str> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, rest) = rest.split_once(':')?;
    let (seconds, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    if !in_range(hours, 0, 23) || !in_range(minutes, 0, 59) || !in_range(seconds, 0, 59) {
        return None;
    }
    match rest.strip_prefix('.') {
        Some(fraction) => Some(fraction.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => Some(rest),
    }
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

/// `1:20`, `190:20:30.15`: base 60, which is never read but quoted when written.
pub fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let digits_or_lines = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !digits_or_lines(first) {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().chain([&last]).all(|part| in_range(part, 0, 59)) && digits_or_lines(fraction)
}

/// A float as Go's `%g` prints it with as few digits as tell it apart.
pub fn go_float(float: f64) -> String {
    exponent_form(&format!("{float:e}"), &format!("{float}"))
}

/// Like `go_float`, with the precision of 32 bits.
#[allow(clippy::cast_possible_truncation)]
pub fn go_float32(float: f64) -> String {
    let float = float as f32;
    exponent_form(&format!("{float:e}"), &format!("{float}"))
}

fn exponent_form(scientific: &str, plain: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return special(plain) };
    match exponent.parse::<i32>() {
        Ok(exp) if !(-4..21).contains(&exp) || exp >= 6 => {
            let sign = if exp < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exp.abs())
        }
        _ => plain.to_owned(),
    }
}

fn special(plain: &str) -> String {
    match plain {
        "inf" => ".inf",
        "-inf" => "-.inf",
        _ => ".nan",
    }
    .to_owned()
}

/// A float on its way through JSON, where whole numbers turn into integers.
pub fn through_json(float: f64) -> Option<crate::Value> {
    if !float.is_finite() {
        return None;
    }
    crate::json::number_value(&float_text(float)).ok()
}
