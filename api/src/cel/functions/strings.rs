//! The library of strings: `charAt`, `indexOf`, `replace`, `split`, `substring`, …; places count code points.

use super::{Library, format};
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};

pub const LIBRARY: Library = Library {
    functions: &["strings.quote"],
    methods: &[
        "charAt",
        "indexOf",
        "lastIndexOf",
        "lowerAscii",
        "upperAscii",
        "replace",
        "split",
        "substring",
        "trim",
        "join",
        "format",
    ],
    call,
};

/// The longest text that functions make, in bytes.
const MAX_TEXT: usize = 4 << 20;

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(match (name, args) {
        ("charAt", [Cel::Str(text), Cel::Int(at)]) => char_at(text, *at),
        ("indexOf", [Cel::Str(text), Cel::Str(part)]) => index_of(text, part, 0),
        ("indexOf", [Cel::Str(text), Cel::Str(part), Cel::Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Cel::Str(text), Cel::Str(part)]) => {
            last_index_of(text, part, i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
        }
        ("lastIndexOf", [Cel::Str(text), Cel::Str(part), Cel::Int(from)]) => {
            if *from < 0 || *from >= i64::try_from(text.chars().count()).unwrap_or(i64::MAX) {
                return Some(Err(CelError::new(format!("index out of range: {from}"))));
            }
            last_index_of(text, part, *from)
        }
        ("lowerAscii", [Cel::Str(text)]) => Ok(Cel::text(text.to_ascii_lowercase())),
        ("upperAscii", [Cel::Str(text)]) => Ok(Cel::text(text.to_ascii_uppercase())),
        ("replace", [Cel::Str(text), Cel::Str(old), Cel::Str(new)]) => replace(text, old, new, -1),
        ("replace", [Cel::Str(text), Cel::Str(old), Cel::Str(new), Cel::Int(count)]) => {
            replace(text, old, new, *count)
        }
        ("split", [Cel::Str(text), Cel::Str(by)]) => Ok(split(text, by, -1)),
        ("split", [Cel::Str(text), Cel::Str(by), Cel::Int(count)]) => Ok(split(text, by, *count)),
        ("substring", [Cel::Str(text), Cel::Int(from)]) => {
            substring(text, *from, i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
        }
        ("substring", [Cel::Str(text), Cel::Int(from), Cel::Int(to)]) => substring(text, *from, *to),
        ("trim", [Cel::Str(text)]) => Ok(Cel::text(text.trim())),
        ("join", [list]) => join(list, "")?,
        ("join", [list, Cel::Str(by)]) => join(list, by)?,
        ("format", [Cel::Str(pattern), args]) => format::format(pattern, &args.items()?),
        ("strings.quote", [Cel::Str(text)]) => Ok(Cel::text(crate::quote(text))),
        _ => return None,
    })
}

fn out_of_range(at: i64) -> CelError {
    CelError::new(format!("index out of range: {at}"))
}

fn char_at<'a>(text: &str, at: i64) -> Outcome<'a> {
    let place = usize::try_from(at).map_err(|_| out_of_range(at))?;
    match text.chars().nth(place) {
        Some(c) => Ok(Cel::text(c.to_string())),
        None if place == text.chars().count() => Ok(Cel::text("")),
        None => Err(out_of_range(at)),
    }
}

/// The byte at which a code point begins; the end for the one after the last.
fn byte_at(text: &str, at: i64) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    text.char_indices().map(|(i, _)| i).chain([text.len()]).nth(at)
}

fn points(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn index_of<'a>(text: &str, part: &str, from: i64) -> Outcome<'a> {
    if part.is_empty() {
        return Ok(Cel::Int(from));
    }
    let start = byte_at(text, from).ok_or_else(|| out_of_range(from))?;
    let rest = text.get(start..).unwrap_or_default();
    Ok(Cel::Int(rest.find(part).map_or(-1, |i| from + points(rest.get(..i).unwrap_or_default()))))
}

fn last_index_of<'a>(text: &str, part: &str, from: i64) -> Outcome<'a> {
    if part.is_empty() {
        return Ok(Cel::Int(from));
    }
    let end = byte_at(text, from.saturating_add(points(part))).unwrap_or(text.len());
    let head = text.get(..end).unwrap_or(text);
    Ok(Cel::Int(head.rfind(part).map_or(-1, |i| points(head.get(..i).unwrap_or_default()))))
}

fn replace<'a>(text: &str, old: &str, new: &str, count: i64) -> Outcome<'a> {
    let most = if old.is_empty() { text.len() + 1 } else { text.len() / old.len() };
    if text.len().saturating_add(most.saturating_mul(new.len())) > MAX_TEXT {
        return Err(CelError::Cost);
    }
    Ok(Cel::text(match usize::try_from(count) {
        Ok(count) => text.replacen(old, new, count),
        Err(_) => text.replace(old, new),
    }))
}

fn split<'a>(text: &str, by: &str, count: i64) -> Cel<'a> {
    let parts: Vec<Cel<'a>> = match (by, usize::try_from(count)) {
        (_, Ok(0)) => Vec::new(),
        (_, Ok(1)) => vec![Cel::text(text)],
        ("", limit) => {
            let limit = limit.unwrap_or(usize::MAX);
            let cut = text.char_indices().map(|(i, _)| i).nth(limit - 1).unwrap_or(text.len());
            let (head, rest) = text.split_at(cut);
            let rest = (!rest.is_empty()).then(|| Cel::text(rest));
            head.chars().map(|c| Cel::text(c.to_string())).chain(rest).collect()
        }
        (by, Ok(limit)) => text.splitn(limit, by).map(Cel::text).collect(),
        (by, Err(_)) => text.split(by).map(Cel::text).collect(),
    };
    Cel::list(parts)
}

fn substring<'a>(text: &str, from: i64, to: i64) -> Outcome<'a> {
    let start = byte_at(text, from).ok_or_else(|| out_of_range(from))?;
    let end = byte_at(text, to).ok_or_else(|| out_of_range(to))?;
    if start > end {
        return Err(CelError::new(format!("invalid substring range. start: {from}, end: {to}")));
    }
    Ok(Cel::text(text.get(start..end).unwrap_or_default()))
}

fn join<'a>(list: &Cel<'a>, by: &str) -> Option<Outcome<'a>> {
    let mut text = String::new();
    for (i, item) in list.items()?.iter().enumerate() {
        let Cel::Str(item) = item else { return Some(Err(CelError::overload())) };
        if i > 0 {
            text.push_str(by);
        }
        text.push_str(item);
        if text.len() > MAX_TEXT {
            return Some(Err(CelError::Cost));
        }
    }
    Some(Ok(Cel::text(text)))
}
