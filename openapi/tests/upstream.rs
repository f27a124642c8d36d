//! The documents against those of an original server, where these lie beside the repository.
//!
//! Left out of the comparison: descriptions of parameters and lists (said in own words), enumerations (the recorded
//! documents were made without), CBOR (off by default), and what belongs to versions that are not served by default.

#![allow(clippy::unwrap_used)]

use api::{Map, Value, json};
use kinds::Registry;
use std::path::PathBuf;

fn upstream(file: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/upstream").join(file);
    match std::fs::read(&path) {
        Ok(text) => Some(json::parse(&text).unwrap()),
        Err(_) => {
            eprintln!("skipped: no {}", path.display());
            None
        }
    }
}

/// Resolves shared parameters and drops what is not compared.
fn plain(value: &Value, document: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let reference =
                map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/parameters/"));
            if let Some(name) = reference {
                return plain(document.at(&["parameters", name]).unwrap(), document);
            }
            let kept = map.iter().filter(|(key, value)| {
                !(*key == "description" && value.as_str().is_some() || *key == "enum" || key.contains("cbor"))
            });
            Value::Map(kept.map(|(k, v)| (k.clone(), plain(v, document))).collect::<Map>())
        }
        Value::List(list) => {
            let kept = list.iter().filter(|v| !v.as_str().is_some_and(|s| s.contains("cbor")));
            Value::List(kept.map(|v| plain(v, document)).collect())
        }
        other => other.clone(),
    }
}

fn differences(path: &str, want: &Value, got: &Value, out: &mut Vec<String>) {
    match (want, got) {
        (Value::Map(a), Value::Map(b)) => {
            for (key, value) in a.iter() {
                match b.get(key) {
                    Some(other) => differences(&format!("{path}.{key}"), value, other, out),
                    None => out.push(format!("{path}.{key}: missing")),
                }
            }
            let more = b.keys().filter(|key| !a.contains_key(key));
            out.extend(more.map(|key| format!("{path}.{key}: unexpected")));
        }
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), x, y, out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{path}: want {}, got {}", json::to_string(a), json::to_string(b))),
    }
}

/// Compares each entry of ours, and notes entries of the original's that are missing though their kind is served.
fn compare(part: &[&str], want: &Value, got: &Value, out: &mut Vec<String>) {
    let empty = Map::new();
    let theirs = want.map_at(part).unwrap_or(&empty);
    for (name, value) in got.map_at(part).unwrap_or(&empty).iter() {
        match theirs.get(name) {
            Some(other) => differences(name, &plain(other, want), &plain(value, got), out),
            None => out.push(format!("{name}: not in the original")),
        }
    }
}

/// True when the registry has the kind of a path in the document of that name.
fn serves(registry: &Registry, document: &str, path: &str) -> bool {
    let group = document.strip_prefix("apis/").and_then(|n| n.split_once('/')).map_or("", |(group, _)| group);
    let mut parts = path.split('/').filter(|p| !p.starts_with('{'));
    parts.any(|part| part != "namespaces" && registry.find(group, part).is_some())
}

fn fail(out: &[String]) {
    assert!(out.is_empty(), "{} differences\n{}", out.len(), out[..out.len().min(60)].join("\n"));
}

#[test]
fn version_2_says_what_the_original_says() {
    let Some(want) = upstream("openapi-v2.json") else { return };
    let got = json::parse(&openapi::document::v2(&Registry::builtin())).unwrap();
    let mut out = Vec::new();
    compare(&["definitions"], &want, &got, &mut out);
    compare(&["paths"], &want, &got, &mut out);
    fail(&out);
    assert!(got.map_at(&["definitions"]).unwrap().len() > 300);
}

#[test]
fn version_3_says_what_the_original_says() {
    let registry = Registry::builtin();
    let mut out = Vec::new();
    for name in openapi::document::names(&registry) {
        let file = format!("openapi-v3/{}_openapi.json", name.replace('/', "__"));
        let Some(want) = upstream(&file) else { continue };
        let got = json::parse(&openapi::document::v3(&registry, &name).unwrap()).unwrap();
        compare(&["components", "schemas"], &want, &got, &mut out);
        compare(&["paths"], &want, &got, &mut out);
        for path in want.map_at(&["paths"]).unwrap().keys() {
            if serves(&registry, &name, path) && !got.map_at(&["paths"]).unwrap().contains_key(path) {
                out.push(format!("{path}: missing"));
            }
        }
    }
    fail(&out);
}

#[test]
fn definitions_are_described_in_the_originals_words() {
    let Some(want) = upstream("openapi-v2.json") else { return };
    let got = json::parse(&openapi::document::v2(&Registry::builtin())).unwrap();
    let (mut same, mut missing) = (0, Vec::new());
    for (name, definition) in
        got.map_at(&["definitions"]).unwrap().iter().filter(|(n, _)| !n.ends_with("List"))
    {
        let theirs = want.at(&["definitions", name]).unwrap();
        for (field, value) in theirs.map_at(&["properties"]).unwrap_or(&Map::new()).iter() {
            let ours = definition.at(&["properties", field]).map_or("", |v| v.str_at(&["description"]));
            let ours = ours.split("\n\nPossible enum values").next().unwrap_or_default();
            if ours == value.str_at(&["description"]) {
                same += 1
            } else {
                missing.push(format!("{name}.{field}"))
            }
        }
    }
    assert!(missing.len() * 50 < same, "{same} same, {} differ: {missing:?}", missing.len());
}

#[test]
fn discovery_says_what_the_original_says() {
    let registry = Registry::builtin();
    let mut out = Vec::new();
    for (name, got) in documents(&registry) {
        let Some(want) = upstream(&format!("discovery/{name}.json")) else { continue };
        let theirs: Vec<&Value> = want.list_at(&["resources"]).iter().collect();
        for row in got.list_at(&["resources"]) {
            match theirs.iter().find(|r| r.str_at(&["name"]) == row.str_at(&["name"])) {
                Some(other) => {
                    let name = format!("{name} {}", row.str_at(&["name"]));
                    differences(&name, &default_storage(other), row, &mut out);
                }
                None => out.push(format!("{name} {}: not in the original", row.str_at(&["name"]))),
            }
        }
        for row in theirs {
            let plural = row.str_at(&["name"]).split('/').next().unwrap();
            if registry.infos().any(|i| i.plural == plural)
                && !got.list_at(&["resources"]).iter().any(|r| r.str_at(&["name"]) == row.str_at(&["name"]))
            {
                out.push(format!("{name} {}: missing", row.str_at(&["name"])));
            }
        }
    }
    fail(&out);
}

/// The original was recorded with beta versions on, which store these kinds; definitions of custom resources it always
/// stores in their oldest version.
fn default_storage(row: &Value) -> Value {
    let mut row = row.clone();
    let hash = match row.str_at(&["name"]) {
        "mutatingadmissionpolicies" => "mHCkTKpUTrE=",
        "mutatingadmissionpolicybindings" => "ZKgZT1uTmZ0=",
        "customresourcedefinitions" => "M5uH+AlWATY=",
        _ => return row,
    };
    row.set(&["storageVersionHash"], hash);
    row
}

fn documents(registry: &Registry) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for name in openapi::document::names(registry) {
        let found = match name.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => openapi::discovery::legacy::resource_list(registry, "", version),
            ["apis", group, version] => openapi::discovery::legacy::resource_list(registry, group, version),
            _ => None,
        };
        documents.extend(found.map(|value| (name.replace('/', "__"), value)));
    }
    documents
}
