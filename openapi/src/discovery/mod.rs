//! Discovery: what is served, as clients ask for it before anything else. The plain documents say one group or one
//! version each (`legacy`), the aggregated ones everything at once (`aggregated`).

pub mod aggregated;
pub mod legacy;

use api::{Value, tree};
use kinds::{Info, Kind, Registry, Subresource};
use std::sync::Arc;

pub use kinds::custom::compare_versions;

/// A group and its served versions, preferred first. The core group has the name "".
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub name: String,
    pub versions: Vec<String>,
}

/// All groups but core: built-in ones in the registry's order, then custom ones by name.
pub fn groups(registry: &Registry) -> Vec<Group> {
    let mut groups: Vec<(bool, Group)> = Vec::new();
    for kind in registry.kinds().filter(|k| !k.info().group.is_empty()) {
        let info = kind.info();
        let at = match groups.iter().position(|(_, g)| g.name == info.group.as_str()) {
            Some(at) => at,
            None => {
                let group = Group { name: info.group.to_string(), versions: Vec::new() };
                groups.push((kind.stored_as_json(), group));
                groups.len() - 1
            }
        };
        if let Some((_, group)) = groups.get_mut(at) {
            add_versions(&mut group.versions, info);
        }
    }
    groups.sort_by(|(a_custom, a), (b_custom, b)| {
        let by_name = if *a_custom { a.name.cmp(&b.name) } else { std::cmp::Ordering::Equal };
        a_custom.cmp(b_custom).then(by_name)
    });
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The core group.
pub fn core(registry: &Registry) -> Group {
    let mut core = Group { name: String::new(), versions: Vec::new() };
    for info in registry.infos().filter(|i| i.group.is_empty()) {
        add_versions(&mut core.versions, info);
    }
    core
}

fn add_versions(versions: &mut Vec<String>, info: &Info) {
    for version in &info.versions {
        if !versions.iter().any(|v| v == version.as_str()) {
            versions.push(version.to_string());
        }
    }
    versions.sort_by(|a, b| compare_versions(a, b));
}

/// The kinds of a group and version, as they are there, by resource name.
pub fn kinds_of(registry: &Registry, group: &str, version: &str) -> Vec<Arc<dyn Kind>> {
    let serves = |info: &Info| info.group == group && info.versions.iter().any(|v| v == version);
    let here = |kind: &Arc<dyn Kind>| kind.at(version).unwrap_or_else(|| kind.clone());
    let mut kinds: Vec<Arc<dyn Kind>> = registry.kinds().filter(|k| serves(k.info())).map(here).collect();
    kinds.sort_by(|a, b| a.info().plural.cmp(&b.info().plural));
    kinds
}

/// `apps/v1`, or `v1` in the core group.
pub fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Subresources by name; those of custom kinds as they come.
fn subresources(kind: &dyn Kind) -> Vec<&Subresource> {
    let mut subresources: Vec<&Subresource> = kind.info().subresources.iter().collect();
    if !kind.stored_as_json() {
        subresources.sort_by(|a, b| a.name.cmp(&b.name));
    }
    subresources
}

/// The verbs of a kind in the order of its server: alphabetical, but for custom kinds. One on its way out has fewer.
fn verbs(kind: &dyn Kind) -> Vec<&'static str> {
    const CUSTOM: [&str; 8] =
        ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    if !kind.stored_as_json() {
        return kind.info().verbs.names();
    }
    let (ends, has) = (kind.creation_refusal().is_some(), kind.info().verbs.names());
    let is_served =
        |verb: &&str| has.contains(verb) && !(ends && matches!(*verb, "patch" | "create" | "update"));
    CUSTOM.into_iter().filter(is_served).collect()
}

/// A list of names; `None` when there are none.
fn names(list: &[api::Str]) -> Option<Value> {
    if list.is_empty() { None } else { Some(list.iter().map(Value::from).collect::<Vec<_>>().into()) }
}

/// Where the server is, for clients of any address.
fn addresses(server: &str) -> Value {
    tree!([{"clientCIDR": "0.0.0.0/0", "serverAddress": server}])
}
