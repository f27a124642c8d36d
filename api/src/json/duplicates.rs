//! Reading that also tells which keys came twice, for strict field validation of bodies without a schema.

use super::cursor::{Cursor, Error, Kind};
use super::parse::{own, parse_next};
use crate::{Map, Value};
use std::collections::HashSet;

/// More than this many faults of one body are not reported.
const MAX_REPORTED: usize = 100;

/// Like `parse`, and the paths of keys that came again, in the order found: `spec.ports[0].name`.
pub fn parse_tracking_duplicates(text: &[u8]) -> Result<(Value, Vec<String>), Error> {
    let mut cursor = Cursor::new(text);
    let mut found = Vec::new();
    let value = value(&mut cursor, "", &mut found)?;
    cursor.end()?;
    Ok((value, found))
}

fn value(cursor: &mut Cursor<'_>, path: &str, found: &mut Vec<String>) -> Result<Value, Error> {
    match cursor.peek()? {
        Kind::List => {
            cursor.open()?;
            let mut items = Vec::new();
            while cursor.next_item(items.is_empty())? {
                let at = format!("{path}[{}]", items.len());
                items.push(value(cursor, &at, found)?);
            }
            Ok(Value::List(items))
        }
        Kind::Map => map(cursor, path, found).map(Value::Map),
        _ => parse_next(cursor),
    }
}

fn map(cursor: &mut Cursor<'_>, path: &str, found: &mut Vec<String>) -> Result<Map, Error> {
    cursor.open()?;
    let mut pairs = Vec::new();
    let mut seen = HashSet::new();
    while let Some(key) = cursor.next_key(pairs.is_empty())? {
        let key = own(key);
        let at = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
        if !seen.insert(key.clone()) && found.len() < MAX_REPORTED && !found.contains(&at) {
            found.push(at.clone());
        }
        pairs.push((key, value(cursor, &at, found)?));
    }
    Ok(Map::from_pairs(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn keys_that_come_twice_are_told_with_their_paths() {
        let text = br#"{"metadata":{"name":"a","name":"b"},"l":[{"k":1,"k":2}],"metadata":{"name":"c"}}"#;
        let (value, found) = parse_tracking_duplicates(text).unwrap();
        assert_eq!(value, tree!({"metadata": {"name": "c"}, "l": [{"k": 2}]}));
        assert_eq!(found, ["metadata.name", "l[0].k", "metadata"]);
    }
}
