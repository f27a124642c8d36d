//! The rules of names: which strings may name objects, labels, keys, ports and the like, and what upstream says
//! of those that may not.
//!
//! Every `is_…` function answers with the faults' texts, an empty list when all is well; callers join them or
//! make one fault of each (`Fault::invalid(path, value, text)`). Source: apimachinery `util/validation` and
//! `api/validate/content`; the former counts "characters", the latter "bytes".

mod domain;
mod format;

pub use domain::{
    domain_prefixed_key_faults, domain_prefixed_path_faults, fully_qualified_domain_name_faults,
    fully_qualified_name_faults,
};
pub use format::{
    is_c_identifier, is_config_map_key, is_env_var_name, is_http_header_name, is_in_range, is_percent,
    is_port_name, is_port_number, is_relaxed_env_var_name,
};

use crate::Fault;
use std::borrow::Cow;
use std::fmt::Display;

/// The most that a DNS label, a label's value or the name part of its key may measure, in bytes.
pub const LABEL_MAX_LENGTH: usize = 63;
/// The most that a DNS subdomain may measure, in bytes.
pub const SUBDOMAIN_MAX_LENGTH: usize = 253;
/// The most that a field manager's name may measure, in bytes.
pub const FIELD_MANAGER_MAX_LENGTH: usize = 128;
/// Characters of generated suffixes: no vowels, and nothing that looks like one, so that no words come about.
pub const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many characters `generateName` appends.
pub const SUFFIX_LENGTH: usize = 5;

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const UNDERSCORE_SUBDOMAIN_FMT: &str =
    r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const DNS1035_FMT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const KEY_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

const LABEL_MSG: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                         and must start and end with an alphanumeric character";
const SUBDOMAIN_MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
                             '-' or '.', and must start and end with an alphanumeric character";
const UNDERSCORE_SUBDOMAIN_MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                                        characters, '_', '-' or '.', and must start and end with an \
                                        alphanumeric character";
const DNS1035_MSG: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
                           with an alphabetic character, and end with an alphanumeric character";
const WILDCARD_MSG: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
                            subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and \
                            end with an alphanumeric character";
const KEY_MSG: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                       alphanumeric character";
const LABEL_VALUE_MSG: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', \
                               '_' or '.', and must start and end with an alphanumeric character";

/// `must be no more than N characters`.
pub fn max_len_error(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// `must be between LO and HI, inclusive`.
pub fn inclusive_range_error(lo: i64, hi: i64) -> String {
    format!("must be between {lo} and {hi}, inclusive")
}

/// `MSG (e.g. 'A',  or 'B', regex used for validation is 'FMT')`.
pub fn regex_error(msg: &str, fmt: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{msg} (regex used for validation is '{fmt}')");
    }
    let shown: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{msg} (e.g. {}regex used for validation is '{fmt}')", shown.join(" or "))
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// `first` starts and `last` ends the text; `inner` is between. A single character must satisfy both ends.
fn framed(s: &str, first: fn(u8) -> bool, inner: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    match s.as_bytes() {
        [] => false,
        [only] => first(*only),
        [a, mid @ .., z] => first(*a) && mid.iter().all(|b| inner(*b)) && last(*z),
    }
}

fn is_label(s: &str) -> bool {
    framed(s, lower_or_digit, |b| lower_or_digit(b) || b == b'-', lower_or_digit)
}

fn is_underscore_label(s: &str) -> bool {
    let rest = s.strip_prefix('_').unwrap_or(s);
    framed(rest, lower_or_digit, |b| lower_or_digit(b) || b == b'-' || b == b'_', lower_or_digit)
}

fn is_subdomain(s: &str) -> bool {
    s.split('.').all(is_label)
}

fn is_key_name(s: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    framed(s, |b| b.is_ascii_alphanumeric(), inner, |b| b.is_ascii_alphanumeric())
}

fn checked(value: &str, max: usize, good: bool, text: impl FnOnce() -> String) -> Vec<String> {
    let mut errs = Vec::new();
    if value.len() > max {
        errs.push(max_len_error(max));
    }
    if !good {
        errs.push(text());
    }
    errs
}

/// A label of DNS (RFC 1123): `[a-z0-9-]`, at most 63.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    checked(value, LABEL_MAX_LENGTH, is_label(value), || {
        if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(LABEL_MSG, LABEL_FMT, &["my-name", "123-abc"])
        }
    })
}

