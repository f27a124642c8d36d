//! Values as text: `"%s has %d".format([…])`.

use super::conversions::{duration_text, timestamp_text};
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};

/// A float as Go's `%v` has it.
pub fn double_text(d: f64) -> String {
    if d.is_nan() {
        return "NaN".to_owned();
    }
    if d.is_infinite() {
        return if d > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{d:e}");
    let exponent: i32 = text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return format!("{d}");
    }
    let (mantissa, _) = text.split_once('e').unwrap_or((&text, ""));
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A value as `%s` prints it.
pub fn text_of(value: &Cel<'_>) -> String {
    match value {
        Cel::Null => "null".to_owned(),
        Cel::Bool(b) => b.to_string(),
        Cel::Int(i) => i.to_string(),
        Cel::Uint(u) => u.to_string(),
        Cel::Double(d) => double_text(*d),
        Cel::Str(s) | Cel::Type(s) => s.to_string(),
        Cel::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
        Cel::Duration(nanos) => duration_text(*nanos),
        Cel::Timestamp(time) => timestamp_text(time),
        Cel::Quantity(quantity) => quantity.to_string(),
        Cel::Url(url) => url.text.clone(),
        Cel::Ip(ip) => ip.to_string(),
        Cel::Cidr(cidr) => cidr.to_string(),
        Cel::Semver(version) => version.text.clone(),
        other => match (other.items(), other.entries()) {
            (Some(items), _) => format!("[{}]", items.iter().map(text_of).collect::<Vec<_>>().join(", ")),
            (_, Some(entries)) => {
                let mut texts: Vec<String> =
                    entries.iter().map(|(k, v)| format!("{}: {}", text_of(k), text_of(v))).collect();
                texts.sort();
                format!("{{{}}}", texts.join(", "))
            }
            _ => other.type_name().to_owned(),
        },
    }
}

/// The method `format`.
pub fn format<'a>(pattern: &str, args: &[Cel<'a>]) -> Outcome<'a> {
    let mut out = String::new();
    let mut args = args.iter().enumerate();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(d) = chars.next_if(char::is_ascii_digit) {
                digits.push(d);
            }
            precision = digits.parse::<usize>().ok().map(|p| p.min(64));
        }
        let Some(clause) = chars.next() else {
            return Err(CelError::new("could not parse formatting clause: unexpected end of string"));
        };
        let Some((index, value)) = args.next() else {
            return Err(CelError::new(format!("index {} out of range", args.len())));
        };
        out.push_str(&clause_text(clause, precision, value).map_err(|why| {
            CelError::new(format!("could not convert argument {} to string: {why}", index))
        })?);
    }
    Ok(Cel::text(out))
}

fn clause_text(clause: char, precision: Option<usize>, value: &Cel<'_>) -> Result<String, String> {
    let wrong = |wanted: &str| format!("{wanted}, was given {}", value.type_name());
    let places = precision.unwrap_or(6);
    Ok(match (clause, value) {
        ('s', value) => text_of(value),
        ('d', Cel::Int(i)) => i.to_string(),
        ('d', Cel::Uint(u)) => u.to_string(),
        ('d', _) => return Err(wrong("decimal clause can only be used on integers")),
        ('f', Cel::Double(d)) => format!("{d:.places$}"),
        ('f', Cel::Int(i)) => format!("{:.places$}", *i as f64),
        ('f', Cel::Uint(u)) => format!("{:.places$}", *u as f64),
        ('f', _) => return Err(wrong("fixed-point clause can only be used on doubles")),
        ('e', Cel::Double(d)) => {
            let text = format!("{d:.places$e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        ('e', _) => return Err(wrong("scientific clause can only be used on doubles")),
        ('b', Cel::Int(i)) => signed(*i, format!("{:b}", i.unsigned_abs())),
        ('b', Cel::Uint(u)) => format!("{u:b}"),
        ('b', Cel::Bool(b)) => u8::from(*b).to_string(),
        ('b', _) => return Err(wrong("only integers and bools can be formatted as binary")),
        ('o', Cel::Int(i)) => signed(*i, format!("{:o}", i.unsigned_abs())),
        ('o', Cel::Uint(u)) => format!("{u:o}"),
        ('o', _) => return Err(wrong("octal clause can only be used on integers")),
        ('x', value) => hex(value)
            .ok_or_else(|| wrong("only integers, byte buffers, and strings can be formatted as hex"))?,
        ('X', value) => hex(value)
            .ok_or_else(|| wrong("only integers, byte buffers, and strings can be formatted as hex"))?
            .to_uppercase(),
        (clause, _) => return Err(format!("unrecognized formatting clause \"{clause}\"")),
    })
}

fn signed(number: i64, digits: String) -> String {
    if number < 0 { format!("-{digits}") } else { digits }
}

fn hex(value: &Cel<'_>) -> Option<String> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    Some(match value {
        Cel::Int(i) => signed(*i, format!("{:x}", i.unsigned_abs())),
        Cel::Uint(u) => format!("{u:x}"),
        Cel::Str(text) => bytes(text.as_bytes()),
        Cel::Bytes(b) => bytes(b),
        _ => return None,
    })
}
