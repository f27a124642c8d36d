//! The object tree: what every object, body and patch is while a request is at work on it.
//!
//! A compact stand-in for a JSON document: strings of up to 15 bytes need no allocation, clones of longer
//! ones share it, and maps keep the order they were written in (the order of fields is part of upstream's
//! wire format). Trees live only as long as a request: what rests in the store and its caches is bytes.

use std::fmt;

/// A string of the tree: cheap to clone, short ones inline.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str(ecow::EcoString);

impl Str {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Str {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Str {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Str {
    fn from(s: &str) -> Self {
        Str(s.into())
    }
}

impl From<String> for Str {
    fn from(s: String) -> Self {
        Str(s.into())
    }
}

impl From<&String> for Str {
    fn from(s: &String) -> Self {
        Str(s.as_str().into())
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One node of a tree. Integers and floats are apart, as upstream keeps them (`1` and `1.0` differ).
#[derive(Clone, Default, PartialEq, Debug)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Str),
    List(Vec<Value>),
    Map(Map),
}

/// Keys and values in the order they were written. Keys are unique. Equality ignores order.
///
/// Look-ups scan small maps and search big ones that are sorted; maps of user data (labels, `data`, …) are kept
/// sorted by the codecs, maps of fields are small.
#[derive(Clone, Default)]
pub struct Map {
    entries: Vec<(Str, Value)>,
    /// True once a key was appended out of ascending order.
    unsorted: bool,
}

/// Maps up to this size are scanned; a scan of short keys beats a search.
const SCAN_LIMIT: usize = 24;

impl Map {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(n: usize) -> Self {
        Map { entries: Vec::with_capacity(n), unsorted: false }
    }

    /// Keeps the given order; of equal keys the last value wins, at the first one's place.
    pub fn from_pairs(pairs: Vec<(Str, Value)>) -> Self {
        let sorted = pairs.windows(2).all(|w| w[0].0 < w[1].0);
        if sorted {
            return Map { entries: pairs, unsorted: false };
        }
        if pairs.len() <= SCAN_LIMIT {
            let mut map = Map::with_capacity(pairs.len());
            for (k, v) in pairs {
                map.insert(k, v);
            }
            return map;
        }
        let mut place = std::collections::HashMap::with_capacity(pairs.len());
        let mut entries: Vec<(Str, Value)> = Vec::with_capacity(pairs.len());
        for (k, v) in pairs {
            match place.get(&k) {
                Some(&at) => {
                    let slot: &mut (Str, Value) = &mut entries[at];
                    slot.1 = v;
                }
                None => {
                    place.insert(k.clone(), entries.len());
                    entries.push((k, v));
                }
            }
        }
        Map { entries, unsorted: true }
    }

    /// Keeps the given order; the caller knows that no key comes twice (fields of a struct).
    pub(crate) fn from_unique(entries: Vec<(Str, Value)>) -> Self {
        let unsorted = !entries.is_sorted_by(|a, b| a.0 < b.0);
        Map { entries, unsorted }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, key: &str) -> Option<usize> {
        if self.unsorted || self.entries.len() <= SCAN_LIMIT {
            return self.entries.iter().position(|(k, _)| k.as_str() == key);
        }
        self.entries.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).map(|i| &self.entries[i].1)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.find(key).map(|i| &mut self.entries[i].1)
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Replaces in place, or appends; gives back what was there.
    pub fn insert(&mut self, key: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Some(i) => Some(std::mem::replace(&mut self.entries[i].1, value)),
            None => {
                self.unsorted |= self.entries.last().is_some_and(|(last, _)| *last > key);
                self.entries.push((key, value));
                None
            }
        }
    }

    /// The value at `key`, put there first as `make` says when missing or null.
    pub fn entry_or(&mut self, key: &str, make: impl FnOnce() -> Value) -> &mut Value {
        let at = match self.find(key) {
            Some(i) => i,
            None => {
                self.insert(key, Value::Null);
                self.entries.len() - 1
            }
        };
        let slot = &mut self.entries[at].1;
        if matches!(slot, Value::Null) {
            *slot = make();
        }
        slot
    }

    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).map(|i| self.entries.remove(i).1)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Str, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&Str, &mut Value)> + ExactSizeIterator {
        self.entries.iter_mut().map(|(k, v)| (&*k, v))
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Str> + ExactSizeIterator {
        self.entries.iter().map(|(k, _)| k)
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator {
        self.entries.iter().map(|(_, v)| v)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(k, v)| keep(k, v));
    }

    /// Puts the keys into ascending order, as upstream writes maps (structs keep their fields' order).
    pub fn sort(&mut self) {
        if self.unsorted {
            self.entries.sort_by(|a, b| a.0.cmp(&b.0));
            self.unsorted = false;
        }
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.get(k) == Some(v))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl IntoIterator for Map {
    type Item = (Str, Value);
    type IntoIter = std::vec::IntoIter<(Str, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<K: Into<Str>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Map::from_pairs(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl Value {
    /// What `tree!` fills: a list of its own, not `Vec::new`, which lints would have it write otherwise.
    #[doc(hidden)]
    pub fn no_items() -> Vec<Value> {
        Vec::new()
    }

    /// An empty map.
    pub fn map() -> Value {
        Value::Map(Map::new())
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The value of a field of a map; nothing when this is no map, or the field is missing.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map().and_then(|m| m.get(key))
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_map_mut().and_then(|m| m.get_mut(key))
    }

    /// Walks maps by field names: `at(&["spec", "nodeName"])`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |v, key| v.get(key))
    }

    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |v, key| v.get_mut(key))
    }

    /// The string at a path, "" when there is none.
    pub fn str_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn i64_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    /// The boolean at a path, false when there is none.
    pub fn bool_at(&self, path: &[&str]) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The list at a path, empty when there is none.
    pub fn list_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_list).unwrap_or_default()
    }

