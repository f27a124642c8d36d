//! What the OpenAPI documents add: required fields, list types and keys, patch strategies, defaults, kinds.

use super::facts::{Field, Type, Types};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

/// Kinds that exist in every group and version.
const EVERYWHERE: [&str; 7] = [
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "UpdateOptions",
    "WatchEvent",
];

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Annotates the types that the v2 document defines.
pub fn add_v2(types: &mut Types, document: &Value) {
    for (name, definition) in document["definitions"].as_object().into_iter().flatten() {
        let Some(ty) = types.get_mut(name) else { continue };
        ty.atomic = definition["x-kubernetes-map-type"] == "atomic";
        add_kinds(ty, definition);
        for field in &mut ty.fields {
            let required =
                definition["required"].as_array().into_iter().flatten().any(|r| r == &field.name[..]);
            annotate(field, &definition["properties"][&field.name], required);
        }
    }
    for kind in EVERYWHERE {
        if let Some(ty) = types.get_mut(&format!("{META}{kind}")) {
            ty.kinds = vec!["*".to_owned()];
        }
    }
    for kind in ["PartialObjectMetadata", "PartialObjectMetadataList"] {
        if let Some(ty) = types.get_mut(&format!("{META}{kind}")) {
            ty.kinds = vec!["meta.k8s.io/v1".to_owned(), "meta.k8s.io/v1beta1".to_owned()];
        }
    }
}

fn add_kinds(ty: &mut Type, definition: &Value) {
    for gvk in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
        let text = |key: &str| gvk[key].as_str().unwrap_or_default();
        if ty.name.ends_with(&format!(".{}", text("kind"))) {
            ty.kinds.push(format!("{}/{}", text("group"), text("version")));
        }
    }
}

fn annotate(field: &mut Field, property: &Value, required: bool) {
    let text = |key: &str| property[key].as_str().unwrap_or_default();
    if required {
        field.notes.push("req".to_owned());
    }
    match text("x-kubernetes-list-type") {
        "set" => field.notes.push("list=set".to_owned()),
        "map" => {
            let keys: Vec<&str> = property["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            field.notes.push(format!("list={}", keys.join(",")));
        }
        _ => {}
    }
    if text("x-kubernetes-map-type") == "atomic" {
        field.notes.push("atomic".to_owned());
    }
    for strategy in text("x-kubernetes-patch-strategy").split(',').filter(|s| !s.is_empty()) {
        field.notes.push(if strategy == "retainKeys" { "retain" } else { strategy }.to_owned());
    }
    let key = text("x-kubernetes-patch-merge-key");
    if !key.is_empty() {
        field.notes.push(format!("key={key}"));
    }
}

/// Takes the defaults of a v3 document. Zero values say something of pointers only: of other fields the
/// document's generator prints them whatever the field.
pub fn add_defaults(types: &mut Types, document: &Value) {
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let Some(ty) = types.get_mut(name) else { continue };
        for field in &mut ty.fields {
            let default = &schema["properties"][&field.name]["default"];
            let pointer = matches!(field.presence.as_str(), "p" | "n");
            if default.is_null() || default.is_object() || (is_zero(default) && !pointer) {
                continue;
            }
            let note = format!("def={default}");
            if !field.notes.contains(&note) {
                field.notes.push(note);
            }
        }
    }
}

fn is_zero(value: &Value) -> bool {
    matches!(value, Value::Bool(false)) || value == "" || value.as_f64() == Some(0.0)
}

/// Kinds that only the sample objects name (versions no longer served, reviews), with their lists.
pub fn add_kinds_of_objects(types: &mut Types, objects: &Path) -> anyhow::Result<()> {
    let dir = std::fs::read_dir(objects).with_context(|| format!("reading {}", objects.display()))?;
    for entry in dir {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".json") else { continue };
        let Some((group_version, kind)) = name.rsplit_once('.').filter(|(_, k)| !k.contains("roundtrip"))
        else {
            continue;
        };
        let Some((group, version)) = group_version.rsplit_once('.') else { continue };
        let group = if group == "core" { "" } else { group };
        for kind in [kind.to_owned(), format!("{kind}List")] {
            add_kind(types, group, version, &kind);
        }
    }
    add_kind(types, "", "v1", "List");
    Ok(())
}

fn add_kind(types: &mut Types, group: &str, version: &str, kind: &str) {
    let own = format!("{group}/{version}");
    let package = match group {
        "" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        _ => group.split('.').next().unwrap_or(group),
    };
    for tree in ["api", "apiextensions-apiserver.pkg.apis", "kube-aggregator.pkg.apis"] {
        if let Some(ty) = types.get_mut(&format!("io.k8s.{tree}.{package}.{version}.{kind}"))
            && !ty.kinds.contains(&own)
        {
            ty.kinds.push(own.clone());
        }
    }
}
