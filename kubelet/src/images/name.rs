//! Names of images: `busybox` is `docker.io/library/busybox:latest`. Grammar and refusals are those of the library that
//! the original uses.

use api::quote;

const NAME_BYTES: usize = 255;

/// A name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// With its registry: `docker.io/library/busybox`.
    pub repository: String,
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl ImageName {
    /// # Errors
    /// Upstream's text.
    pub fn parse(image: &str) -> Result<Self, String> {
        parse(image).map_err(|why| format!("couldn't parse image name {}: {why}", quote(image)))
    }

    /// The name as given, with `:latest` when it names neither tag nor digest.
    pub fn with_default_tag(&self, given: &str) -> String {
        match (&self.tag, &self.digest) {
            (None, None) => format!("{given}:latest"),
            _ => given.to_owned(),
        }
    }
}

fn parse(image: &str) -> Result<ImageName, String> {
    let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    if image.len() == 64 && image.chars().all(is_hex) {
        return Err(format!("invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"));
    }
    let (domain, rest) = split_domain(image);
    let path = rest.split_once(':').map_or(rest.as_str(), |(path, _)| path);
    if path.chars().any(char::is_uppercase) {
        return Err(format!("invalid reference format: repository name ({path}) must be lowercase"));
    }
    let invalid = || "invalid reference format".to_owned();
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest.as_str(), None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let valid = is_domain(&domain)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if !valid {
        return Err(invalid());
    }
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    let repository = format!("{domain}/{path}");
    if repository.len() > NAME_BYTES {
        return Err(format!("repository name must not be more than {NAME_BYTES} characters"));
    }
    Ok(ImageName { repository, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
}

/// The first part is a registry only when it looks like a host.
fn split_domain(image: &str) -> (String, String) {
    let is_host =
        |host: &str| host.contains(['.', ':']) || host == "localhost" || host.chars().any(char::is_uppercase);
    let (domain, rest) = match image.split_once('/') {
        Some((host, rest)) if is_host(host) => (host, rest),
        _ => ("docker.io", image),
    };
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    match domain == "docker.io" && !rest.contains('/') {
        true => (domain.to_owned(), format!("library/{rest}")),
        false => (domain.to_owned(), rest.to_owned()),
    }
}

fn is_domain(domain: &str) -> bool {
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(inside) = domain.strip_prefix('[') {
        let Some((address, port)) = inside.split_once(']') else { return false };
        let hex = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return hex && (port.is_empty() || port.strip_prefix(':').is_some_and(digits));
    }
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        edge(label.bytes().next())
            && edge(label.bytes().last())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(is_label) && port.is_none_or(digits)
}

/// Lower-case letters and digits, between them one dot, one or two underscores, or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let mut separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    is_word(*first)
        && is_word(*last)
        && separators.all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = tag.bytes().next().is_some_and(is_word);
    first && tag.len() <= 128 && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_part = |part: &str| {
        let first = part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        first && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let known = algorithm.split(['-', '_', '+', '.']).all(is_part);
    known && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

fn check_digest(digest: &str) -> Result<(), String> {
    let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err("unsupported digest algorithm".to_owned()),
    };
    if hex.len() != length {
        return Err("invalid checksum digest length".to_owned());
    }
    match hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')) {
        true => Ok(()),
        false => Err("invalid checksum digest format".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(image: &str) -> String {
        let name = ImageName::parse(image).unwrap();
        format!("{} {}", name.repository, name.with_default_tag(image))
    }

    #[test]
    fn short_names_are_dockers_and_tags_default_to_latest() {
        assert_eq!(full("busybox"), "docker.io/library/busybox busybox:latest");
        assert_eq!(full("a/b:1"), "docker.io/a/b a/b:1");
        assert_eq!(full("localhost/a"), "localhost/a localhost/a:latest");
        assert_eq!(full("reg.io:5000/a/b"), "reg.io:5000/a/b reg.io:5000/a/b:latest");
        let digest = format!("busybox@sha256:{}", "a".repeat(64));
        assert_eq!(full(&digest), format!("docker.io/library/busybox {digest}"));
        assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a [::1]:5000/a:latest");
    }

    #[test]
    fn bad_names_are_refused_in_upstreams_words() {
        let why = |image: &str| ImageName::parse(image).unwrap_err();
        assert_eq!(why("a b"), "couldn't parse image name \"a b\": invalid reference format");
        let upper = "invalid reference format: repository name (library/Busybox) must be lowercase";
        assert_eq!(why("Busybox"), format!("couldn't parse image name \"Busybox\": {upper}"));
        assert!(why(&"a".repeat(64)).contains("cannot specify 64-byte hexadecimal strings"));
        assert!(
            why("busybox@sha256:abcdabcdabcdabcdabcdabcdabcdabcd")
                .ends_with("invalid checksum digest length")
        );
        for image in ["a:", "a..b", "-a", "a___b", "a/", "host:x/a", "a:-x", ":x"] {
            assert!(why(image).ends_with("invalid reference format"), "{image}");
        }
        assert!(ImageName::parse("a--b/c__d.e").is_ok());
    }
}