/// A subdomain of DNS (RFC 1123): labels with dots between, at most 253.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    checked(value, SUBDOMAIN_MAX_LENGTH, is_subdomain(value), || {
        regex_error(SUBDOMAIN_MSG, SUBDOMAIN_FMT, &["example.com"])
    })
}

/// A subdomain whose labels may contain, and start with, an underscore.
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    checked(value, SUBDOMAIN_MAX_LENGTH, value.split('.').all(is_underscore_label), || {
        regex_error(UNDERSCORE_SUBDOMAIN_MSG, UNDERSCORE_SUBDOMAIN_FMT, &["example.com"])
    })
}

/// `*.` and a subdomain.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let good = value.strip_prefix("*.").is_some_and(is_subdomain);
    checked(value, SUBDOMAIN_MAX_LENGTH, good, || {
        regex_error(WILDCARD_MSG, &format!(r"\*\.{SUBDOMAIN_FMT}"), &["*.example.com"])
    })
}

/// A label of DNS as RFC 1035 has it: as RFC 1123, but starting with a letter.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let good = framed(value, |b| b.is_ascii_lowercase(), |b| lower_or_digit(b) || b == b'-', lower_or_digit);
    checked(value, LABEL_MAX_LENGTH, good, || regex_error(DNS1035_MSG, DNS1035_FMT, &["my-name", "abc-123"]))
}

/// A key of labels and annotations: an optional subdomain and `/`, then a name. Upstream's "qualified name".
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut errs = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            errs.extend(key_prefix_errors(prefix));
            name
        }
        _ => {
            let what = regex_error(KEY_MSG, KEY_FMT, &examples);
            return vec![format!(
                "a valid label key {what} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errs.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX_LENGTH {
        errs.push(format!("name part must be no more than {LABEL_MAX_LENGTH} bytes"));
    }
    if !is_key_name(name) {
        errs.push(format!("name part {}", regex_error(KEY_MSG, KEY_FMT, &examples)));
    }
    errs
}

fn key_prefix_errors(prefix: &str) -> Vec<String> {
    if prefix.is_empty() {
        return vec!["prefix part must be non-empty".to_owned()];
    }
    let mut errs = Vec::new();
    if prefix.len() > SUBDOMAIN_MAX_LENGTH {
        errs.push(format!("prefix part must be no more than {SUBDOMAIN_MAX_LENGTH} bytes"));
    }
    if !is_subdomain(prefix) {
        errs.push(format!("prefix part {}", regex_error(SUBDOMAIN_MSG, SUBDOMAIN_FMT, &["example.com"])));
    }
    errs
}

/// The value of a label: empty, or like the name part of a key.
pub fn is_label_value(value: &str) -> Vec<String> {
    let mut errs = Vec::new();
    if value.len() > LABEL_MAX_LENGTH {
        errs.push(format!("must be no more than {LABEL_MAX_LENGTH} bytes"));
    }
    if !value.is_empty() && !is_key_name(value) {
        let fmt = format!("({KEY_FMT})?");
        errs.push(regex_error(LABEL_VALUE_MSG, &fmt, &["MyValue", "my_value", "12345"]));
    }
    errs
}

/// What may stand as one segment of a URL's path.
pub fn is_path_segment_name(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    is_path_segment_prefix(name)
}

/// What may start a segment of a URL's path (more is appended).
pub fn is_path_segment_prefix(name: &str) -> Vec<String> {
    ["/", "%"]
        .iter()
        .filter(|bad| name.contains(**bad))
        .map(|bad| format!("may not contain '{bad}'"))
        .collect()
}

/// A rule of object names: (name, is only a prefix that a suffix follows) → faults' texts.
pub type NameRule = fn(&str, bool) -> Vec<String>;

/// Names that are DNS subdomains: most kinds.
pub fn name_is_dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    is_dns1123_subdomain(&masked(name, prefix))
}

/// Names that are DNS labels: namespaces and others.
pub fn name_is_dns_label(name: &str, prefix: bool) -> Vec<String> {
    is_dns1123_label(&masked(name, prefix))
}

/// Names that are labels by RFC 1035.
pub fn name_is_dns1035_label(name: &str, prefix: bool) -> Vec<String> {
    is_dns1035_label(&masked(name, prefix))
}

