//! Whole documents: `/openapi/v2`, the index of `/openapi/v3` and its documents, one a group and version.
//!
//! A document is written piece by piece into its JSON, so that never more than one definition exists as a tree.

use crate::describe::Descriptions;
use crate::discovery::{core, groups, kinds_of, legacy};
use crate::spec::definition::Writer;
use crate::spec::operation::{Item, Shared};
use crate::spec::path::{Paths, definition};
use crate::spec::{Flavor, custom, facts, parameter, service};
use api::{Value, json, schema, tree};
use kinds::Registry;
use sha2::{Digest, Sha512};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the crate's own part of all documents amounts to.
const FINGERPRINT: &str = include_str!(concat!(env!("OUT_DIR"), "/fingerprint"));

/// Group, version and kind.
type Gvk = (String, String, String);

/// `/openapi/v2` as JSON.
pub fn v2(registry: &Registry) -> Vec<u8> {
    let descriptions = Descriptions::all();
    let names = names(registry);
    let items = names.iter().flat_map(|name| items(registry, name, &descriptions)).collect();
    write(registry, Flavor::V2, items, None, &descriptions)
}

/// The names of the documents of `/openapi/v3`: `api/v1`, `apis/apps`, `version`, …, sorted.
pub fn names(registry: &Registry) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        ["api", "apis", "version", ".well-known/openid-configuration", "openid/v1/jwks"]
            .map(str::to_owned)
            .into();
    names.extend(core(registry).versions.iter().map(|version| format!("api/{version}")));
    for group in groups(registry) {
        if is_builtin(registry, &group.name) {
            names.insert(format!("apis/{}", group.name));
        }
        names.extend(group.versions.iter().map(|version| format!("apis/{}/{version}", group.name)));
    }
    names
}

/// One document of `/openapi/v3` as JSON; `None` when there is none of that name.
pub fn v3(registry: &Registry, name: &str) -> Option<Vec<u8>> {
    if !names(registry).contains(name) {
        return None;
    }
    let descriptions = Descriptions::all();
    let items = items(registry, name, &descriptions);
    Some(write(registry, Flavor::V3, items, split(name), &descriptions))
}

/// What changes whenever a document of `/openapi/v3` does, as upper-case hex; `None` when there is none of that name.
/// It is made of what the document is computed from, so that the index of all of them costs next to nothing.
pub fn v3_hash(registry: &Registry, name: &str) -> Option<String> {
    if !names(registry).contains(name) {
        return None;
    }
    let mut hasher = Sha512::new();
    hasher.update(FINGERPRINT);
    hasher.update(name);
    if let Some((group, version)) = split(name) {
        let resources = legacy::resource_list(registry, group, version).unwrap_or_default();
        hasher.update(json::to_vec(&resources));
        for kind in kinds_of(registry, group, version) {
            hasher
                .update(kind.openapi_schema(version).map(|schema| json::to_vec(&schema)).unwrap_or_default());
        }
    }
    Some(hex(&hasher.finalize()))
}

