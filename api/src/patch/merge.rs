//! JSON merge patch (RFC 7396): maps are merged, null removes, everything else replaces. Nulls inside of values
//! that are new are left out; inside of a list that replaces a map they stay, as upstream's library has it.

use crate::{Map, Status, Value};

/// Applies a patch. `strict` is field validation `Strict` or `Warn`, where only a map is a patch; otherwise a list
/// passes, replaces the document, and fails in decoding.
pub fn apply(document: &mut Value, mut patch: Value, strict: bool) -> Result<(), Status> {
    match (&mut *document, &mut patch) {
        (_, Value::Null) => return Err(Status::bad_request("Invalid JSON Patch")),
        (Value::Map(document), Value::Map(patch)) => {
            merge_maps(document, std::mem::take(patch));
            return Ok(());
        }
        (_, Value::Map(_)) => {}
        (_, Value::List(_)) if !strict => {}
        (_, other) if strict => {
            let found = other.json_type();
            return Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
        _ => return Err(Status::bad_request("Invalid JSON Patch")),
    }
    prune(&mut patch);
    *document = patch;
    Ok(())
}

fn merge_maps(document: &mut Map, patch: Map) {
    for (key, mut value) in patch {
        if value.is_null() {
            document.remove(&key);
            continue;
        }
        match document.get_mut(&key) {
            None | Some(Value::Null) => {
                prune(&mut value);
                document.insert(key, value);
            }
            Some(Value::Map(current)) => match value {
                Value::Map(value) => merge_maps(current, value),
                value => drop(document.insert(key, value)),
            },
            Some(current) => {
                prune(&mut value);
                *current = value;
            }
        }
    }
    document.sort();
}

/// Removes null fields at every depth; null items of lists stay.
fn prune(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.retain(|_, v| {
                prune(v);
                !v.is_null()
            });
            map.sort();
        }
        Value::List(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn patched(mut document: Value, patch: Value) -> Value {
        apply(&mut document, patch, true).unwrap();
        document
    }

    #[test]
    fn maps_merge_null_removes_and_lists_are_replaced() {
        let document = tree!({"a": {"x": 1, "y": 2}, "l": [1, 2], "gone": true});
        let patch = tree!({"a": {"y": null, "z": 3}, "l": [9], "gone": null, "none": null, "new": {"n": null, "m": 1}});
        assert_eq!(patched(document, patch), tree!({"a": {"x": 1, "z": 3}, "l": [9], "new": {"m": 1}}));
    }

    #[test]
    fn nulls_stay_only_in_a_list_that_replaces_a_map() {
        assert_eq!(
            patched(tree!({"l": [1]}), tree!({"l": [{"a": null}, Value::Null]})),
            tree!({"l": [{}, Value::Null]})
        );
        assert_eq!(patched(tree!({"l": {}}), tree!({"l": [{"a": null}]})), tree!({"l": [{"a": null}]}));
    }

    #[test]
    fn what_is_no_map_is_no_patch() {
        let text = |patch, strict| apply(&mut tree!({}), patch, strict).unwrap_err().message;
        assert_eq!(text(Value::Null, true), "Invalid JSON Patch");
        assert_eq!(
            text(tree!([]), true),
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
        assert_eq!(text(Value::Int(1), false), "Invalid JSON Patch");
    }
}
