//! Rules of JSON schemas in definitions: what no schema may say, and how lists and maps are merged. What
//! rules in CEL say is looked at when nothing of this is wrong.

use super::field_path;
use super::schema_walk::{LISTS, named, schema_at, set};
use crate::validation;
use api::{Fault, Path, Value};
use std::collections::HashSet;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const LIST_TYPE: &str = "x-kubernetes-list-type";
const LIST_KEYS: &str = "x-kubernetes-list-map-keys";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const META_FIELDS: [&str; 3] = ["metadata", "kind", "apiVersion"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What must hold; an update goes on with what is wrong already.
#[derive(Clone, Copy)]
pub struct Demands {
    pub known_types: bool,
    pub atomic_sets: bool,
    pub sound_keys: bool,
    pub pruned_defaults: bool,
}

/// What follows from where a schema stands.
#[derive(Clone, Default)]
struct Place {
    root: bool,
    inside_meta: bool,
    /// Why there may be no default here.
    no_default: Option<String>,
}

/// Faults of a schema at the root of a version.
pub fn faults(schema: &Value, demands: Demands, at: &Path) -> Vec<Fault> {
    schema_faults(schema, &Place { root: true, ..Place::default() }, demands, at)
}

fn schema_faults(schema: &Value, place: &Place, demands: Demands, at: &Path) -> Vec<Fault> {
    let mut faults = own_faults(schema, place, demands, at);
    if schema.bool_at(&["uniqueItems"]) {
        let text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        faults.push(Fault::forbidden(at.child("uniqueItems"), text));
    }
    faults.extend(inner_faults(schema, place, demands, at));
    if schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(false) {
        let path = at.child("x-kubernetes-preserve-unknown-fields");
        faults.push(Fault::invalid(path, false, "must be true or undefined"));
    }
    faults.extend(map_faults(schema, at));
    faults.extend(list_faults(schema, demands, at));
    faults.extend(key_faults(schema, at));
    if demands.sound_keys {
        faults.extend(nullable_faults(schema, at));
    }
    let rules = schema.list_at(&["x-kubernetes-validations"]).iter().enumerate();
    let path = at.child("x-kubernetes-validations");
    faults.extend(rules.flat_map(|(i, rule)| rule_faults(rule, schema, &path.index(i))));
    faults
}

/// What no schema may say.
fn own_faults(schema: &Value, place: &Place, demands: Demands, at: &Path) -> Vec<Fault> {
    let ty = schema.str_at(&["type"]);
    let mut faults = Vec::new();
    if demands.known_types && !ty.is_empty() {
        faults.extend(validation::one_of(ty, &TYPES, &at.child("type")));
    }
    if let Some(why) = place.no_default.as_deref().filter(|_| set(schema, "default").is_some()) {
        faults.push(Fault::forbidden(at.child("default"), format!("must not be set {why}")));
    }
    let mut forbid = |field: &str, text: String| faults.push(Fault::forbidden(at.child(field), text));
    let says = |field: &str, empty_counts: bool| {
        schema.get(field).is_some_and(|v| if empty_counts { !v.is_null() } else { !v.is_empty() })
    };
    let unsupported = [
        ("id", false),
        ("additionalItems", true),
        ("patternProperties", false),
        ("definitions", false),
        ("dependencies", true),
        ("$ref", true),
    ];
    for (field, empty_counts) in unsupported {
        if says(field, empty_counts) {
            forbid(field, format!("{field} is not supported"));
        }
    }
    if ty == "null" {
        forbid("type", "type cannot be set to null, use nullable as an alternative".to_owned());
    }
    if !schema.list_at(&["items"]).is_empty() {
        forbid("items", "items must be a schema object and not an array".to_owned());
    }
    if place.inside_meta && schema.bool_at(&[EMBEDDED]) {
        forbid(EMBEDDED, "must not be used inside of resource meta".to_owned());
    }
    faults
}

fn inner_faults(schema: &Value, place: &Place, demands: Demands, at: &Path) -> Vec<Fault> {
    let inner = Place { root: false, ..place.clone() };
    let mut faults = Vec::new();
    if let Some(additional) = set(schema, "additionalProperties") {
        let path = at.child("additionalProperties");
        if !named(schema, "properties").is_empty() && additional.as_bool() != Some(true) {
            let text = "additionalProperties and properties are mutual exclusive";
            faults.push(Fault::forbidden(&path, text));
        }
        let mut place = inner.clone();
        if place.inside_meta {
            place.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        if additional.as_map().is_some() {
            faults.extend(schema_faults(additional, &place, demands, &path));
        }
    }
    for (name, field) in named(schema, "properties") {
        let mut place_there = inner.clone();
        if (place.root || schema.bool_at(&[EMBEDDED])) && META_FIELDS.contains(&name) {
            place_there.inside_meta = true;
            if place.root {
                place_there.no_default = Some(format!("in top-level {name}"));
            }
        }
        faults.extend(schema_faults(field, &place_there, demands, &at.child("properties").key(name)));
    }
    let one = |field: &str| schema_at(schema, field).map(|s| (s, at.child(field)));
    let mut others: Vec<(&Value, Path)> = one("not").into_iter().collect();
    for field in LISTS {
        let list = schema.list_at(&[field]).iter().enumerate();
        others.extend(list.map(|(i, s)| (s, at.child(field).index(i))));
    }
    let definitions = named(schema, "definitions").into_iter();
    others.extend(definitions.map(|(name, s)| (s, at.child("definitions").key(name))));
    others.extend(one("items"));
    let list = schema.list_at(&["items"]).iter().enumerate();
    others.extend(list.map(|(i, s)| (s, at.child("items").index(i))));
    let dependencies = named(schema, "dependencies").into_iter().filter(|(_, s)| s.as_map().is_some());
    others.extend(dependencies.map(|(name, s)| (s, at.child("dependencies").key(name))));
    faults.extend(others.into_iter().flat_map(|(s, path)| schema_faults(s, &inner, demands, &path)));
    faults
}

fn text<'v>(schema: &'v Value, field: &str) -> Option<&'v str> {
    schema.get(field).and_then(Value::as_str)
}

