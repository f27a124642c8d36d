//! Aggregated discovery: everything in two documents (`/api` for the core group, `/apis` for the others).

use super::{Group, core, groups, kinds_of, names, subresources, verbs};
use api::{Map, Value, tree};
use kinds::{Kind, Registry, Subresource};

/// The content type of both documents.
pub const CONTENT_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`.
pub fn core_list(registry: &Registry) -> Value {
    list(registry, &[core(registry)])
}

/// `/apis`.
pub fn group_list(registry: &Registry) -> Value {
    list(registry, &groups(registry))
}

fn list(registry: &Registry, groups: &[Group]) -> Value {
    let items: Vec<Value> = groups.iter().map(|g| group(registry, g)).collect();
    tree!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn group(registry: &Registry, group: &Group) -> Value {
    let mut metadata = Map::new();
    if !group.name.is_empty() {
        metadata.insert("name", group.name.as_str());
    }
    let version = |version: &String| {
        let kinds = kinds_of(registry, &group.name, version);
        let resources: Vec<Value> = kinds.iter().map(|kind| resource(&**kind, version)).collect();
        tree!({"version": version.as_str(), "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    tree!({"metadata": metadata, "versions": versions})
}

fn resource(kind: &dyn Kind, version: &str) -> Value {
    let info = kind.info();
    let mut row = Map::new();
    row.insert("resource", &info.plural);
    row.insert("responseKind", own_kind(kind, version, &info.kind));
    row.insert("scope", if info.namespaced { "Namespaced" } else { "Cluster" });
    row.insert("singularResource", &info.singular);
    row.insert("verbs", verbs(kind));
    if let Some(short) = names(&info.short_names) {
        row.insert("shortNames", short);
    }
    if let Some(categories) = names(&info.categories) {
        row.insert("categories", categories);
    }
    let subs: Vec<Value> = subresources(kind).iter().map(|sub| subresource(kind, version, sub)).collect();
    if !subs.is_empty() {
        row.insert("subresources", subs);
    }
    row.into()
}

fn subresource(kind: &dyn Kind, version: &str, sub: &Subresource) -> Value {
    let response = match sub.group.as_str() {
        "" => own_kind(kind, version, &sub.kind),
        group => tree!({"group": group, "version": &sub.version, "kind": &sub.kind}),
    };
    tree!({"subresource": &sub.name, "responseKind": response, "verbs": sub.verbs.names()})
}

/// A kind of the resource's own group and version. Built-in resources leave both to be understood.
fn own_kind(kind: &dyn Kind, version: &str, name: &str) -> Value {
    let (group, version) =
        if kind.stored_as_json() { (kind.info().group.as_str(), version) } else { ("", "") };
    tree!({"group": group, "version": version, "kind": name})
}
