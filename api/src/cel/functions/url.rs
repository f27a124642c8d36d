//! URLs: absolute ones and paths, as Go's `url.ParseRequestURI` takes them.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use std::sync::Arc;

pub const LIBRARY: Library = Library {
    functions: &["url", "isURL"],
    methods: &["getScheme", "getHost", "getHostname", "getPort", "getEscapedPath", "getQuery"],
    call,
};

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    pub text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    let [of] = args else { return None };
    Some(match (name, of) {
        ("url", Cel::Str(text)) => parse(text)
            .map(|url| Cel::Url(Arc::new(url)))
            .map_err(|why| CelError::new(format!("URL parse error during conversion from string: {why}"))),
        ("isURL", Cel::Str(text)) => Ok(Cel::Bool(parse(text).is_ok())),
        ("getScheme", Cel::Url(url)) => Ok(Cel::text(&url.scheme)),
        ("getHost", Cel::Url(url)) => Ok(Cel::text(&url.host)),
        ("getHostname", Cel::Url(url)) => {
            Ok(Cel::text(split_port(&url.host).0.trim_start_matches('[').trim_end_matches(']')))
        }
        ("getPort", Cel::Url(url)) => Ok(Cel::text(split_port(&url.host).1)),
        ("getEscapedPath", Cel::Url(url)) => Ok(Cel::text(&url.path)),
        ("getQuery", Cel::Url(url)) => Ok(query(&url.query)),
        _ => return None,
    })
}

fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            (name, port)
        }
        _ => (host, ""),
    }
}

/// An absolute URL or a path. Errors are Go's: `parse "x": invalid URI for request`.
fn parse(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("parse {}: {why}", crate::quote(text));
    if text.is_empty() {
        return Err(wrong("empty url"));
    }
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(wrong("net/url: invalid control character in URL"));
    }
    let (rest, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let scheme_end = rest.find(':').filter(|_| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    let scheme_end = scheme_end
        .filter(|at| rest.bytes().take(*at).all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)));
    if scheme_end.is_none() && rest.starts_with(':') {
        return Err(wrong("missing protocol scheme"));
    }
    let (scheme, rest) = match scheme_end {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default()),
        None => ("", rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') {
        return Err(wrong("invalid URI for request"));
    }
    let has_host = rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///"));
    let (host, path) = match rest.strip_prefix("//").filter(|_| has_host && !scheme.is_empty()) {
        Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
        None => ("", rest),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    check_host(host).map_err(|why| wrong(&why))?;
    check_escapes(path).map_err(|why| wrong(&why))?;
    Ok(Url {
        text: text.to_owned(),
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        path: escape_path(path),
        query: query.to_owned(),
    })
}

fn check_host(host: &str) -> Result<(), String> {
    if let Some(c) = host.chars().find(|c| " <>\"\\^`{|}".contains(*c)) {
        return Err(format!("invalid character \"{c}\" in host name"));
    }
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, after)) => after,
            None => return Err("missing ']' in host".to_owned()),
        },
        None => host.find(':').map_or("", |at| host.get(at..).unwrap_or_default()),
    };
    let good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if good { Ok(()) } else { Err(format!("invalid port {} after host", crate::quote(port))) }
}

fn check_escapes(path: &str) -> Result<(), String> {
    for (at, _) in path.match_indices('%') {
        let digits: String = path.get(at + 1..).unwrap_or_default().chars().take(2).collect();
        if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", crate::quote(&format!("%{digits}"))));
        }
    }
    Ok(())
}

fn escape_path(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let hex = text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (byte, hex) {
            (b'%', Some(value)) => {
                out.push(value);
                i += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Each key with the list of its values.
fn query<'a>(text: &str) -> Cel<'a> {
    let mut map: Vec<(String, Vec<Cel<'a>>)> = Vec::new();
    for pair in text.split('&').filter(|p| !p.is_empty() && !p.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (unescape(key), Cel::text(unescape(value)));
        match map.iter_mut().find(|(k, _)| *k == key) {
            Some((_, values)) => values.push(value),
            None => map.push((key, vec![value])),
        }
    }
    Cel::Map(Arc::new(map.into_iter().map(|(k, values)| (Cel::text(k), Cel::list(values))).collect()))
}
