//! Definitions of custom kinds: the schema their version publishes, with the metadata that every object has.

use super::parameter::meta;
use super::{Flavor, path};
use crate::describe::Descriptions;
use api::{Map, Value, tree};
use kinds::{Info, Kind};

/// What version 2 cannot say; clients that check objects against it would refuse good ones.
const ONLY_V3: [&str; 5] = ["oneOf", "anyOf", "allOf", "not", "nullable"];

/// The definition of a version of a custom kind.
pub fn definition(kind: &dyn Kind, version: &str, flavor: Flavor, descriptions: &Descriptions) -> Value {
    let info = kind.info();
    let published = kind.openapi_schema(version);
    let mut out = match published {
        Some(schema) if !(flavor == Flavor::V2 && keeps_unknown(&schema)) => {
            complete(schema, flavor, descriptions)
        }
        _ => tree!({"type": "object"}),
    };
    let gvk = tree!([{"group": &info.group, "kind": &info.kind, "version": version}]);
    out.set(&["x-kubernetes-group-version-kind"], gvk);
    out
}

fn keeps_unknown(schema: &Value) -> bool {
    schema.bool_at(&["x-kubernetes-preserve-unknown-fields"])
}

fn complete(mut schema: Value, flavor: Flavor, descriptions: &Descriptions) -> Value {
    embed(&mut schema, flavor, descriptions);
    if flavor == Flavor::V2 {
        strip(&mut schema);
    }
    schema.set(&["type"], "object");
    let properties = schema.make_map(&["properties"]);
    for (field, value) in type_and_metadata(flavor, descriptions, "ObjectMeta") {
        properties.insert(field, value);
    }
    schema
}

/// Gives embedded resources what every resource has. Version 2 leaves those alone that keep unknown fields.
fn embed(schema: &mut Value, flavor: Flavor, descriptions: &Descriptions) {
    if let Some(Value::Map(properties)) = schema.get_mut("properties") {
        properties.iter_mut().for_each(|(_, inner)| embed(inner, flavor, descriptions));
    }
    for field in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(field) {
            embed(inner, flavor, descriptions);
        }
    }
    let skipped = flavor == Flavor::V2 && keeps_unknown(schema);
    if skipped || !schema.bool_at(&["x-kubernetes-embedded-resource"]) {
        return;
    }
    let properties = schema.make_map(&["properties"]);
    for (field, value) in type_and_metadata(flavor, descriptions, "ObjectMeta") {
        properties.insert(field, value);
    }
    properties.sort();
    let mut required = schema.list_at(&["required"]).to_vec();
    for field in ["kind", "apiVersion"] {
        if !required.iter().any(|r| r.as_str() == Some(field)) {
            required.push(field.into());
        }
    }
    schema.set(&["required"], required);
}

fn type_and_metadata(flavor: Flavor, descriptions: &Descriptions, metadata: &str) -> Map {
    let text = |field: &str| descriptions.field(&meta("Status"), field);
    let mut out = Map::new();
    out.insert("apiVersion", tree!({"description": text("apiVersion"), "type": "string"}));
    out.insert("kind", tree!({"description": text("kind"), "type": "string"}));
    let reference = tree!({"$ref": flavor.reference(&meta(metadata))});
    // The same words everywhere; there are none for lists.
    let about = match metadata {
        "ObjectMeta" => descriptions.field("io.k8s.api.core.v1.PodTemplateSpec", "metadata"),
        _ => "",
    };
    let metadata = match flavor {
        Flavor::V2 => {
            let mut out = reference;
            out.set(&["description"], about);
            out
        }
        Flavor::V3 => tree!({"allOf": [reference], "description": about}),
    };
    out.insert("metadata", metadata);
    out
}

/// Drops what version 2 has no words for, and everything below a node that keeps unknown fields.
fn strip(schema: &mut Value) {
    let Some(map) = schema.as_map_mut() else { return };
    for key in ONLY_V3 {
        map.remove(key);
    }
    let keeps = map.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true);
    let either = map.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true);
    if keeps || either {
        for key in ["properties", "items", "additionalProperties", "type"] {
            map.remove(key);
        }
    }
    if let Some(Value::Map(properties)) = map.get_mut("properties") {
        properties.iter_mut().for_each(|(_, value)| strip(value));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(value) = map.get_mut(key) {
            strip(value);
        }
    }
}

/// The definition of the list of a custom kind.
pub fn list(info: &Info, version: &str, flavor: Flavor, descriptions: &Descriptions) -> Value {
    let item = path::definition(info, version, &info.kind, true);
    let mut properties = type_and_metadata(flavor, descriptions, "ListMeta");
    const MORE: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let items = tree!({
        "description": format!("List of {}. More info: {MORE}", info.plural), "type": "array", "items": {"$ref": flavor.reference(&item)},
    });
    properties.insert("items", items);
    properties.sort();
    tree!({
        "description": format!("{} is a list of {}", info.list_kind, info.kind),
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [{"group": &info.group, "kind": &info.list_kind, "version": version}],
    })
}
