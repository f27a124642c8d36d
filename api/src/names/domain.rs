//! Names that are domains, or start with one: what is wrong with them, as faults.

use super::{is_dns1123_label, is_dns1123_subdomain, is_qualified_name, regex_error};
use crate::Fault;
use std::fmt::Display;

const HTTP_PATH_FMT: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

/// Faults of a name that must be a subdomain of at least three parts.
pub fn fully_qualified_name_faults(name: &str, field: impl Display) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::required(field, "")];
    }
    let errs = is_dns1123_subdomain(name);
    if !errs.is_empty() {
        return vec![Fault::invalid(field, name, errs.join(","))];
    }
    if name.split('.').count() < 3 {
        return vec![Fault::invalid(
            field,
            name,
            "should be a domain with at least three segments separated by dots",
        )];
    }
    Vec::new()
}

/// Faults of a domain name of at least two parts; a dot at its end is fine.
pub fn fully_qualified_domain_name_faults(name: &str, field: impl Display) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::required(field, "")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let errs = is_dns1123_subdomain(name);
    if !errs.is_empty() {
        return vec![Fault::invalid(field, name, errs.join(","))];
    }
    if !name.contains('.') {
        return vec![Fault::invalid(
            field,
            name,
            "should be a domain with at least two segments separated by dots",
        )];
    }
    let long = name.split('.').find(|label| !is_dns1123_label(label).is_empty());
    long.map(|label| Fault::invalid(field, label, is_dns1123_label(label).join(","))).into_iter().collect()
}

/// Faults of a path that starts with a domain: `acme.io/foo`.
pub fn domain_prefixed_path_faults(path: &str, field: impl Display) -> Vec<Fault> {
    let field = field.to_string();
    if path.is_empty() {
        return vec![Fault::required(field, "")];
    }
    let (host, rest) = match path.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => (host, rest),
        _ => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            return vec![Fault::invalid(field, path, detail)];
        }
    };
    let mut faults: Vec<Fault> =
        is_dns1123_subdomain(host).into_iter().map(|e| Fault::invalid(&field, host, e)).collect();
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || br"/-._~%!$&'()*+,;=:".contains(&b)) {
        faults.push(Fault::invalid(&field, rest, regex_error("Invalid path", HTTP_PATH_FMT, &[])));
    }
    faults
}

/// Faults of a key that must have a domain: `acme.io/foo`.
pub fn domain_prefixed_key_faults(key: &str, field: impl Display) -> Vec<Fault> {
    let field = field.to_string();
    if key.is_empty() {
        return vec![Fault::required(field, "")];
    }
    let errs = is_qualified_name(key);
    if !errs.is_empty() {
        return errs.into_iter().map(|e| Fault::invalid(&field, key, e)).collect();
    }
    if !key.contains('/') {
        return vec![Fault::invalid(field, key, "must be a domain-prefixed key (such as \"acme.io/foo\")")];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(faults: Vec<Fault>) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn domains_need_enough_parts() {
        assert!(fully_qualified_name_faults("a.b.c", "f").is_empty());
        assert_eq!(
            texts(fully_qualified_name_faults("a.b", "f")),
            ["f: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots"]
        );
        assert!(fully_qualified_domain_name_faults("a.b.", "f").is_empty());
    }

    #[test]
    fn prefixed_texts_need_domain_and_rest() {
        assert!(domain_prefixed_path_faults("acme.io/foo/bar", "f").is_empty());
        assert!(domain_prefixed_key_faults("acme.io/foo", "f").is_empty());
        assert_eq!(
            texts(domain_prefixed_key_faults("foo", "f")),
            ["f: Invalid value: \"foo\": must be a domain-prefixed key (such as \"acme.io/foo\")"]
        );
        assert_eq!(texts(domain_prefixed_path_faults("", "f")), ["f: Required value"]);
    }
}