/// A type that an extension needs.
fn type_fault(schema: &Value, wanted: &str, extension: &str, at: &Path) -> Option<Fault> {
    let ty = schema.str_at(&["type"]);
    let detail = format!("must be {wanted} if {extension} is specified");
    match ty {
        _ if ty == wanted => None,
        "" => Some(Fault::required(at.child("type"), detail)),
        _ => Some(Fault::invalid(at.child("type"), ty, detail)),
    }
}

fn map_faults(schema: &Value, at: &Path) -> Vec<Fault> {
    let Some(map_type) = text(schema, MAP_TYPE) else { return Vec::new() };
    let mut faults: Vec<Fault> = type_fault(schema, "object", MAP_TYPE, at).into_iter().collect();
    faults.extend(validation::one_of(map_type, &["atomic", "granular"], &at.child(MAP_TYPE)));
    faults
}

fn list_faults(schema: &Value, demands: Demands, at: &Path) -> Vec<Fault> {
    let Some(list_type) = text(schema, LIST_TYPE) else { return Vec::new() };
    let mut faults: Vec<Fault> = type_fault(schema, "array", LIST_TYPE, at).into_iter().collect();
    if faults.is_empty() && demands.atomic_sets && list_type == "set" {
        faults.extend(set_fault(schema, at));
    }
    faults.extend(validation::one_of(list_type, &["atomic", "set", "map"], &at.child(LIST_TYPE)));
    faults
}

/// The fault of a set whose items are not merged as one value each.
fn set_fault(schema: &Value, at: &Path) -> Option<Fault> {
    let items = schema_at(schema, "items")?;
    let shown = items.get(LIST_TYPE).cloned().unwrap_or_default();
    let fault = |field: &str| {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        Some(Fault::invalid(at.child("items").child(field), shown.clone(), detail))
    };
    match items.str_at(&["type"]) {
        "array" if text(items, LIST_TYPE).is_some_and(|t| t != "atomic") => fault(LIST_TYPE),
        "object" if text(items, MAP_TYPE) != Some("atomic") => fault(MAP_TYPE),
        _ => None,
    }
}

