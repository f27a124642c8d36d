//! Answers put together from objects that are JSON text already.

use super::cursor::{Cursor, Error, Kind};
use super::write::{write, write_str};
use crate::Value;

const RESOURCE_VERSION: &str = "resourceVersion";

/// The fields of `metadata` that upstream's struct has before the resource version.
const BEFORE: [&str; 5] = ["name", "generateName", "namespace", "selfLink", "uid"];

/// Sets `metadata.resourceVersion` without building a tree: replaces it, or puts it where the order of fields has
/// it: that of the struct, or with `sorted` (custom objects) that of the alphabet.
pub fn set_resource_version(text: &[u8], revision: &str, sorted: bool) -> Result<Vec<u8>, Error> {
    let mut cursor = Cursor::new(text);
    if cursor.peek()? == Kind::Map {
        cursor.open()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(first)? {
            first = false;
            if key == "metadata" && cursor.peek()? == Kind::Map {
                return in_metadata(text, &mut cursor, revision, sorted);
            }
            cursor.skip()?;
        }
    }
    Err(Error { message: "an object without metadata".to_owned(), offset: text.len() })
}

fn in_metadata(text: &[u8], cursor: &mut Cursor<'_>, revision: &str, sorted: bool) -> Result<Vec<u8>, Error> {
    cursor.open()?;
    let start = cursor.offset();
    let (mut place, mut fields) = (start, 0);
    while let Some(key) = cursor.next_key(fields == 0)? {
        fields += 1;
        let value_start = cursor.offset();
        cursor.skip()?;
        if key == RESOURCE_VERSION {
            let mut value = Vec::with_capacity(revision.len() + 2);
            write_str(revision, &mut value);
            return Ok(replaced(text, value_start, cursor.offset(), &value));
        }
        if if sorted { *key < *RESOURCE_VERSION } else { BEFORE.contains(&&*key) } {
            place = cursor.offset();
        }
    }
    let mut field = Vec::with_capacity(revision.len() + 24);
    if place > start {
        field.push(b',');
    }
    write_str(RESOURCE_VERSION, &mut field);
    field.push(b':');
    write_str(revision, &mut field);
    if place == start && fields > 0 {
        field.push(b',');
    }
    Ok(replaced(text, place, place, &field))
}

fn replaced(text: &[u8], start: usize, end: usize, with: &[u8]) -> Vec<u8> {
    let head = text.get(..start).unwrap_or_default();
    [head, with, text.get(end..).unwrap_or_default()].concat()
}

/// A list object from its kind, its `ListMeta` and its items' texts.
pub fn list<'a>(
    api_version: &str,
    kind: &str,
    metadata: &Value,
    items: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"{\"kind\":");
    write_str(kind, &mut out);
    out.extend_from_slice(b",\"apiVersion\":");
    write_str(api_version, &mut out);
    out.extend_from_slice(b",\"metadata\":");
    write(metadata, &mut out);
    out.extend_from_slice(b",\"items\":[");
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn revisions_are_set_in_their_place() {
        for (text, sorted, expected) in [
            (r#"{"metadata":{}}"#, false, r#"{"metadata":{"resourceVersion":"7"}}"#),
            (
                r#"{"kind":"A","metadata":{"name":"a","uid":"u","labels":{}},"spec":{}}"#,
                false,
                r#"{"kind":"A","metadata":{"name":"a","uid":"u","resourceVersion":"7","labels":{}},"spec":{}}"#,
            ),
            (r#"{"metadata":{"labels":{}}}"#, false, r#"{"metadata":{"resourceVersion":"7","labels":{}}}"#),
            (
                r#"{"metadata":{"name":"a","uid":"u"}}"#,
                true,
                r#"{"metadata":{"name":"a","resourceVersion":"7","uid":"u"}}"#,
            ),
            (
                r#"{"metadata":{"name":"a","resourceVersion":"123"}}"#,
                false,
                r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#,
            ),
        ] {
            let spliced = set_resource_version(text.as_bytes(), "7", sorted).unwrap();
            assert_eq!(String::from_utf8(spliced).unwrap(), expected);
        }
        assert!(set_resource_version(b"{}", "7", false).is_err());
    }

    #[test]
    fn lists_are_made_of_their_items_texts() {
        let items: [&[u8]; 2] = [b"{}", b"{\"a\":1}"];
        let text = list("v1", "PodList", &tree!({"resourceVersion": "9"}), items);
        let expected =
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{},{"a":1}]}"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
