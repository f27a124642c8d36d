//! Formats of small texts that are no names of objects: keys of ConfigMaps, environment variables, HTTP headers,
//! ports, percentages.

use super::{
    SUBDOMAIN_MAX_LENGTH, checked, inclusive_range_error, lower_or_digit, max_len_error, regex_error,
};

/// A key of a ConfigMap or Secret.
pub fn is_config_map_key(value: &str) -> Vec<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = !value.is_empty() && value.bytes().all(allowed);
    let mut errs = checked(value, SUBDOMAIN_MAX_LENGTH, good, || {
        let msg = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        regex_error(msg, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"])
    });
    errs.extend(climbing_error(value));
    errs
}

fn climbing_error(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// The name of an environment variable, by the strict rule.
pub fn is_env_var_name(value: &str) -> Vec<String> {
    let first = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.');
    let inner = |b: u8| first(b) || b.is_ascii_digit();
    let bytes = value.as_bytes();
    let good = bytes.first().is_some_and(|b| first(*b)) && bytes.iter().all(|b| inner(*b));
    let mut errs = checked(value, usize::MAX, good, || {
        let msg = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', \
                   or '.', and must not start with a digit";
        regex_error(msg, "[-._a-zA-Z][-._a-zA-Z0-9]*", &["my.env-name", "MY_ENV.NAME", "MyEnvName1"])
    });
    errs.extend(climbing_error(value));
    errs
}

/// The name of an environment variable, by the relaxed rule: printable ASCII without `=`.
pub fn is_relaxed_env_var_name(value: &str) -> Vec<String> {
    let mut errs = Vec::new();
    if value.is_empty() {
        errs.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        errs.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    errs
}

/// The name of an HTTP header.
pub fn is_http_header_name(value: &str) -> Vec<String> {
    let good = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    checked(value, usize::MAX, good, || {
        let msg = "a valid HTTP header must consist of alphanumeric characters or '-'";
        regex_error(msg, "[-A-Za-z0-9]+", &["X-Header-Name"])
    })
}

/// An identifier of C.
pub fn is_c_identifier(value: &str) -> Vec<String> {
    let good = value.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    checked(value, usize::MAX, good, || {
        let msg = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                   alphanumeric characters or '_'";
        regex_error(msg, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])
    })
}

/// A percentage such as `25%`.
pub fn is_percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    checked(value, usize::MAX, good, || {
        let msg = "a valid percent string must be a numeric string followed by an ending '%'";
        regex_error(msg, "[0-9]+%", &["1%", "93%"])
    })
}

/// The name of a port (an IANA service name in lower case).
pub fn is_port_name(value: &str) -> Vec<String> {
    let mut errs = Vec::new();
    if value.len() > 15 {
        errs.push(max_len_error(15));
    }
    if value.is_empty() || !value.bytes().all(|b| lower_or_digit(b) || b == b'-') {
        errs.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        errs.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        errs.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errs.push("must not begin or end with a hyphen".to_owned());
    }
    errs
}

/// A port that is not 0.
pub fn is_port_number(port: i64) -> Vec<String> {
    is_in_range(port, 1, 65535)
}

/// A number between two others, both included.
pub fn is_in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&value) { Vec::new() } else { vec![inclusive_range_error(min, max)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_must_not_climb() {
        assert_eq!(is_config_map_key(".."), ["must not be '..'"]);
        assert_eq!(is_config_map_key("..a"), ["must not start with '..'"]);
        assert!(is_config_map_key("a key")[0].starts_with("a valid config key must consist"));
        assert!(is_config_map_key("key.name").is_empty());
    }

    #[test]
    fn port_names_need_a_letter_and_no_double_hyphens() {
        assert_eq!(is_port_name("80"), ["must contain at least one letter (a-z)"]);
        assert_eq!(is_port_name("a--b"), ["must not contain consecutive hyphens"]);
        assert_eq!(is_port_name("a-"), ["must not begin or end with a hyphen"]);
        assert_eq!(is_port_number(0), ["must be between 1 and 65535, inclusive"]);
    }

    #[test]
    fn environment_variables_have_a_strict_and_a_relaxed_rule() {
        assert!(!is_env_var_name("1A").is_empty());
        assert!(is_relaxed_env_var_name("1 A!").is_empty());
        assert!(!is_relaxed_env_var_name("A=B").is_empty());
    }
}