    pub fn map_at(&self, path: &[&str]) -> Option<&Map> {
        self.at(path).and_then(Value::as_map)
    }

    /// The map at a path, made (with its parents) where missing, null or not a map.
    pub fn make_map(&mut self, path: &[&str]) -> &mut Map {
        let mut here = self;
        for key in path {
            here = here.force_map().entry_or(key, Value::map);
        }
        here.force_map()
    }

    fn force_map(&mut self) -> &mut Map {
        if !matches!(self, Value::Map(_)) {
            *self = Value::map();
        }
        match self {
            Value::Map(m) => m,
            _ => unreachable!("made a map above"),
        }
    }

    /// Sets the value at a path, making its parents; an empty path replaces the whole.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        match path.split_last() {
            Some((last, parents)) => {
                self.make_map(parents).insert(*last, value);
            }
            None => *self = value.into(),
        }
    }

    /// Removes the value at a path; gives back what was there.
    pub fn unset(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.at_mut(parents)?.as_map_mut()?.remove(last)
    }

    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }

    /// Puts the keys of all maps in it into ascending order, as Go writes what has no type.
    pub fn sort(&mut self) {
        match self {
            Value::Map(map) => {
                map.sort();
                map.iter_mut().for_each(|(_, value)| value.sort());
            }
            Value::List(list) => list.iter_mut().for_each(Value::sort),
            _ => {}
        }
    }

    /// What JSON calls it, as upstream's errors name types: `null`, `bool`, `number`, `string`, `array`, `object`.
    pub fn json_type(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Float(_) => "number",
            Value::Str(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }

    /// Null, false, 0, "", and empty lists and maps: what Go's `omitempty` leaves out.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Float(f) => *f == 0.0,
            Value::Str(s) => s.is_empty(),
            Value::List(l) => l.is_empty(),
            Value::Map(m) => m.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn a_map_keeps_the_order_it_was_written_in() {
        let v = tree!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "labels": {}}, "n": [1, {"x": true}]});
        let keys: Vec<&str> = v.as_map().unwrap().keys().map(Str::as_str).collect();
        assert_eq!(keys, ["kind", "apiVersion", "metadata", "n"]);
        assert_eq!(v.str_at(&["metadata", "name"]), "a");
        assert!(v.list_at(&["n"])[1].bool_at(&["x"]));
    }

    #[test]
    fn big_maps_find_every_key_sorted_or_not() {
        for rev in [false, true] {
            let pairs = (0..200)
                .map(|i| (Str::from(format!("k{:03}", if rev { 199 - i } else { i })), Value::Int(i)));
            let mut map = Map::from_pairs(pairs.collect());
            assert_eq!(map.get("k007"), Some(&Value::Int(if rev { 192 } else { 7 })));
            map.insert("a", 1);
            assert_eq!(map.get("a"), Some(&Value::Int(1)));
            map.sort();
            assert_eq!(map.get("k199").is_some(), map.keys().next().is_some_and(|k| k == "a"));
        }
    }

    #[test]
    fn of_equal_keys_the_last_value_wins() {
        let map =
            Map::from_pairs(vec![("b".into(), 1.into()), ("a".into(), 2.into()), ("b".into(), 3.into())]);
        assert_eq!(map.len(), 2);
        assert_eq!(map.get("b"), Some(&Value::Int(3)));
    }

    #[test]
    fn set_and_unset_walk_and_make_paths() {
        let mut v = Value::Null;
        v.set(&["a", "b"], 1);
        assert_eq!(v, tree!({"a": {"b": 1}}));
        assert_eq!(v.unset(&["a", "b"]), Some(Value::Int(1)));
        assert_eq!(v, tree!({"a": {}}));
    }
}
