//! Walking a JSON schema as it stands in a definition: the schemas inside a schema, and what "set" means there.

use api::Value;

/// Fields that hold a list of schemas, one schema, or schemas by name.
pub const LISTS: [&str; 3] = ["allOf", "oneOf", "anyOf"];
pub const MAPS: [&str; 3] = ["properties", "patternProperties", "definitions"];

/// A field that is there and not null.
pub fn set<'v>(schema: &'v Value, field: &str) -> Option<&'v Value> {
    schema.get(field).filter(|v| !v.is_null())
}

/// A field that holds a schema, not a boolean or a list.
pub fn schema_at<'v>(schema: &'v Value, field: &str) -> Option<&'v Value> {
    schema.get(field).filter(|v| matches!(v, Value::Map(_)))
}

/// Schemas by name, sorted.
pub fn named<'v>(schema: &'v Value, field: &str) -> Vec<(&'v str, &'v Value)> {
    let entries = schema.map_at(&[field]).into_iter().flat_map(|m| m.iter());
    let mut sorted: Vec<(&str, &Value)> = entries.map(|(k, v)| (k.as_str(), v)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

/// True when the predicate holds for the schema or any schema inside it.
pub fn any(schema: &Value, holds: &dyn Fn(&Value) -> bool) -> bool {
    holds(schema) || inner(schema).into_iter().any(|s| any(s, holds))
}

/// All schemas directly inside a schema.
fn inner(schema: &Value) -> Vec<&Value> {
    let mut found: Vec<&Value> = Vec::new();
    match schema.get("items") {
        Some(Value::List(list)) => found.extend(list),
        _ => found.extend(schema_at(schema, "items")),
    }
    LISTS.iter().for_each(|field| found.extend(schema.list_at(&[field])));
    found.extend(
        ["not", "additionalProperties", "additionalItems"].iter().filter_map(|f| schema_at(schema, f)),
    );
    MAPS.iter().for_each(|field| found.extend(named(schema, field).into_iter().map(|(_, s)| s)));
    let dependencies = named(schema, "dependencies").into_iter().map(|(_, s)| s);
    found.extend(dependencies.filter(|s| matches!(s, Value::Map(_))));
    found
}

/// Calls `f` for the schema and all schemas inside it.
pub fn each<'v>(schema: &'v Value, f: &mut dyn FnMut(&'v Value)) {
    f(schema);
    for inside in inner(schema) {
        each(inside, f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn schemas_are_found_wherever_they_stand() {
        let deep = tree!({"properties": {"a": {"items": {"anyOf": [{"not": {"type": "x"}}]}}}});
        assert!(any(&deep, &|s| s.str_at(&["type"]) == "x"));
        assert!(!any(&deep, &|s| s.str_at(&["type"]) == "y"));
        let mut count = 0;
        each(&deep, &mut |_| count += 1);
        assert_eq!(count, 5);
    }
}
