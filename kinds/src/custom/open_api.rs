//! What a version of a custom kind publishes of its schema: what it was given, and for int-or-strings what they are.

use api::{Value, tree};

/// The OpenAPI v3 schema of objects; none where the definition gave none.
pub fn schema(raw: &Value) -> Option<Value> {
    raw.as_map().filter(|map| !map.is_empty())?;
    let mut schema = raw.clone();
    unfold(&mut schema);
    Some(schema)
}

/// Says of every int-or-string that it is an integer or a string.
fn unfold(schema: &mut Value) {
    if schema.bool_at(&["x-kubernetes-int-or-string"]) && !says_so(schema) {
        let either = tree!([{"type": "integer"}, {"type": "string"}]);
        if schema.get("anyOf").is_none() {
            schema.set(&["anyOf"], either);
        } else {
            let mut all = vec![tree!({"anyOf": (either)})];
            all.extend(schema.list_at(&["allOf"]).iter().cloned());
            schema.set(&["allOf"], all);
        }
    }
    for field in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(field) {
            unfold(inner);
        }
    }
    if let Some(Value::Map(properties)) = schema.get_mut("properties") {
        properties.iter_mut().for_each(|(_, inner)| unfold(inner));
    }
}

fn says_so(schema: &Value) -> bool {
    let is_either = |any: &[Value]| {
        any.iter().map(|v| v.str_at(&["type"])).eq(["integer", "string"])
            && any.iter().all(|v| v.as_map().is_some_and(|m| m.len() == 1))
    };
    is_either(schema.list_at(&["anyOf"]))
        || schema.list_at(&["allOf"]).first().is_some_and(|first| is_either(first.list_at(&["anyOf"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int_or_strings_say_what_they_are_once() {
        let either = || tree!([{"type": "integer"}, {"type": "string"}]);
        let raw = tree!({"type": "object", "properties": {
            "a": {"x-kubernetes-int-or-string": true},
            "b": {"x-kubernetes-int-or-string": true, "anyOf": (either())},
            "c": {"x-kubernetes-int-or-string": true, "anyOf": [{"minimum": 1}]}}});
        let schema = schema(&raw).unwrap();
        assert_eq!(schema.at(&["properties", "a", "anyOf"]), Some(&either()));
        assert_eq!(schema.at(&["properties", "b", "allOf"]), None);
        assert_eq!(schema.at(&["properties", "c", "allOf"]), Some(&tree!([{"anyOf": (either())}])));
    }
}
