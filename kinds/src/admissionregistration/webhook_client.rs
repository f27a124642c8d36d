//! How webhooks are reached: by a URL, or through a service. Also used for conversions of custom resources.
//! Source: apiserver `util/webhook/validation.go`.

use crate::validation;
use api::{Fault, Path, Value, names};

const FORM: &str = "; desired format: https://host[/path]";

/// Faults of a `clientConfig` that has a URL or a service.
pub fn faults(config: Option<&Value>, at: &Path) -> Vec<Fault> {
    let field = |name: &str| config.and_then(|c| c.get(name)).filter(|v| !v.is_null());
    match (field("url"), field("service")) {
        (Some(url), None) => url_faults(url.as_str().unwrap_or_default(), &at.child("url")),
        (None, Some(service)) => service_faults(service, &at.child("service")),
        _ => vec![Fault::required(at, "exactly one of url or service is required")],
    }
}

fn url_faults(url: &str, at: &Path) -> Vec<Fault> {
    if let Some(problem) = parse_problem(url) {
        return vec![Fault::required(at, format!("url must be a valid URL: {problem}{FORM}"))];
    }
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = split_scheme(rest);
    let authority = rest.strip_prefix("//").map(|r| r.split('/').next().unwrap_or_default());
    let (user, host) = match authority.and_then(|a| a.rsplit_once('@')) {
        Some((user, host)) => (Some(user), host),
        None => (None, authority.unwrap_or_default()),
    };
    let mut faults = Vec::new();
    if scheme != "https" {
        faults.push(Fault::invalid(at, scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    if host.is_empty() {
        faults.push(Fault::invalid(at, "", format!("host must be specified{FORM}")));
    }
    let forbidden = [
        (user.unwrap_or_default(), "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ];
    let present = forbidden.iter().filter(|(part, _)| !part.is_empty());
    faults.extend(present.map(|(part, text)| Fault::invalid(at, *part, *text)));
    faults
}

/// The scheme in lower case, and what follows its colon; "" for none.
fn split_scheme(url: &str) -> (String, &str) {
    match url.split_once(':') {
        Some((scheme, rest))
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) =>
        {
            (scheme.to_ascii_lowercase(), rest)
        }
        _ => (String::new(), url),
    }
}

/// What Go's parser says of texts that are no URLs at all.
fn parse_problem(url: &str) -> Option<String> {
    let quoted = api::quote(url);
    let problem = |text: &str| Some(format!("parse {quoted}: {text}"));
    if url.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return problem("net/url: invalid control character in URL");
    }
    if url.starts_with(':') {
        return problem("missing protocol scheme");
    }
    let (_, rest) = split_scheme(url);
    let first = rest.split('/').next().unwrap_or_default();
    if rest.len() == url.len() && first.contains(':') && !url.starts_with('/') {
        return problem("first path segment in URL cannot contain colon");
    }
    let host = rest.strip_prefix("//")?.split(['/', '?', '#']).next().unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|_| !host.ends_with(']'))?;
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if digits {
        None
    } else {
        problem(&format!("invalid port {} after host", api::quote(&format!(":{port}"))))
    }
}

/// Upstream takes name and namespace in each other's place: a missing namespace is told at `name`.
fn service_faults(service: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (field, shown) in [("namespace", "name"), ("name", "namespace")] {
        faults.extend(validation::required(service.str_at(&[field]), &at.child(shown)));
    }
    let port = service.i64_at(&["port"]).unwrap_or_default();
    let texts = names::is_port_number(port);
    if !texts.is_empty() {
        let text = format!("port is not valid: {}", texts.join(", "));
        faults.push(Fault::invalid(at.child("port"), port, text));
    }
    if let Some(path) = service.get("path").and_then(Value::as_str) {
        faults.extend(path_faults(path, &at.child("path")));
    }
    faults
}

fn path_faults(path: &str, at: &Path) -> Vec<Fault> {
    let fault = |text: String| Fault::invalid(at, path, text);
    match path {
        "" | "/" => return Vec::new(),
        "//" => return vec![fault("segment[0] may not be empty".to_owned())],
        _ => {}
    }
    let mut faults = Vec::new();
    if !path.starts_with('/') {
        faults.push(fault("must start with a '/'".to_owned()));
    }
    let mut chars = path.chars();
    chars.next();
    let inner = chars.as_str();
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (i, step) in inner.split('/').enumerate() {
        if step.is_empty() {
            faults.push(fault(format!("segment[{i}] may not be empty")));
            continue;
        }
        let texts = names::is_dns1123_subdomain(step).into_iter();
        faults.extend(texts.map(|text| fault(format!("segment[{i}]: {text}"))));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(config: Value) -> Vec<String> {
        faults(Some(&config), &Path::new("c")).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn urls_are_https_with_a_host_and_a_path() {
        assert!(texts(tree!({"url": "https://x.example.com/a"})).is_empty());
        assert_eq!(
            texts(tree!({"url": "http://u@x/y?z#f"})),
            [
                "c.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "c.url: Invalid value: \"u\": user information is not permitted in the URL",
                "c.url: Invalid value: \"f\": fragments are not permitted in the URL",
                "c.url: Invalid value: \"z\": query parameters are not permitted in the URL",
            ]
        );
        assert_eq!(texts(tree!({})), ["c: Required value: exactly one of url or service is required"]);
    }

    #[test]
    fn services_are_complete() {
        assert_eq!(
            texts(tree!({"service": {"name": "s", "port": 70000, "path": "a//b"}})),
            [
                "c.service.name: Required value",
                "c.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
                "c.service.path: Invalid value: \"a//b\": must start with a '/'",
                "c.service.path: Invalid value: \"a//b\": segment[0] may not be empty",
                "c.service.path: Invalid value: \"a//b\": segment[1] may not be empty",
            ]
        );
    }
}
