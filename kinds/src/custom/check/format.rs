//! Formats of strings. Names count without their dashes: `date-time` is `datetime`.

use crate::validation::{parse_cidr_sloppy, parse_ip_sloppy};
use api::names;
use regex::Regex;
use std::net::Ipv6Addr;
use std::sync::LazyLock;

type Check = fn(&str) -> bool;

const FORMATS: &[(&str, Check)] = &[
    ("bsonobjectid", |s| s.len() == 24 && is_hex(s)),
    ("byte", is_base64),
    ("cidr", |s| parse_cidr_sloppy(s).is_some()),
    ("creditcard", is_credit_card),
    ("date", is_date),
    ("datetime", is_date_time),
    ("duration", is_duration),
    ("email", is_email),
    ("hexcolor", |s| {
        let s = s.strip_prefix('#').unwrap_or(s);
        matches!(s.len(), 3 | 6) && is_hex(s)
    }),
    ("hostname", is_hostname),
    ("ipv4", |s| parse_ip_sloppy(s).is_some() && s.contains('.')),
    ("ipv6", |s| s.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |s| is_isbn10(s) || is_isbn13(s)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8slongname", |s| names::is_dns1123_subdomain(s).is_empty()),
    ("k8sshortname", |s| names::is_dns1123_label(s).is_empty()),
    ("mac", is_mac),
    ("password", |_| true),
    ("rgbcolor", is_rgb_color),
    ("ssn", |s| s.len() == 11 && matches(&SSN, s)),
    ("uri", is_request_uri),
    ("uuid", |s| is_uuid(s, None)),
    ("uuid3", |s| is_uuid(s, Some('3'))),
    ("uuid4", |s| is_uuid(s, Some('4'))),
    ("uuid5", |s| is_uuid(s, Some('5'))),
];

fn find(format: &str) -> Option<Check> {
    let name = format.replace('-', "");
    FORMATS.iter().find(|(n, _)| *n == name).map(|(_, check)| *check)
}

/// Whether strings are checked for the format.
pub fn is_known(format: &str) -> bool {
    find(format).is_some()
}

/// Whether a text is of a format; of one that is not known, everything is.
pub fn is_valid(format: &str, text: &str) -> bool {
    find(format).is_none_or(|check| check(text))
}

/// A pattern of this file; they are all tested.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

fn matches(regex: &Option<Regex>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

static HOSTNAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$",
    )
});
static TIME: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"));
static CARD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    )
});
static SSN: LazyLock<Option<Regex>> = LazyLock::new(|| pattern("^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static DURATION_PART: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)"));

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_base64(text: &str) -> bool {
    let letters = text.trim_end_matches('=');
    let alphabet = letters.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    !text.is_empty() && text.len().is_multiple_of(4) && text.len() - letters.len() <= 2 && alphabet
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && api::time::parse(&format!("{text}T00:00:00Z")).is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    let Some(found) = TIME.as_ref().and_then(|regex| regex.captures(time)) else { return false };
    let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
    is_date(date) && part(1) <= "23" && part(2) <= "59" && part(3) <= "59"
}

/// Go's form (`1h30m`), or numbers with units in words (`3 days`).
fn is_duration(text: &str) -> bool {
    const WHOLE: [&str; 11] = ["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"];
    const BEGINNINGS: [&str; 8] = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    if api::time::parse_duration(text).is_ok() {
        return true;
    }
    let mut known = false;
    for found in DURATION_PART.as_ref().into_iter().flat_map(|regex| regex.captures_iter(text)) {
        let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
        if part(1).parse::<i64>().is_err() {
            return false;
        }
        let unit = part(2).to_lowercase();
        known |= WHOLE.contains(&unit.as_str()) || BEGINNINGS.iter().any(|b| unit.starts_with(b));
    }
    known
}

/// An address as mail programs write it: `a@b.c`, `Some Body <a@b.c>`.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>').and_then(|t| t.rsplit_once('<')) {
        Some((_, address)) => address,
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |part: &str| {
        let special = |c: char| c.is_whitespace() || c.is_control() || "()<>[]:;@\\,\"".contains(c);
        !part.is_empty() && part.split('.').all(|atom| !atom.is_empty() && !atom.contains(special))
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (quoted || atom(local)) && (literal || atom(domain))
}

fn is_hostname(text: &str) -> bool {
    matches(&HOSTNAME, text) && text.len() <= 255 && text.split('.').all(|part| part.len() <= 63)
}

/// Six, eight or twenty bytes in hexadecimal, by colons, dashes, or dots after every second.
fn is_mac(text: &str) -> bool {
    let (sep, width) = match (text.as_bytes().get(2), text.as_bytes().get(4)) {
        (Some(b':'), _) => (':', 2),
        (Some(b'-'), _) => ('-', 2),
        (_, Some(b'.')) => ('.', 4),
        _ => return false,
    };
    let parts: Vec<&str> = text.split(sep).collect();
    matches!(parts.len() * width / 2, 6 | 8 | 20) && parts.iter().all(|p| p.len() == width && is_hex(p))
}

