//! Names of images: which tag a reference has, for the default pull policy.
//! Source: `distribution/reference` (grammar), `pkg/util/parsers`.

/// `Always` for images tagged `latest` or not at all, else `IfNotPresent`, also for names that are no references.
pub fn default_pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag of a reference: `latest` when it has neither tag nor digest, nothing when it has only a digest or is wrong.
fn tag(image: &str) -> Option<&str> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    if digest.is_some_and(|d| !is_digest(d)) || (rest.len() == 64 && rest.bytes().all(is_lower_hex)) {
        return None;
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if !is_name(name) || tag.is_some_and(|t| !is_tag(t)) {
        return None;
    }
    tag.or(if digest.is_none() { Some("latest") } else { None })
}

fn is_lower_hex(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let good = |b: u8| b.is_ascii_alphanumeric() || b"+.-_".contains(&b);
    let known = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => false,
    };
    known && algorithm.bytes().all(good) && hex.bytes().all(is_lower_hex)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// A domain (when the first part looks like one) and path components.
fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((first, rest)) if looks_like_domain(first) => {
            if !is_domain(first) {
                return false;
            }
            rest
        }
        _ => name,
    };
    name.len() <= 255 && path.split('/').all(is_component)
}

fn looks_like_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (domain, "0"),
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_good = bracketed.map_or_else(
        || host.split('.').all(label),
        |ip| ip.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
    );
    host_good && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Lower-case letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    ends && bytes
        .split(alphanumeric)
        .all(|between| matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|b| *b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_where_they_are() {
        assert_eq!(tag("nginx"), Some("latest"));
        assert_eq!(tag("nginx:1.25"), Some("1.25"));
        assert_eq!(tag("localhost:5000/a/b"), Some("latest"));
        assert_eq!(tag("localhost:5000/a/b:x"), Some("x"));
        assert_eq!(tag(&format!("nginx@sha256:{}", "0".repeat(64))), None);
        assert_eq!(tag(&format!("nginx:latest@sha256:{}", "0".repeat(64))), Some("latest"));
    }

    #[test]
    fn wrong_references_are_pulled_if_not_present() {
        for image in [" i", "Nginx", "a//b", "", "a:b c", "a__-b"] {
            assert_eq!(default_pull_policy(image), "IfNotPresent", "{image}");
        }
        assert_eq!(default_pull_policy("a-b_c/d.e"), "Always");
    }
}
