//! JSON patch (RFC 6902) with the leniencies of the library that upstream uses (evanphx/json-patch v4): `replace`
//! of a missing key adds it, `add` without a value stores null, index -1 counts from the end, a pointer's text
//! before the first slash is ignored, and `test` of a missing key passes for null.

use crate::{Map, Status, Value, json, quote};
use std::borrow::Cow;

/// The most operations that one patch may have.
pub const MAX_OPERATIONS: usize = 10_000;
/// The most bytes that `copy` operations of one patch may add.
pub const MAX_COPY_BYTES: usize = 3 * 1024 * 1024;

/// How many unknown fields are told; upstream's decoder stops there.
const MAX_STRICT_ERRORS: usize = 100;

/// Any operation that fails.
struct Failed;

/// Checks a patch's shape before it is applied. `strict` is field validation `Strict` or `Warn`; it gives the
/// texts of unknown fields (`json patch unknown field "[0].x"`), which the caller adds to those of decoding.
pub fn check(patch: &Value, strict: bool) -> Result<Vec<String>, Status> {
    let (whole, one, prefix) = if strict {
        ("[]handlers.jsonPatchOp", "handlers.jsonPatchOp", "error decoding patch: ")
    } else {
        ("jsonpatch.Patch", "jsonpatch.Operation", "")
    };
    let refuse = |found: &Value, wanted: &str| {
        let found = found.json_type();
        Err(Status::bad_request(format!("{prefix}json: cannot unmarshal {found} into Go {wanted}")))
    };
    let operations = match patch {
        Value::Null => &[][..],
        Value::List(operations) => operations,
        other => return refuse(other, &format!("value of type {whole}")),
    };
    let mut unknown = Vec::new();
    for (i, operation) in operations.iter().enumerate() {
        let fields = match operation {
            Value::Null => continue,
            Value::Map(fields) => fields,
            other => return refuse(other, &format!("value of type {one}")),
        };
        for (name, value) in fields.iter().filter(|_| strict) {
            match name.as_str() {
                "op" | "path" | "from" if !matches!(value, Value::Str(_) | Value::Null) => {
                    return refuse(value, &format!("struct field jsonPatchOp.{name} of type string"));
                }
                "op" | "path" | "from" | "value" => {}
                _ if unknown.len() < MAX_STRICT_ERRORS => {
                    unknown.push(format!("json patch unknown field {}", quote(&format!("[{i}].{name}"))));
                }
                _ => {}
            }
        }
    }
    match operations.len() {
        n if n > MAX_OPERATIONS => Err(Status::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {n}"
            ),
        )),
        _ => Ok(unknown),
    }
}

/// Applies a checked patch. A failed operation is upstream's bare 422; the document is then half patched.
pub fn apply(document: &mut Value, patch: &Value) -> Result<(), Status> {
    let mut copied = 0;
    if let Value::Map(map) = document {
        map.sort();
    }
    for operation in patch.as_list().unwrap_or_default() {
        run(document, operation, &mut copied).map_err(|Failed| {
            let text = "the server rejected our request due to an error in our request";
            let mut status = Status::new(422, "Invalid", text);
            status.details = Some(Default::default());
            status
        })?;
    }
    Ok(())
}

fn run(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), Failed> {
    let text = |field: &str| operation.get(field).and_then(Value::as_str).ok_or(Failed);
    let value = operation.get("value");
    match operation.str_at(&["op"]) {
        "add" => add(document, text("path")?, value.cloned().unwrap_or_default()),
        "remove" => take(document, text("path")?).map(drop),
        "replace" => replace(document, text("path")?, value),
        "test" => test(document, text("path")?, value.unwrap_or(&Value::Null)),
        "move" => {
            let moved = take(document, text("from")?)?;
            add(document, text("path")?, moved)
        }
        "copy" => {
            let (container, key) = find(document, text("from")?)?;
            let value = lookup(container, &key)?.cloned().unwrap_or_default();
            let path = text("path")?;
            find(document, path)?;
            *copied += json::to_string(&value).len();
            if *copied > MAX_COPY_BYTES {
                return Err(Failed);
            }
            add(document, path, value)
        }
        _ => Err(Failed),
    }
}