/// Names that only have to fit into a path: roles, role bindings and the like.
pub fn name_is_path_segment(name: &str, prefix: bool) -> Vec<String> {
    if prefix { is_path_segment_prefix(name) } else { is_path_segment_name(name) }
}

/// A prefix may end with a dash, since more follows: upstream puts an `a` in place of its last two characters.
fn masked(name: &str, prefix: bool) -> Cow<'_, str> {
    let head = name.len().checked_sub(2).and_then(|end| name.get(..end));
    if let (true, true, Some(head)) = (prefix, name.ends_with('-'), head) {
        return Cow::Owned(format!("{head}a"));
    }
    Cow::Borrowed(name)
}

/// A `generateName` with its suffix: the base is cut so that 63 bytes suffice.
pub fn generated_name(base: &str, suffix: &str) -> String {
    let mut end = base.len().min(LABEL_MAX_LENGTH - SUFFIX_LENGTH);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

/// A suffix of `len` characters from random numbers, each of which gives one.
pub fn suffix(len: usize, mut random: impl FnMut() -> u64) -> String {
    let pick = |n: u64| char::from(SUFFIX_ALPHABET[usize::try_from(n % 27).unwrap_or_default()]);
    (0..len).map(|_| pick(random())).collect()
}

/// A hash's text in the characters of generated suffixes, as controllers name what they create.
pub fn safe_encode(s: &str) -> String {
    s.chars()
        .map(|c| char::from(SUFFIX_ALPHABET[usize::try_from(u32::from(c) % 27).unwrap_or_default()]))
        .collect()
}

/// Faults of a field manager's name: too long, or not printable.
pub fn field_manager_faults(name: &str, field: impl Display) -> Vec<Fault> {
    let field = field.to_string();
    let mut faults = Vec::new();
    if name.len() > FIELD_MANAGER_MAX_LENGTH {
        faults.push(Fault::too_long(&field, FIELD_MANAGER_MAX_LENGTH));
    }
    for (at, c) in name.char_indices() {
        if c.is_control() || (c.is_whitespace() && c != ' ') {
            let shown = if c.is_control() { String::new() } else { format!(" '{c}'") };
            let detail = format!("invalid character U+{:04X}{shown} (at position {at})", u32::from(c));
            faults.push(Fault::invalid(&field, name, detail));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_subdomain_is_told_with_example_and_regex() {
        assert_eq!(
            is_dns1123_subdomain("Bad_Name"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
              must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert!(is_dns1123_subdomain("a.b-c.0").is_empty());
        assert!(!is_dns1123_subdomain("a..b").is_empty());
    }

    #[test]
    fn several_examples_are_joined_by_or() {
        let text = regex_error("m", "f", &["a", "b"]);
        assert_eq!(text, "m (e.g. 'a',  or 'b', regex used for validation is 'f')");
    }

    #[test]
    fn a_label_with_dots_is_told_so() {
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(is_dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert!(is_dns1035_label("1a")[0].starts_with("a DNS-1035 label"));
    }

    #[test]
    fn qualified_names_have_at_most_one_slash() {
        assert!(is_qualified_name("example.com/My.Name_1").is_empty());
        assert!(is_qualified_name("a/b/c")[0].starts_with("a valid label key must consist"));
        assert_eq!(is_qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(is_qualified_name("").len(), 2);
        assert!(is_label_value("").is_empty());
        assert!(!is_label_value("-a").is_empty());
    }

    #[test]
    fn a_prefix_may_end_with_a_dash() {
        assert!(name_is_dns_label("a-", true).is_empty());
        assert!(!name_is_dns_label("a-", false).is_empty());
        assert!(!name_is_dns_label("é-", true).is_empty());
    }

    #[test]
    fn generated_names_fit_into_a_label() {
        let name = generated_name(&"x".repeat(70), "bcdfg");
        assert_eq!(name.len(), 63);
        assert!(name.ends_with("xbcdfg"));
        assert_eq!(suffix(3, || 26), "999");
    }

    #[test]
    fn unprintable_field_managers_are_named_with_their_position() {
        let faults = field_manager_faults("a\u{7}", "fieldManager");
        assert_eq!(
            faults[0].to_string(),
            "fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)"
        );
    }

    #[test]
    fn path_segments_exclude_slash_and_percent() {
        assert_eq!(is_path_segment_name(".."), ["may not be '..'"]);
        assert_eq!(is_path_segment_name("a/%"), ["may not contain '/'", "may not contain '%'"]);
    }
}