/// `rgb(r, g, b)` with bytes in decimal.
fn is_rgb_color(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("rgb(").and_then(|t| t.strip_suffix(')')) else { return false };
    let byte = |part: &str| {
        let part = part.trim_matches(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
        !(part.starts_with('+') || part.len() > 1 && part.starts_with('0')) && part.parse::<u8>().is_ok()
    };
    let parts: Vec<&str> = inner.split(',').collect();
    parts.len() == 3 && parts.into_iter().all(byte)
}

/// An absolute URI or an absolute path, without control characters or broken escapes.
fn is_request_uri(text: &str) -> bool {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) || text.is_empty() {
        return false;
    }
    let rest = match text.split_once(':') {
        _ if text.starts_with('/') => text,
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => return text == "*",
    };
    let path = rest.split('?').next().unwrap_or_default();
    if let Some(after) = path.strip_prefix("//").filter(|_| !text.starts_with('/')) {
        let host = after.split('/').next().unwrap_or_default();
        return is_authority(host) && escapes_hold(path);
    }
    // What follows a scheme without a slash is opaque.
    escapes_hold(path) || !path.starts_with('/')
}

fn is_scheme(scheme: &str) -> bool {
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn is_authority(text: &str) -> bool {
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((name, rest)) => (name, rest),
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port_holds =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    port_holds && !name.contains([' ', '<', '>', '"', '^', '`', '{', '}', '|', '\\'])
}

fn escapes_hold(text: &str) -> bool {
    text.split('%').skip(1).all(|part| part.get(..2).is_some_and(is_hex))
}

/// 32 hexadecimal digits, dashes between groups optional. Versions have their digit, later ones a variant too.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    let mut digits = String::with_capacity(32);
    for (i, width) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        rest = if i > 0 { rest.strip_prefix('-').unwrap_or(rest) } else { rest };
        let Some((group, after)) = rest.split_at_checked(width) else { return false };
        digits.push_str(group);
        rest = after;
    }
    let digit = |at: usize| digits.chars().nth(at).unwrap_or_default();
    let versioned = version.is_none_or(|v| digit(12) == v);
    let variant = !matches!(version, Some('4' | '5'))
        || matches!(digit(16).to_ascii_lowercase(), '8' | '9' | 'a' | 'b');
    rest.is_empty() && is_hex(&digits) && versioned && variant
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| match u32::from(b - b'0') {
            digit if i % 2 == 0 => digit,
            digit if digit >= 5 => digit * 2 - 9,
            digit => digit * 2,
        })
        .sum();
    matches(&CARD, &digits) && sum.is_multiple_of(10)
}

fn isbn_digits(text: &str) -> Vec<u32> {
    let digits = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    digits.map(|c| if c == 'X' { 10 } else { c.to_digit(10).unwrap_or(99) }).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let plain = digits.len() == 10 && digits.iter().enumerate().all(|(i, d)| *d <= 9 || *d == 10 && i == 9);
    plain && (1..).zip(&digits).map(|(i, d)| i * d).sum::<u32>().is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    let weighted = digits.iter().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { 3 * d });
    digits.len() == 13 && digits.iter().all(|d| *d <= 9) && weighted.sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_texts_pass_and_bad_ones_do_not() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &["2020-01-01T00:00:00Z", "2020-01-01t00:00:00.5+01:00"],
                &["2020-01-01", "2020-13-01T00:00:00Z", "x"],
            ),
            ("date", &["2020-02-29"], &["2021-02-29", "not a date!"]),
            ("duration", &["3 days", "1h30m", "22 ns", "5 Minutes"], &["not a duration!", "", "5 parsecs"]),
            ("email", &["a@b.c", "Some Body <a@b>"], &["not a email!", "a@", "@b", "a b@c"]),
            ("hostname", &["example.com", "a", "1.example.com"], &["not a hostname!", "a..b", "-a.com"]),
            ("ipv4", &["1.2.3.4"], &["::1", "1.2.3", "x"]),
            ("ipv6", &["::1"], &["1.2.3.4", "x"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "x"]),
            (
                "uri",
                &["http://x", "/path", "mailto:x", "http://a:80/b?c"],
                &["not a uri!", "http://a b", "", "a/b"],
            ),
            (
                "uuid",
                &["123E4567-e89b-12d3-a456-426614174000"],
                &["x", "123E4567-e89b-12d3-a456-42661417400"],
            ),
            ("uuid4", &["123e4567-e89b-42d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-426614174000"]),
            ("byte", &["YQ==", "YWJj"], &["not a byte!", "YQ", ""]),
            ("mac", &["00:11:22:33:44:55", "0011.2233.4455"], &["not a mac!", "00:11:22"]),
            ("password", &["anything"], &[]),
            ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112"]),
            ("isbn", &["0-321-75104-3", "978-0321751041"], &["0-321-75104-4"]),
            ("ssn", &["123-45-6789"], &["123456789"]),
            ("hexcolor", &["#fff", "AABBCC"], &["#ffff"]),
            ("rgbcolor", &["rgb(1, 2,255)"], &["rgb(1,2,256)", "rgb(1,2)"]),
            ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["x"]),
            ("k8s-short-name", &["a-b"], &["A", "a.b"]),
            ("k8s-long-name", &["a.b"], &["A"]),
        ];
        for (format, good, bad) in cases {
            assert!(is_known(format), "{format}");
            good.iter().for_each(|text| assert!(is_valid(format, text), "{format} {text}"));
            bad.iter().for_each(|text| assert!(!is_valid(format, text), "{format} {text}"));
        }
    }
}
