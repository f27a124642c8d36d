//! base64 as Go's standard encoding reads it, down to the offsets in its refusals.

use crate::Str;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The canonical form of a text. Line ends are ignored; refused with `illegal base64 data at input byte N`.
pub fn canonical(text: Str) -> Result<Str, String> {
    if is_canonical(text.as_bytes()) {
        return Ok(text);
    }
    let bytes = decode(text.as_bytes()).map_err(|at| format!("illegal base64 data at input byte {at}"))?;
    Ok(STANDARD.encode(bytes).into())
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Whole groups without line ends and with nothing in the unused bits.
fn is_canonical(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    let digits = text.get(..text.len() - padding.min(2)).unwrap_or_default();
    let last = digits.last().copied().and_then(sextet).unwrap_or(0);
    let unused = match padding {
        0 => 0,
        1 => 0b11,
        2 => 0b1111,
        _ => return false,
    };
    text.len().is_multiple_of(4) && last & unused == 0 && digits.iter().all(|b| sextet(*b).is_some())
}

/// Decodes group by group; an error is the offset Go names.
fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    loop {
        let (mut group, mut len) = ([0_u8; 4], 0);
        while len < 4 {
            match text.get(at).copied() {
                None if len == 0 => return Ok(out),
                None => return Err(at - len),
                Some(b'\r' | b'\n') => at += 1,
                Some(b'=') => return finish(text, at, group, len, out),
                Some(byte) => {
                    group[len] = sextet(byte).ok_or(at)?;
                    at += 1;
                    len += 1;
                }
            }
        }
        out.extend_from_slice(&join(group));
    }
}

/// The group that ends in padding, whose first sign is at `at`.
fn finish(text: &[u8], at: usize, group: [u8; 4], len: usize, mut out: Vec<u8>) -> Result<Vec<u8>, usize> {
    let skip = |mut at: usize| {
        while matches!(text.get(at), Some(b'\r' | b'\n')) {
            at += 1;
        }
        at
    };
    let mut next = at + 1;
    match len {
        0 | 1 => return Err(at),
        2 => {
            next = skip(next);
            match text.get(next) {
                None => return Err(text.len()),
                Some(b'=') => next += 1,
                Some(_) => return Err(next - 1),
            }
        }
        _ => {}
    }
    let next = skip(next);
    if next < text.len() {
        return Err(next);
    }
    out.extend_from_slice(join(group).get(..len - 1).unwrap_or_default());
    Ok(out)
}

fn join(group: [u8; 4]) -> [u8; 3] {
    let [a, b, c, d] = group;
    [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_canonical_or_are_refused_as_gos() {
        let form = |s: &str| canonical(s.into()).map(|s| s.to_string());
        assert_eq!(form(""), Ok(String::new()));
        assert_eq!(form("aGVsbG8="), Ok("aGVsbG8=".to_owned()));
        assert_eq!(form("aGVs\nbG8=\n"), Ok("aGVsbG8=".to_owned()));
        assert_eq!(form("aGVsbG9="), Ok("aGVsbG8=".to_owned()));
        for (text, at) in
            [("a", 0), ("abc", 0), ("abcd*", 4), ("ab=c", 2), ("ab==x", 4), ("=", 0), ("ab=", 3)]
        {
            assert_eq!(form(text), Err(format!("illegal base64 data at input byte {at}")), "{text}");
        }
    }
}
