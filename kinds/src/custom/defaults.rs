//! Defaults of a structural schema: put where a field is missing, or null where null is not allowed.

use super::{Additional, Props};
use api::Value;

/// Fills defaults in, from the outside in, so that defaults get defaults. Idempotent.
pub fn fill(value: &mut Value, props: &Props) {
    match value {
        Value::Map(map) => {
            for (name, inner) in &props.properties {
                let Some(default) = &inner.default else { continue };
                if map.get(name).is_none_or(|v| v.is_null() && !inner.nullable) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                match (props.property(key), &props.additional) {
                    (Some(inner), _) => fill(value, inner),
                    (None, Additional::Of(inner)) => fill_in_place(value, inner),
                    _ => {}
                }
            }
        }
        Value::List(items) => {
            if let Some(inner) = props.items.as_deref() {
                items.iter_mut().for_each(|item| fill_in_place(item, inner));
            }
        }
        _ => {}
    }
}

/// As `fill`, for a value that is its schema's default when it is a null that may not be.
fn fill_in_place(value: &mut Value, props: &Props) {
    if value.is_null()
        && !props.nullable
        && let Some(default) = &props.default
    {
        *value = default.clone();
    }
    fill(value, props);
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn defaults_reach_into_defaults_lists_and_maps() {
        let props = Props::read(&tree!({"type": "object", "properties": {
            "a": {"type": "string", "default": "d"},
            "o": {"type": "object", "default": {}, "properties": {"x": {"type": "boolean", "default": true}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"i": {"type": "string", "default": "i"}}}},
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {
                "d": {"type": "integer", "default": 7}}}},
            "n": {"type": "string", "nullable": true, "default": "n"}}}));
        let mut object =
            tree!({"a": null, "l": [{}, {"i": "own"}, (Value::Null)], "m": {"k": {}}, "n": null});
        fill(&mut object, &props);
        let wanted = tree!({"a": "d", "o": {"x": true}, "l": [{"i": "i"}, {"i": "own"}, (Value::Null)], "m": {"k": {"d": 7}},
            "n": null});
        assert_eq!(object, wanted);
    }
}