/// What changes whenever `/openapi/v2` does.
pub fn v2_hash(registry: &Registry) -> String {
    let mut hasher = Sha512::new();
    for name in names(registry) {
        hasher.update(v3_hash(registry, &name).unwrap_or_default());
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn is_builtin(registry: &Registry, group: &str) -> bool {
    registry.kinds().any(|k| k.info().group == group && !k.stored_as_json())
}

/// Group and version of a document's name; `None` when it is of no version.
fn split(name: &str) -> Option<(&str, &str)> {
    match name.strip_prefix("api/") {
        Some(version) => Some(("", version)),
        None => name.strip_prefix("apis/")?.split_once('/'),
    }
}

/// The paths of a document.
fn items(registry: &Registry, name: &str, descriptions: &Descriptions) -> Vec<Item> {
    if let Some((group, version)) = split(name) {
        let mut items =
            if is_builtin(registry, group) { vec![service::resources(group, version)] } else { Vec::new() };
        for kind in kinds_of(registry, group, version) {
            items.extend(Paths::new(&*kind, version, descriptions).items());
        }
        return items;
    }
    vec![match name {
        "api" => service::core_versions(),
        "apis" => service::group_list(),
        "version" => service::version(),
        "openid/v1/jwks" => service::key_set(),
        ".well-known/openid-configuration" => service::issuer(),
        group => service::group(group.strip_prefix("apis/").unwrap_or(group)),
    }]
}

fn write(
    registry: &Registry,
    flavor: Flavor,
    items: Vec<Item>,
    of: Option<(&str, &str)>,
    descriptions: &Descriptions,
) -> Vec<u8> {
    let items: BTreeMap<&str, &Item> = items.iter().map(|item| (item.path.as_str(), item)).collect();
    let mut shared = Shared::new();
    let mut wanted = BTreeSet::new();
    let paths = object(items.into_iter().map(|(path, item)| {
        let value = item.value(flavor, &mut shared);
        references(&value, &mut wanted);
        (path.to_owned(), value)
    }));
    for value in shared.values() {
        references(value, &mut wanted);
    }
    let definitions = Definitions::new(registry, flavor, of, descriptions).write(wanted);
    let info = json::to_string(&tree!({"title": "Kubernetes", "version": "unversioned"}));
    let bearer = json::to_string(&tree!({"BearerToken": {
        "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
    }}));
    match flavor {
        Flavor::V2 => {
            let parameters = object(shared.into_iter());
            let security = r#"[{"BearerToken":[]}]"#;
            format!(
                r#"{{"swagger":"2.0","info":{info},"paths":{paths},"definitions":{definitions},"parameters":{parameters},"securityDefinitions":{bearer},"security":{security}}}"#
            )
        }
        Flavor::V3 => format!(
            r#"{{"openapi":"3.0.0","info":{info},"paths":{paths},"components":{{"schemas":{definitions},"securitySchemes":{bearer}}}}}"#
        ),
    }
    .into_bytes()
}

/// A JSON object of values that are dropped as soon as they are written.
fn object(entries: impl Iterator<Item = (String, Value)>) -> String {
    let mut out = vec![b'{'];
    for (key, value) in entries {
        if out.len() > 1 {
            out.push(b',');
        }
        json::write(&Value::from(key), &mut out);
        out.push(b':');
        json::write(&value, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

/// Collects the definitions that a value refers to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Map(map) => {
            for (key, value) in map.iter() {
                match value.as_str().and_then(definition_of) {
                    Some(name) if key == "$ref" => drop(found.insert(name.to_owned())),
                    _ => references(value, found),
                }
            }
        }
        Value::List(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn definition_of(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/definitions/").or_else(|| reference.strip_prefix("#/components/schemas/"))
}

/// Finds and writes definitions by name.
struct Definitions<'a> {
    writer: Writer<'a>,
    registry: &'a Registry,
    kinds: HashMap<String, Vec<Gvk>>,
}

impl<'a> Definitions<'a> {
    fn new(
        registry: &'a Registry,
        flavor: Flavor,
        of: Option<(&str, &str)>,
        descriptions: &'a Descriptions,
    ) -> Self {
        let schema = schema::builtin();
        let mut kinds: HashMap<String, Vec<Gvk>> = HashMap::new();
        let mut versions: BTreeSet<(String, String)> = BTreeSet::new();
        for (group, version, kind, id) in schema::gvk_types() {
            let gvk = (group.to_owned(), version.to_owned(), kind.to_owned());
            versions.insert((gvk.0.clone(), gvk.1.clone()));
            kinds.entry(schema.get(id).name.to_string()).or_default().push(gvk);
        }
        versions.retain(|(group, _)| !facts::DOCUMENT_GROUPS.contains(&group.as_str()));
        versions.extend(facts::OLD_VERSIONS.map(|(g, v)| (g.to_owned(), v.to_owned())));
        if let Some((group, version)) = of {
            versions = [("", "v1"), (group, version)].map(|(g, v)| (g.to_owned(), v.to_owned())).into();
        }
        for kind in ["DeleteOptions", "WatchEvent"] {
            let everywhere = versions.iter().map(|(g, v)| (g.clone(), v.clone(), kind.to_owned())).collect();
            kinds.insert(parameter::meta(kind), everywhere);
        }
        kinds.values_mut().for_each(|list| list.sort());
        Definitions { writer: Writer { schema, flavor, descriptions }, registry, kinds }
    }

    /// The wanted definitions and all they lead to, sorted by name.
    fn write(&self, mut wanted: BTreeSet<String>) -> String {
        let mut written: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        while let Some(name) = wanted.pop_first() {
            let Some(value) = self.definition(&name) else { continue };
            let mut found = BTreeSet::new();
            references(&value, &mut found);
            wanted.extend(found.into_iter().filter(|n| *n != name && !written.contains_key(n)));
            written.insert(name, json::to_vec(&value));
        }
        let mut out = String::from("{");
        for (name, text) in written {
            if out.len() > 1 {
                out.push(',');
            }
            out += &json::to_string(&Value::from(name));
            out.push(':');
            out += &String::from_utf8_lossy(&text);
        }
        out.push('}');
        out
    }

    fn definition(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.writer.special(name) {
            return Some(value);
        }
        if let Some(id) = self.writer.schema.find(name) {
            let kinds = self.kinds.get(name).map(Vec::as_slice).unwrap_or_default();
            return Some(self.writer.definition(id, kinds));
        }
        self.custom(name)
    }

    /// The definition of a custom kind or of its list.
    fn custom(&self, name: &str) -> Option<Value> {
        for kind in self.registry.kinds().filter(|k| k.stored_as_json()) {
            let info = kind.info();
            for version in &info.versions {
                if definition(info, version, &info.kind, true) == name {
                    return Some(custom::definition(
                        &**kind,
                        version,
                        self.writer.flavor,
                        self.writer.descriptions,
                    ));
                }
                if definition(info, version, &info.list_kind, true) == name {
                    return Some(custom::list(info, version, self.writer.flavor, self.writer.descriptions));
                }
            }
        }
        None
    }
}
