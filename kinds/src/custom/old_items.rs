//! What the items of a list were: known for lists that are maps (`x-kubernetes-list-type: map`), by their keys.

use super::Props;
use api::Value;
use std::collections::HashMap;

/// The items of an old list by the values of their keys; empty for lists that are no maps.
#[derive(Default)]
pub struct OldItems<'a> {
    keys: Vec<&'a str>,
    by_keys: HashMap<Vec<Key<'a>>, &'a Value>,
}

/// The value of one key; numbers are what they are written as.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Bool(bool),
    Int(i64),
    Float(u64),
    Str(&'a str),
}

impl<'a> OldItems<'a> {
    /// `old` is the list as it was, `props` the schema of the list. Of items with equal keys the first counts.
    pub fn new(old: Option<&'a Value>, props: &'a Props) -> Self {
        let items = old.and_then(Value::as_list).unwrap_or_default();
        let mut found = OldItems::default();
        if props.list_type != "map" || props.list_map_keys.is_empty() || items.is_empty() {
            return found;
        }
        found.keys = props.list_map_keys.iter().map(|key| key.as_str()).collect();
        for item in items {
            if let Some(keys) = found.keys_of(item) {
                found.by_keys.entry(keys).or_insert(item);
            }
        }
        found
    }

    /// What an item was; `None` for new ones and those that lack a key.
    pub fn get(&self, item: &Value) -> Option<&'a Value> {
        if self.by_keys.is_empty() {
            return None;
        }
        self.by_keys.get(&self.keys_of(item)?).copied()
    }

    fn keys_of<'v>(&self, item: &'v Value) -> Option<Vec<Key<'v>>> {
        let key = |name: &&str| match item.get(name)? {
            Value::Bool(value) => Some(Key::Bool(*value)),
            Value::Int(value) => Some(Key::Int(*value)),
            Value::Float(value) => Some(Key::Float(value.to_bits())),
            Value::Str(value) => Some(Key::Str(value)),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        };
        self.keys.iter().map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn items_are_found_by_all_their_keys() {
        let list_of = |ty: &str| {
            Props::read(&tree!({"type": "array", "x-kubernetes-list-type": ty, "items": {"type": "object"},
                "x-kubernetes-list-map-keys": ["port", "protocol"]}))
        };
        let old = tree!([{"port": 1, "protocol": "TCP", "v": 1}, {"port": 1, "protocol": "UDP", "v": 2},
            {"port": 1, "protocol": "TCP", "v": 3}, {"port": 2}, 7]);
        let props = list_of("map");
        let items = OldItems::new(Some(&old), &props);
        let v = |item: Value| items.get(&item).and_then(|old| old.i64_at(&["v"]));
        assert_eq!(v(tree!({"port": 1, "protocol": "UDP"})), Some(2));
        assert_eq!(v(tree!({"port": 1, "protocol": "TCP", "v": 9})), Some(1));
        assert_eq!(v(tree!({"port": "1", "protocol": "TCP"})), None);
        assert!(items.get(&tree!({"port": 2})).is_none() && items.get(&tree!(7)).is_none());
        let (atomic, item) = (list_of("atomic"), tree!({"port": 1, "protocol": "UDP"}));
        assert!(OldItems::new(Some(&old), &atomic).get(&item).is_none());
        assert!(OldItems::new(None, &props).get(&item).is_none());
    }
}
