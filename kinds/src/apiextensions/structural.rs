//! Structural schemas: every field has its type where it stands, and conditions (`anyOf`, `not`, …) only narrow down
//! what is described outside them. Source: apiextensions `apiserver/schema/{validation,complete,convert}.go`.

use super::schema_walk::{LISTS, named, schema_at, set};
use api::{Fault, Path, Value, tree};

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
/// What no condition may say: the field, what it must be, and whether `false` and "" count as unsaid.
const FORBIDDEN_IN_CONDITIONS: [(&str, &str); 9] = [
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    (PRESERVE, "false"),
    (EMBEDDED, "false"),
    (INT_OR_STRING, "false"),
    ("x-kubernetes-list-map-keys", "empty"),
    ("x-kubernetes-list-type", "undefined"),
];
/// Fields that no structural schema can have, as the refusal names them.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("id", "id"),
    ("$schema", "schema"),
    ("$ref", "$ref"),
    ("patternProperties", "patternProperties"),
    ("dependencies", "dependencies"),
    ("additionalItems", "additionalItems"),
    ("definitions", "definitions"),
];

/// Faults of a schema that is not structural, sorted by text. The error says why it cannot be looked at as one.
pub fn faults(schema: &Value, at: &Path) -> Result<Vec<Fault>, String> {
    convertible(schema)?;
    let mut faults = invariants(schema, Level::Root, at);
    faults.extend(completeness(schema, Some(schema), at, at));
    faults.sort_by_cached_key(ToString::to_string);
    Ok(faults)
}

