//! Defaults of a schema must be values of it themselves, with no fields that it does not know.

use crate::custom::{self, Props};
use api::{Fault, Path, Value};

const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Faults of all defaults of a structural schema. `pruned`: unknown fields are faults, too.
pub fn faults(schema: &Value, pruned: bool, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(schema, Place { root: true, inside_meta: false, pruned }, at, &mut faults);
    faults
}

/// A default that has fields the schema does not know; such a schema may be kept by an update.
pub fn has_unknown_fields(schema: &Value) -> bool {
    let Some(default) = default_of(schema) else { return false };
    let mut known = default.clone();
    custom::prune(&mut known, &Props::read(schema));
    known != *default
}

#[derive(Clone, Copy)]
struct Place {
    root: bool,
    /// Inside the metadata of an object: names of things, checked when the object is there.
    inside_meta: bool,
    pruned: bool,
}

fn default_of(schema: &Value) -> Option<&Value> {
    schema.get("default").filter(|v| !v.is_null())
}

fn walk(schema: &Value, place: Place, at: &Path, faults: &mut Vec<Fault>) {
    let embedded = place.root || schema.bool_at(&["x-kubernetes-embedded-resource"]);
    let inside_meta = place.inside_meta && !embedded;
    if let Some(default) = default_of(schema) {
        faults.extend(default_faults(schema, default, Place { inside_meta, ..place }, &at.child("default")));
    }
    let inner = Place { root: false, inside_meta, ..place };
    if let Some(items) = schema.get("items").filter(|v| v.as_map().is_some()) {
        walk(items, inner, &at.child("items"), faults);
    }
    for (name, property) in schema.map_at(&["properties"]).into_iter().flat_map(|m| m.iter()) {
        let inside_meta = inside_meta || (embedded && META_FIELDS.contains(&name.as_str()));
        walk(property, Place { inside_meta, ..inner }, &at.child("properties").key(name), faults);
    }
}

fn default_faults(schema: &Value, default: &Value, place: Place, at: &Path) -> Vec<Fault> {
    let props = Props::read(schema);
    let mut faults = Vec::new();
    if place.pruned && !place.inside_meta && has_unknown_fields(schema) {
        faults.push(Fault::invalid(at, default.clone(), "must not have unknown fields"));
    }
    faults.extend(custom::check_value(default, None, &props, at.as_str()));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(schema: Value) -> Vec<String> {
        faults(&schema, true, &Path::new("s")).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn defaults_are_values_of_their_schema() {
        let property = |schema: Value| tree!({"type": "object", "properties": {"a": schema}});
        assert_eq!(
            texts(property(tree!({"type": "string", "default": 5}))),
            [
                "s.properties[a].default: Invalid value: \"integer\":  in body must be of type string: \"integer\""
            ]
        );
        assert_eq!(
            texts(property(tree!({"type": "integer", "minimum": 3, "default": 1}))),
            ["s.properties[a].default: Invalid value: 1:  in body should be greater than or equal to 3"]
        );
        let enumeration = tree!({"type": "string", "enum": ["x"], "default": "y"});
        assert_eq!(
            texts(tree!({"type": "object", "properties": {"l": {"type": "array", "items": enumeration}}})),
            ["s.properties[l].items.default: Unsupported value: \"y\": supported values: \"x\""]
        );
    }

    #[test]
    fn defaults_have_known_fields() {
        let inner = tree!({"type": "object", "default": {"b": 1, "extra": 2}, "properties": {"b": {"type": "integer"}}});
        let schema = tree!({"type": "object", "properties": {"a": inner.clone()}});
        assert_eq!(
            texts(schema.clone()),
            ["s.properties[a].default: Invalid value: {\"b\":1,\"extra\":2}: must not have unknown fields"]
        );
        assert!(faults(&schema, false, &Path::new("s")).is_empty());
        assert!(has_unknown_fields(&inner));
    }
}