fn key_faults(schema: &Value, at: &Path) -> Vec<Fault> {
    let keys = schema.list_at(&[LIST_KEYS]);
    let list_type = text(schema, LIST_TYPE);
    let (items, items_path, keys_path) = (set(schema, "items"), at.child("items"), at.child(LIST_KEYS));
    let mut faults = Vec::new();
    if !keys.is_empty() && list_type != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        faults.push(match list_type {
            None => Fault::required(at.child(LIST_TYPE), detail),
            Some(other) => Fault::invalid(at.child(LIST_TYPE), other, detail),
        });
    }
    if list_type != Some("map") {
        return faults;
    }
    if keys.is_empty() {
        faults.push(Fault::required(&keys_path, "must not be empty if x-kubernetes-list-type is map"));
    }
    match items {
        None => {
            faults.push(Fault::required(items_path, "must have a schema if x-kubernetes-list-type is map"))
        }
        Some(Value::List(_)) => {
            let detail = "must only have a single schema if x-kubernetes-list-type is map";
            faults.push(Fault::invalid(items_path, items.cloned().unwrap_or_default(), detail));
        }
        Some(items) if items.str_at(&["type"]) != "object" => {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            faults.push(Fault::invalid(items_path.child("type"), items.str_at(&["type"]), detail));
        }
        Some(items) => faults.extend(key_item_faults(keys, items, &items_path, &keys_path)),
    }
    faults
}

fn key_item_faults(keys: &[Value], items: &Value, items_path: &Path, keys_path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for key in keys.iter().filter_map(Value::as_str) {
        match items.at(&["properties", key]) {
            Some(field) if matches!(field.str_at(&["type"]), "array" | "object") => {
                let path = items_path.child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                faults.push(Fault::invalid(path, items.str_at(&["type"]), detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                faults.push(Fault::invalid(keys_path, keys.to_vec(), detail));
            }
        }
        if !seen.insert(key) {
            faults.push(Fault::invalid(keys_path, keys.to_vec(), "must not contain duplicate entries"));
        }
    }
    faults
}

/// Items of sets and maps, and keys of maps, are never null; keys are always there.
fn nullable_faults(schema: &Value, at: &Path) -> Vec<Fault> {
    let (Some(items), Some(list_type)) = (schema_at(schema, "items"), text(schema, LIST_TYPE)) else {
        return Vec::new();
    };
    if !matches!(list_type, "set" | "map") {
        return Vec::new();
    }
    let path = at.child("items");
    let mut faults = Vec::new();
    if items.bool_at(&["nullable"]) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        faults.push(Fault::forbidden(path.child("nullable"), detail));
    }
    let keys = schema.list_at(&[LIST_KEYS]).iter().filter_map(Value::as_str);
    for key in keys.filter(|_| list_type == "map") {
        let Some(field) = items.at(&["properties", key]) else { continue };
        let path = path.child("properties").key(key);
        let required = items.list_at(&["required"]).iter().any(|r| r.as_str() == Some(key));
        if !required && set(field, "default").is_none() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            faults.push(Fault::required(path.child("default"), detail));
        }
        if field.bool_at(&["nullable"]) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            faults.push(Fault::forbidden(path.child("nullable"), detail));
        }
    }
    faults
}

/// True when an update may go on with keys that are not sound.
pub fn has_unsound_keys(schema: &Value) -> bool {
    !nullable_faults(schema, &Path::default()).is_empty()
}

/// True for sets whose items are not merged as one value each.
pub fn has_loose_set(schema: &Value) -> bool {
    text(schema, LIST_TYPE) == Some("set") && set_fault(schema, &Path::default()).is_some()
}

/// True for types that there are not.
pub fn has_unknown_type(schema: &Value) -> bool {
    let ty = schema.str_at(&["type"]);
    !ty.is_empty() && !TYPES.contains(&ty)
}

