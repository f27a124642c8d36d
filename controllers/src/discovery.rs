//! The resources that a server has, each at the version it prefers.

use client::{Client, Error, Method, Resource};
use std::collections::HashSet;

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    pub resource: Resource,
    pub kind: String,
    verbs: Vec<String>,
}

impl Discovered {
    pub fn has(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

/// Asks for all groups and versions; subresources are left out.
pub async fn resources(client: &Client) -> Result<Vec<Discovered>, Error> {
    let groups = client.call(Method::GET, "/apis", None).await?;
    let mut places = vec![("/api/v1".to_owned(), String::new(), "v1".to_owned())];
    for group in groups.list_at(&["groups"]) {
        let name = group.str_at(&["name"]);
        let preferred = group.str_at(&["preferredVersion", "version"]);
        let others = group.list_at(&["versions"]).iter().map(|v| v.str_at(&["version"]));
        for version in std::iter::once(preferred).chain(others.filter(|v| *v != preferred)) {
            places.push((format!("/apis/{name}/{version}"), name.to_owned(), version.to_owned()));
        }
    }
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for (path, group, version) in places {
        let list = match client.call(Method::GET, &path, None).await {
            Ok(list) => list,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        for entry in list.list_at(&["resources"]) {
            let name = entry.str_at(&["name"]);
            if name.contains('/') || !seen.insert((group.clone(), name.to_owned())) {
                continue;
            }
            let verbs =
                entry.list_at(&["verbs"]).iter().filter_map(|v| v.as_str()).map(str::to_owned).collect();
            let namespaced = entry.bool_at(&["namespaced"]);
            let resource = Resource { namespaced, ..Resource::namespaced(&group, &version, name) };
            found.push(Discovered { resource, kind: entry.str_at(&["kind"]).to_owned(), verbs });
        }
    }
    Ok(found)
}