/// The container that a pointer's last segment is looked up in, and that segment. Maps on the way get sorted.
fn find<'d, 'p>(document: &'d mut Value, pointer: &'p str) -> Result<(&'d mut Value, Cow<'p, str>), Failed> {
    let (_, path) = pointer.split_once('/').ok_or(Failed)?;
    let (parents, key) = path.rsplit_once('/').map_or((None, path), |(parents, key)| (Some(parents), key));
    let mut here = document;
    for part in parents.into_iter().flat_map(|p| p.split('/')) {
        let part = unescape(part);
        here = match here {
            Value::Map(map) => map.get_mut(&part).ok_or(Failed)?,
            Value::List(list) => {
                let at = place(&part, list.len()).filter(|at| *at < list.len()).ok_or(Failed)?;
                &mut list[at]
            }
            _ => return Err(Failed),
        };
        if let Value::Map(map) = here {
            map.sort();
        }
    }
    match here {
        Value::Map(_) | Value::List(_) => Ok((here, unescape(key))),
        _ => Err(Failed),
    }
}

fn unescape(segment: &str) -> Cow<'_, str> {
    if !segment.contains('~') {
        return Cow::Borrowed(segment);
    }
    let mut out = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (text, used) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ("/", 2),
            Some(b'0') => ("~", 2),
            _ => ("~", 1),
        };
        out.push_str(text);
        rest = &rest[at + used..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A list's index from its text; negative ones count back from `len`. May be `len` or more.
fn place(key: &str, len: usize) -> Option<usize> {
    let index: i64 = key.parse().ok()?;
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

/// The value at a key: missing keys of maps are none, indexes must exist.
fn lookup<'c>(container: &'c mut Value, key: &str) -> Result<Option<&'c mut Value>, Failed> {
    match container {
        Value::Map(map) => Ok(map.get_mut(key)),
        Value::List(list) => {
            let at = place(key, list.len()).ok_or(Failed)?;
            list.get_mut(at).map(Some).ok_or(Failed)
        }
        _ => Err(Failed),
    }
}

fn insert(map: &mut Map, key: &str, value: Value) {
    map.insert(key, value);
    map.sort();
}

fn add(document: &mut Value, pointer: &str, value: Value) -> Result<(), Failed> {
    let (container, key) = find(document, pointer)?;
    match container {
        Value::Map(map) => insert(map, &key, value),
        Value::List(list) if key == "-" => list.push(value),
        Value::List(list) => {
            let at = place(&key, list.len() + 1).filter(|at| *at <= list.len()).ok_or(Failed)?;
            list.insert(at, value);
        }
        _ => return Err(Failed),
    }
    Ok(())
}

/// Removes and gives the value; it must be there.
fn take(document: &mut Value, pointer: &str) -> Result<Value, Failed> {
    let (container, key) = find(document, pointer)?;
    match container {
        Value::Map(map) => map.remove(&key).ok_or(Failed),
        Value::List(list) => {
            let at = place(&key, list.len()).filter(|at| *at < list.len()).ok_or(Failed)?;
            Ok(list.remove(at))
        }
        _ => Err(Failed),
    }
}

fn replace(document: &mut Value, pointer: &str, value: Option<&Value>) -> Result<(), Failed> {
    if pointer.is_empty() {
        return match value {
            Some(whole @ (Value::Map(_) | Value::List(_))) => {
                *document = whole.clone();
                if let Value::Map(map) = document {
                    map.sort();
                }
                Ok(())
            }
            _ => Err(Failed),
        };
    }
    let value = value.cloned().unwrap_or_default();
    let (container, key) = find(document, pointer)?;
    match container {
        Value::Map(map) => insert(map, &key, value),
        list => *lookup(list, &key)?.ok_or(Failed)? = value,
    }
    Ok(())
}

