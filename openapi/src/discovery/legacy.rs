//! The plain discovery documents: `/api`, `/api/v1`, `/apis`, `/apis/G`, `/apis/G/V`.

use super::{Group, addresses, core, group_version, groups, kinds_of, names, subresources, verbs};
use api::{Map, Value, tree};
use base64::{Engine, engine::general_purpose::STANDARD};
use kinds::{Info, Kind, Registry, Subresource, Verbs};
use sha2::{Digest, Sha256};

/// `/api`. `server` is where clients reach this server, as `host:port`.
pub fn api_versions(registry: &Registry, server: &str) -> Value {
    let versions = core(registry).versions;
    tree!({"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": addresses(server)})
}

/// `/apis`.
pub fn group_list(registry: &Registry) -> Value {
    let groups: Vec<Value> = groups(registry).iter().map(group).collect();
    tree!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/G`; `None` when no such group is served.
pub fn api_group(registry: &Registry, name: &str) -> Option<Value> {
    let found = groups(registry).into_iter().find(|g| g.name == name)?;
    let mut document = tree!({"kind": "APIGroup", "apiVersion": "v1"});
    if let (Some(map), Value::Map(fields)) = (document.as_map_mut(), group(&found)) {
        for (key, value) in fields {
            map.insert(key, value);
        }
    }
    Some(document)
}

fn group(group: &Group) -> Value {
    let version = |version: &String| tree!({"groupVersion": group_version(&group.name, version), "version": version.as_str()});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let preferred = versions.first().cloned().unwrap_or_else(Value::map);
    tree!({"name": group.name.as_str(), "versions": versions, "preferredVersion": preferred})
}

/// `/api/v1` and `/apis/G/V`; `None` when nothing is served there.
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let kinds = kinds_of(registry, group, version);
    if kinds.is_empty() {
        return None;
    }
    let mut rows: Vec<(String, Value)> = Vec::new();
    for kind in &kinds {
        let info = kind.info();
        rows.push((info.plural.to_string(), resource(registry, &**kind)));
        for sub in subresources(&**kind) {
            let name = format!("{}/{}", info.plural, sub.name);
            let row = subresource(&**kind, version, sub, &name);
            rows.push((name, row));
        }
    }
    if !kinds.iter().any(|kind| kind.stored_as_json()) {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let mut list = Map::new();
    list.insert("kind", "APIResourceList");
    if !group.is_empty() {
        list.insert("apiVersion", "v1");
    }
    list.insert("groupVersion", group_version(group, version));
    list.insert("resources", rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    Some(list.into())
}

fn resource(registry: &Registry, kind: &dyn Kind) -> Value {
    let info = kind.info();
    let mut row = Map::new();
    row.insert("name", &info.plural);
    row.insert("singularName", &info.singular);
    row.insert("namespaced", info.namespaced);
    row.insert("kind", &info.kind);
    row.insert("verbs", verbs(kind));
    if let Some(short) = names(&info.short_names) {
        row.insert("shortNames", short);
    }
    if let Some(categories) = names(&info.categories) {
        row.insert("categories", categories);
    }
    if info.verbs.has(Verbs::CREATE.and(Verbs::GET)) {
        // The kind as this version has it works in this version; the registry's is that of the store.
        let stored = registry.find(&info.group, &info.plural).map_or(info, |kind| kind.info());
        row.insert("storageVersionHash", storage_version_hash(stored));
    }
    row.into()
}

fn subresource(kind: &dyn Kind, version: &str, sub: &Subresource, name: &str) -> Value {
    let info = kind.info();
    let mut row = Map::new();
    row.insert("name", name);
    row.insert("singularName", "");
    row.insert("namespaced", info.namespaced);
    let is_own = sub.group.is_empty() || (sub.group == info.group && sub.version == version);
    if !is_own {
        row.insert("group", &sub.group);
        row.insert("version", &sub.version);
    }
    row.insert("kind", &sub.kind);
    row.insert("verbs", sub.verbs.names());
    row.into()
}

/// What tells clients that the stored form of a kind has changed: a hash of its stored group, version and kind.
fn storage_version_hash(info: &Info) -> String {
    let (group, version) = match info.storage_version.strip_prefix("core/") {
        Some(version) => ("", version),
        None => (info.group.as_str(), info.storage_version.as_str()),
    };
    let text = format!("{group}/{version}/{}", info.kind);
    let digest = Sha256::digest(text.as_bytes());
    STANDARD.encode(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_group_has_no_api_version_and_its_resources_are_sorted() {
        let registry = Registry::builtin();
        let list = resource_list(&registry, "", "v1").unwrap();
        assert_eq!(list.get("apiVersion"), None);
        let names: Vec<&str> = list.list_at(&["resources"]).iter().map(|r| r.str_at(&["name"])).collect();
        assert!(names.is_sorted(), "{names:?}");
        let config_map =
            list.list_at(&["resources"]).iter().find(|r| r.str_at(&["name"]) == "configmaps").unwrap();
        assert_eq!(config_map.str_at(&["storageVersionHash"]), "qFsyl6wFWjQ=");
        assert_eq!(resource_list(&registry, "", "v2"), None);
        assert_eq!(api_group(&registry, "none.example"), None);
    }
}