/// Faults of a rule in CEL, but for its expressions.
fn rule_faults(rule: &Value, schema: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| rule.str_at(&[field]);
    let broken = |text: &str| text.contains(['\n', '\r']);
    let message = text("message").trim();
    let blank = |field: &str| !text(field).is_empty() && text(field).trim().is_empty();
    let not_blank = "must be non-empty if specified";
    let one_line = "must not contain line breaks";
    let mut faults = Vec::new();
    if text("rule").trim().is_empty() {
        faults.push(Fault::required(at.child("rule"), "rule is not specified"));
    } else if blank("message") {
        faults.push(Fault::invalid(at.child("message"), text("message"), not_blank));
    } else if broken(message) {
        faults.push(Fault::invalid(at.child("message"), text("message"), one_line));
    } else if broken(text("rule").trim()) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        faults.push(Fault::required(at.child("message"), detail));
    }
    if blank("messageExpression") {
        let detail = "messageExpression must be non-empty if specified";
        faults.push(Fault::required(at.child("messageExpression"), detail));
    }
    if let Some(reason) = rule.get("reason").and_then(Value::as_str) {
        faults.extend(validation::one_of(reason, &REASONS, &at.child("reason")));
    }
    let (field, path) = (text("fieldPath"), at.child("fieldPath"));
    if blank("fieldPath") {
        faults.push(Fault::invalid(&path, field, not_blank));
    }
    if broken(field) {
        faults.push(Fault::invalid(&path, field, one_line));
    }
    if !field.is_empty() && field_path::resolve(field, schema, true).is_err() {
        faults.push(Fault::invalid(path, field, "must be a valid path"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const ALL: Demands =
        Demands { known_types: true, atomic_sets: true, sound_keys: true, pruned_defaults: true };

    fn texts(schema: Value) -> Vec<String> {
        faults(&schema, ALL, &Path::new("s")).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn some_words_of_json_schema_are_not_for_definitions() {
        assert_eq!(
            texts(
                tree!({"type": "strng", "uniqueItems": true, "$ref": "#/x", "items": [{"type": "string"}]})
            ),
            [
                "s.type: Unsupported value: \"strng\": supported values: \"array\", \"boolean\", \"integer\", \
                 \"number\", \"object\", \"string\"",
                "s.$ref: Forbidden: $ref is not supported",
                "s.items: Forbidden: items must be a schema object and not an array",
                "s.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ]
        );
        assert_eq!(
            texts(
                tree!({"type": "object", "properties": {"apiVersion": {"type": "string", "default": "v1"}}})
            ),
            ["s.properties[apiVersion].default: Forbidden: must not be set in top-level apiVersion"]
        );
    }

    #[test]
    fn keys_of_maps_are_scalar_fields_that_are_there() {
        let list = |keys: Value| {
            tree!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
                   "items": {"type": "object", "properties": {"a": {"type": "string"}, "l": {"type": "array"}},
                             "required": ["l"]}})
        };
        assert_eq!(
            texts(list(tree!([]))),
            [
                "s.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
            ]
        );
        assert_eq!(
            texts(list(tree!(["a", "l"]))),
            [
                "s.items.properties[l].type: Invalid value: \"object\": must be a scalar type if parent array's \
                 x-kubernetes-list-type is map",
                "s.items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must \
                 have a default or be a required property",
            ]
        );
    }

    #[test]
    fn items_of_sets_are_atomic() {
        let schema = tree!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}});
        assert!(has_loose_set(&schema));
        assert_eq!(
            texts(schema),
            ["s.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with \
              x-kubernetes-list-type=set"]
        );
    }

    #[test]
    fn rules_say_what_they_mean() {
        let rules = tree!([{"rule": ""}, {"rule": "a", "reason": "Nonsense"}, {"rule": "a", "fieldPath": ".none"},
                           {"rule": "a", "message": "a\nb"}]);
        let found = texts(tree!({"type": "object", "properties": {"a": {"type": "integer"}},
                                 "x-kubernetes-validations": rules}));
        assert_eq!(found[0], "s.x-kubernetes-validations[0].rule: Required value: rule is not specified");
        assert!(
            found[1].starts_with("s.x-kubernetes-validations[1].reason: Unsupported value: \"Nonsense\"")
        );
        assert_eq!(
            found[2],
            "s.x-kubernetes-validations[2].fieldPath: Invalid value: \".none\": must be a valid path"
        );
        assert_eq!(
            found[3],
            "s.x-kubernetes-validations[3].message: Invalid value: \"a\\nb\": must not contain line breaks"
        );
    }
}