fn test(document: &mut Value, pointer: &str, wanted: &Value) -> Result<(), Failed> {
    let same = if pointer.is_empty() {
        *document == *wanted
    } else {
        let (container, key) = find(document, pointer)?;
        lookup(container, &key)?.map_or(&Value::Null, |v| v) == wanted
    };
    if same { Ok(()) } else { Err(Failed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn patched(document: Value, patch: Value) -> Option<Value> {
        check(&patch, true).ok()?;
        let mut document = document;
        apply(&mut document, &patch).ok().map(|()| document)
    }

    #[test]
    fn operations_do_as_the_rfc_says() {
        let patch = tree!([
            {"op": "test", "path": "/data/k1", "value": "v1"},
            {"op": "copy", "from": "/data/k1", "path": "/data/k9"},
            {"op": "move", "from": "/data/k2", "path": "/data/moved"},
            {"op": "remove", "path": "/data/k1"},
            {"op": "add", "path": "/list/1", "value": "mid"},
            {"op": "add", "path": "/list/-", "value": "end"}
        ]);
        let document = tree!({"data": {"k1": "v1", "k2": "v2"}, "list": ["a", "b"]});
        let expected = tree!({"data": {"k9": "v1", "moved": "v2"}, "list": ["a", "mid", "b", "end"]});
        assert_eq!(patched(document, patch), Some(expected));
    }

    #[test]
    fn leniencies_are_upstreams() {
        let document = || tree!({"data": {"k": "v"}, "list": ["a", "b"]});
        for (patch, expected) in [
            (
                tree!([{"op": "replace", "path": "/data/none", "value": "x"}]),
                tree!({"data": {"k": "v", "none": "x"}, "list": ["a", "b"]}),
            ),
            (tree!([{"op": "add", "path": "/data/k"}]), tree!({"data": {"k": null}, "list": ["a", "b"]})),
            (tree!([{"op": "remove", "path": "/list/-1"}]), tree!({"data": {"k": "v"}, "list": ["a"]})),
            (
                tree!([{"op": "add", "path": "data/x", "value": 1}]),
                tree!({"data": {"k": "v"}, "list": ["a", "b"], "x": 1}),
            ),
            (tree!([{"op": "test", "path": "/data/none", "value": null}]), document()),
            (
                tree!([{"op": "copy", "from": "/data/none", "path": "/data/k"}]),
                tree!({"data": {"k": null}, "list": ["a", "b"]}),
            ),
            (Value::Null, document()),
        ] {
            assert_eq!(patched(document(), patch), Some(expected));
        }
    }

    #[test]
    fn failed_operations_are_a_bare_422() {
        for patch in [
            tree!([{"op": "remove", "path": "/data/none"}]),
            tree!([{"op": "add", "path": "/no/such", "value": 1}]),
            tree!([{"op": "add", "path": "/list/9", "value": 1}]),
            tree!([{"op": "replace", "path": "/list/first", "value": 1}]),
            tree!([{"op": "frobnicate", "path": "/data"}]),
            tree!([{"op": "add", "path": "", "value": {}}]),
            tree!([{"path": "/data"}]),
        ] {
            let mut document = tree!({"data": {}, "list": []});
            let status = apply(&mut document, &patch).unwrap_err();
            assert_eq!((status.code, status.reason), (422, "Invalid"), "{patch:?}");
        }
    }

    #[test]
    fn wrong_shapes_are_told_in_gos_words() {
        let text = |patch: Value| check(&patch, true).unwrap_err().message;
        assert_eq!(
            text(tree!({})),
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        );
        assert_eq!(
            text(tree!([{"op": 5}])),
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"
        );
        assert_eq!(
            check(&tree!([{"op": "add", "x": 1}]), true).unwrap(),
            ["json patch unknown field \"[0].x\""]
        );
        let many = Value::List(vec![Value::map(); MAX_OPERATIONS + 1]);
        assert_eq!(check(&many, false).unwrap_err().code, 413);
    }

    #[test]
    fn pointers_unescape_slash_and_tilde() {
        let document = tree!({"a/b": 1, "c~d": 2});
        let patch = tree!([{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/c~0d"}]);
        assert_eq!(patched(document, patch), Some(tree!({})));
    }

    #[test]
    fn only_touched_maps_are_sorted() {
        let mut document = tree!({"kind": "K", "apiVersion": "v1", "metadata": {"name": "a", "labels": {}}});
        apply(&mut document, &tree!([{"op": "replace", "path": "/kind", "value": "X"}])).unwrap();
        assert_eq!(
            json::to_string(&document),
            r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"a","labels":{}}}"#
        );
    }
}
