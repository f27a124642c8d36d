//! Lists and maps with a greatest size, and lists whose items are there once.

use api::{Fault, Map, Path, Value};
use std::collections::HashSet;

/// Faults of a list: too many items, or else those of each item.
pub fn list(
    items: &[Value],
    max: usize,
    at: &Path,
    check: impl FnMut(&Value, &Path) -> Vec<Fault>,
) -> Vec<Fault> {
    if items.len() > max {
        return vec![Fault::too_many(at, items.len(), max)];
    }
    let mut check = check;
    items.iter().enumerate().flat_map(|(i, item)| check(item, &at.index(i))).collect()
}

/// Like `list`, and keys must differ; repetitions are told after all else.
pub fn set(
    items: &[Value],
    max: usize,
    at: &Path,
    key: impl Fn(&Value) -> String,
    check: impl FnMut(&Value, &Path) -> Vec<Fault>,
) -> Vec<Fault> {
    let mut faults = list(items, max, at, check);
    if items.len() > max {
        return faults;
    }
    let mut seen = HashSet::new();
    for (i, item) in items.iter().enumerate() {
        let key = key(item);
        if seen.contains(&key) {
            faults.push(Fault::duplicate(at.index(i), key));
        } else {
            seen.insert(key);
        }
    }
    faults
}

/// Faults of a map's keys (told at the map) and values (at their keys), sorted by key.
pub fn map(
    entries: Option<&Map>,
    max: usize,
    at: &Path,
    check_key: impl Fn(&str, &Path) -> Vec<Fault>,
    check: impl Fn(&Value, &Path) -> Vec<Fault>,
) -> Vec<Fault> {
    let Some(entries) = entries else { return Vec::new() };
    if entries.len() > max {
        return vec![Fault::too_many(at, entries.len(), max)];
    }
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    let each = sorted.into_iter().flat_map(|(key, value)| {
        let mut faults = check_key(key, at);
        faults.extend(check(value, &at.key(key)));
        faults
    });
    each.collect()
}

/// A list of texts as its own key.
pub fn text(item: &Value) -> String {
    item.as_str().unwrap_or_default().to_owned()
}

/// A field of an item as its key.
pub fn by(field: &'static str) -> impl Fn(&Value) -> String {
    move |item| item.str_at(&[field]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn repetitions_come_last_and_big_lists_are_not_looked_into() {
        let items = tree!([{"name": "a"}, {"name": "a"}, {"name": ""}]);
        let check = |item: &Value, at: &Path| match item.str_at(&["name"]) {
            "" => vec![Fault::required(at, "")],
            _ => Vec::new(),
        };
        let texts = |max| -> Vec<String> {
            let faults = set(items.as_list().unwrap(), max, &Path::new("l"), by("name"), check);
            faults.iter().map(|f| f.to_string()).collect()
        };
        assert_eq!(texts(3), ["l[2]: Required value", "l[1]: Duplicate value: \"a\""]);
        assert_eq!(texts(2), ["l: Too many: 3: must have at most 2 items"]);
    }
}