fn convertible(schema: &Value) -> Result<(), String> {
    for (field, shown) in UNSUPPORTED {
        if schema.get(field).is_some_and(|v| !v.is_empty()) {
            return Err(format!("OpenAPIV3Schema '{shown}' is not supported"));
        }
    }
    if schema.get(PRESERVE).and_then(Value::as_bool) == Some(false) {
        return Err(format!("internal error: '{PRESERVE}' must be true or undefined"));
    }
    if matches!(schema.get("items"), Some(Value::List(list)) if !list.is_empty()) {
        return Err("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let inner = ["items", "not", "additionalProperties"].iter().filter_map(|f| schema_at(schema, f));
    inner.into_iter().try_for_each(convertible)?;
    LISTS.iter().flat_map(|f| schema.list_at(&[f])).try_for_each(convertible)?;
    named(schema, "properties").into_iter().try_for_each(|(_, s)| convertible(s))
}

fn flag(schema: &Value, field: &str) -> bool {
    schema.bool_at(&[field])
}

fn ty(schema: &Value) -> &str {
    schema.str_at(&["type"])
}

fn invariants(schema: &Value, level: Level, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let items = schema_at(schema, "items");
    if ty(schema) == "array" && items.is_none() {
        faults.push(Fault::required(at.child("items"), "must be specified"));
    }
    faults.extend(items.into_iter().flat_map(|s| invariants(s, Level::Item, &at.child("items"))));
    for (name, field) in named(schema, "properties") {
        faults.extend(invariants(field, Level::Field, &at.child("properties").key(name)));
    }
    if let Some(additional) = set(schema, "additionalProperties") {
        let path = at.child("additionalProperties");
        if level == Level::Root {
            faults.push(Fault::forbidden(&path, "must not be used at the root"));
        }
        if additional.as_map().is_some() {
            faults.extend(invariants(additional, Level::Field, &path));
        }
    }
    faults.extend(extension_faults(schema, at));
    faults.extend(condition_faults(schema, at));
    faults.extend(type_faults(schema, level, at));
    faults.extend(meta_faults(schema, level, at));
    faults
}

fn extension_faults(schema: &Value, at: &Path) -> Vec<Fault> {
    let text = "must be false if x-kubernetes-int-or-string is true";
    let clashing = [PRESERVE, EMBEDDED].into_iter();
    let clashing = clashing.filter(|field| flag(schema, INT_OR_STRING) && flag(schema, field));
    clashing.map(|field| Fault::invalid(at.child(field), true, text)).collect()
}

fn type_faults(schema: &Value, level: Level, at: &Path) -> Vec<Fault> {
    let (kind, path) = (ty(schema), at.child("type"));
    let mut faults = Vec::new();
    if flag(schema, EMBEDDED) && kind != "object" {
        let text = "must be object if x-kubernetes-embedded-resource is true";
        faults.push(match kind {
            "" => Fault::required(&path, text),
            _ => Fault::invalid(&path, kind, text),
        });
    } else if kind.is_empty() && !flag(schema, INT_OR_STRING) && !flag(schema, PRESERVE) {
        let text = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        faults.push(Fault::required(&path, text));
    }
    if flag(schema, EMBEDDED) && set(schema, "additionalProperties").is_some() {
        let text = "must not be used if x-kubernetes-embedded-resource is set";
        faults.push(Fault::forbidden(at.child("additionalProperties"), text));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        faults.push(Fault::invalid(path, kind, "must be object at the root"));
    }
    faults
}

/// What a schema may say of `kind`, `apiVersion` and `metadata`.
fn meta_faults(schema: &Value, level: Level, at: &Path) -> Vec<Fault> {
    let checked = level == Level::Root || flag(schema, EMBEDDED);
    let properties = named(schema, "properties");
    let property = |name: &str| properties.iter().find(|(n, _)| *n == name).map(|(_, s)| *s);
    let path = |name: &str| at.child("properties").key(name);
    let mut faults = Vec::new();
    for name in ["kind", "apiVersion"] {
        if let Some(field) = property(name).filter(|f| checked && ty(f) != "string") {
            faults.push(Fault::invalid(path(name).child("type"), ty(field), "must be string"));
        }
    }
    if let Some(meta) = property("metadata") {
        if checked && ty(meta) != "object" {
            faults.push(Fault::invalid(path("metadata").child("type"), ty(meta), "must be object"));
        }
        if level == Level::Root && !only_names(meta) {
            let text = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            faults.push(Fault::forbidden(path("metadata"), text));
        }
    }
    if flag(schema, EMBEDDED) && !flag(schema, PRESERVE) && properties.is_empty() {
        let text = "must not be empty if x-kubernetes-embedded-resource is true without \
                    x-kubernetes-preserve-unknown-fields";
        faults.push(Fault::required(at.child("properties"), text));
    }
    faults
}

/// True when a schema of metadata restricts `name` and `generateName` and nothing else.
fn only_names(meta: &Value) -> bool {
    let fields = meta.as_map().into_iter().flat_map(|m| m.iter());
    fields.filter(|(_, value)| !value.is_empty()).all(|(field, _)| match field.as_str() {
        "type" | "default" => true,
        "properties" => named(meta, "properties").iter().all(|(n, _)| matches!(*n, "name" | "generateName")),
        _ => false,
    })
}

/// True for the two ways of writing "an integer or a string" with conditions.
fn is_int_or_string(conditions: &[Value]) -> bool {
    conditions == [tree!({"type": "integer"}), tree!({"type": "string"})]
}

fn condition_faults(schema: &Value, at: &Path) -> Vec<Fault> {
    let skip_any = is_int_or_string(schema.list_at(&["anyOf"]));
    let first = schema.list_at(&["allOf"]).first();
    let skip_first = first.is_some_and(|s| is_int_or_string(s.list_at(&["anyOf"])));
    value_faults(schema, skip_any, skip_first, at)
}

/// Faults of the conditions of a schema or of a condition.
fn value_faults(schema: &Value, skip_any: bool, skip_first_any: bool, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let list = |field: &str| schema.list_at(&[field]).iter().enumerate();
    for (i, condition) in list("anyOf").filter(|_| !skip_any) {
        faults.extend(nested_faults(condition, false, &at.child("anyOf").index(i)));
    }
    for (i, condition) in list("allOf") {
        faults.extend(nested_faults(condition, skip_first_any && i == 0, &at.child("allOf").index(i)));
    }
    for (i, condition) in list("oneOf") {
        faults.extend(nested_faults(condition, false, &at.child("oneOf").index(i)));
    }
    faults
        .extend(schema_at(schema, "not").into_iter().flat_map(|s| nested_faults(s, false, &at.child("not"))));
    faults
}

fn nested_faults(condition: &Value, skip_any: bool, at: &Path) -> Vec<Fault> {
    let mut faults = value_faults(condition, skip_any, false, at);
    if let Some(items) = schema_at(condition, "items") {
        faults.extend(nested_faults(items, false, &at.child("items")));
    }
    for (name, field) in named(condition, "properties") {
        faults.extend(nested_faults(field, false, &at.child("properties").key(name)));
    }
    let mut forbid = |field: &str, wanted: &str| {
        faults.push(Fault::forbidden(at.child(field), format!("must be {wanted} to be structural")));
    };
    if !ty(condition).is_empty() {
        forbid("type", "empty");
    }
    let additional = set(condition, "additionalProperties");
    if additional.is_some_and(|a| a.as_bool() != Some(false)) {
        forbid("additionalProperties", "undefined");
    }
    for (field, wanted) in FORBIDDEN_IN_CONDITIONS {
        let unsaid = |v: &Value| if wanted == "undefined" { v.is_null() } else { v.is_empty() };
        if condition.get(field).is_some_and(|v| !unsaid(v)) {
            forbid(field, wanted);
        }
    }
    if set(condition, "x-kubernetes-map-type").is_some() {
        forbid("x-kubernetes-map-type", "undefined");
    }
    if !condition.list_at(&["x-kubernetes-validations"]).is_empty() {
        forbid("x-kubernetes-validations", "empty");
    }
    if named(condition, "properties").iter().any(|(name, _)| *name == "metadata") {
        let path = at.child("properties").key("metadata");
        faults.push(Fault::forbidden(path, "must not be specified in a nested context"));
    }
    faults
}

/// What conditions speak of is described outside them. `at`: the schema's place, `from`: the condition's.
fn completeness(conditions: &Value, schema: Option<&Value>, at: &Path, from: &Path) -> Vec<Fault> {
    let mut nested: Vec<(&Value, Path)> =
        schema_at(conditions, "not").into_iter().map(|s| (s, from.child("not"))).collect();
    for field in ["allOf", "anyOf", "oneOf"] {
        let list = conditions.list_at(&[field]).iter().enumerate();
        nested.extend(list.map(|(i, s)| (s, from.child(field).index(i))));
    }
    nested.into_iter().flat_map(|(s, from)| nested_completeness(s, schema, at, &from)).collect()
}

fn nested_completeness(condition: &Value, schema: Option<&Value>, at: &Path, from: &Path) -> Vec<Fault> {
    let missing = |at: &Path, from: &Path| Fault::required(at, format!("because it is defined in {from}"));
    let Some(schema) = schema else { return vec![missing(at, from)] };
    let mut faults = completeness(condition, Some(schema), at, from);
    if let Some(items) = schema_at(condition, "items") {
        let (at, from) = (at.child("items"), from.child("items"));
        faults.extend(nested_completeness(items, schema_at(schema, "items"), &at, &from));
    }
    let known = named(schema, "properties");
    for (name, field) in named(condition, "properties") {
        let (at, from) = (at.child("properties").key(name), from.child("properties").key(name));
        let described = known.iter().find(|(n, _)| *n == name).map(|(_, s)| *s);
        faults.extend(nested_completeness(field, described, &at, &from));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(schema: Value) -> Vec<String> {
        faults(&schema, &Path::new("s")).unwrap().iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn types_are_where_fields_are() {
        assert_eq!(texts(tree!({})), ["s.type: Required value: must not be empty at the root"]);
        assert_eq!(
            texts(tree!({"type": "object", "properties": {"a": {}, "b": {"type": "array"}}})),
            [
                "s.properties[a].type: Required value: must not be empty for specified object fields",
                "s.properties[b].items: Required value: must be specified",
            ]
        );
    }

    #[test]
    fn conditions_only_narrow_down() {
        let schema = |a: Value| tree!({"type": "object", "properties": {"a": a}});
        assert_eq!(
            texts(schema(
                tree!({"type": "string", "anyOf": [{"type": "integer"}], "allOf": [{"default": "x"}]})
            )),
            [
                "s.properties[a].allOf[0].default: Forbidden: must be undefined to be structural",
                "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
            ]
        );
        let either =
            tree!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
        assert!(texts(schema(either)).is_empty());
        assert_eq!(
            texts(tree!({"type": "object", "anyOf": [{"properties": {"b": {"minLength": 1}}}]})),
            ["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"]
        );
    }

    #[test]
    fn metadata_is_known_already() {
        let with = |meta: Value| tree!({"type": "object", "properties": {"metadata": meta}});
        assert!(
            texts(with(tree!({"type": "object", "properties": {"name": {"type": "string"}}}))).is_empty()
        );
        assert_eq!(
            texts(with(tree!({"type": "object", "properties": {"labels": {"type": "object"}}}))).len(),
            1
        );
    }

    #[test]
    fn some_fields_make_it_no_structural_schema_at_all() {
        let schema = tree!({"type": "object", "properties": {"a": {"$ref": "#/x"}}});
        assert_eq!(faults(&schema, &Path::default()).unwrap_err(), "OpenAPIV3Schema '$ref' is not supported");
    }
}
