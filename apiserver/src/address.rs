//! Where a request goes: method and path → `Target`. Pure; whether the kind exists is asked later.

use crate::query::{Query, unescape};

/// What is to be done, in the words of authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A request for a resource. Empty strings mean "none".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `None` for methods that no resource has (HEAD, OPTIONS, …).
    pub verb: Option<Verb>,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub name: String,
    pub subresource: String,
    /// What follows the subresource, with its leading slash (`proxy` takes it).
    pub tail: String,
    /// The deprecated `/watch/` form of the path.
    pub watch_path: bool,
    /// True when the path names a namespace before the resource.
    pub in_namespace: bool,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Resource(Target),
    /// A path without a resource: discovery, health, documents, metrics.
    Other,
}

/// Reads method and path. `path` is still escaped.
pub fn address(method: &str, path: &str, query: &Query) -> Address {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    let (group, version) = match (parts.next(), parts.next(), parts.peek().is_some()) {
        (Some("api"), Some(version), true) => (String::new(), version.to_owned()),
        (Some("apis"), Some(group), true) => match parts.next() {
            Some(version) if parts.peek().is_some() => (unescape(group, false), unescape(version, false)),
            _ => return Address::Other,
        },
        _ => return Address::Other,
    };
    let rest: Vec<&str> = parts.collect();
    match resource(&rest) {
        Some(place) => {
            let mut target = Target { group, version, ..place };
            target.verb = verb(method, &target, query);
            Address::Resource(target)
        }
        None => Address::Other,
    }
}

/// The part of the path behind the version.
fn resource(rest: &[&str]) -> Option<Target> {
    let (watch_path, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() && !rest[0].is_empty() => (true, rest),
        _ => (false, rest),
    };
    let text = |at: usize| rest.get(at).map(|s| unescape(s, false)).unwrap_or_default();
    let is_namespaces = rest.first() == Some(&"namespaces");
    let own_subresource = matches!(rest.get(2), Some(&"status" | &"finalize"));
    let skip = if is_namespaces && rest.len() > 2 && !own_subresource && !rest[2].is_empty() { 2 } else { 0 };
    let resource = text(skip);
    if resource.is_empty() {
        return None;
    }
    let name = text(skip + 1);
    let namespace = match (skip, is_namespaces) {
        (2, _) => text(1),
        (_, true) => name.clone(),
        _ => String::new(),
    };
    let tail = rest
        .get(skip + 3..)
        .filter(|t| !t.is_empty())
        .map(|t| format!("/{}", t.join("/")))
        .unwrap_or_default();
    Some(Target {
        verb: None,
        group: String::new(),
        version: String::new(),
        namespace,
        resource,
        name,
        subresource: text(skip + 2),
        tail,
        watch_path,
        in_namespace: skip == 2,
    })
}

fn verb(method: &str, target: &Target, query: &Query) -> Option<Verb> {
    let named = !target.name.is_empty();
    Some(match method {
        "GET" if target.watch_path => Verb::Watch,
        "GET" if named => Verb::Get,
        "GET" if query.flag("watch") => Verb::Watch,
        "GET" => Verb::List,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "DELETE" if named => Verb::Delete,
        "DELETE" => Verb::DeleteCollection,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, path: &str) -> Target {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match address(method, path, &Query::parse(query)) {
            Address::Resource(target) => target,
            Address::Other => panic!("{path} is no resource"),
        }
    }

    #[test]
    fn paths_of_resources_are_understood() {
        let t = target("GET", "/apis/apps/v1/namespaces/a/deployments/web/scale");
        assert_eq!(
            (t.group.as_str(), t.namespace.as_str(), t.resource.as_str()),
            ("apps", "a", "deployments")
        );
        assert_eq!((t.name.as_str(), t.subresource.as_str(), t.verb), ("web", "scale", Some(Verb::Get)));
        let t = target("GET", "/api/v1/namespaces/a/pods?watch=1");
        assert_eq!((t.verb, t.in_namespace), (Some(Verb::Watch), true));
        let t = target("PUT", "/api/v1/namespaces/a/finalize");
        assert_eq!(
            (t.resource.as_str(), t.name.as_str(), t.subresource.as_str()),
            ("namespaces", "a", "finalize")
        );
        assert_eq!(t.namespace, "a");
        let t = target("GET", "/api/v1/watch/namespaces/a/pods/p");
        assert_eq!((t.verb, t.name.as_str()), (Some(Verb::Watch), "p"));
        let t = target("POST", "/api/v1/nodes/n/proxy/x/y");
        assert_eq!((t.subresource.as_str(), t.tail.as_str()), ("proxy", "/x/y"));
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in
            ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/apis/apps/v1/"]
        {
            assert_eq!(address("GET", path, &Query::default()), Address::Other, "{path}");
        }
    }
}
