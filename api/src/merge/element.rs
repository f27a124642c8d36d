//! Path elements: how a field set names a field, a list item by its keys or value, or an index. Their text forms
//! are `f:name`, `k:{"name":"c"}`, `v:"text"` and `i:0` in `managedFields`, and `.name`, `[name="c"]`, `[="text"]`
//! and `[0]` in messages.

use crate::{Map, Str, Value, json, quote};
use std::cmp::Ordering;
use std::fmt;

/// One step of a path.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A field of a struct or a key of a map.
    Field(Str),
    /// The item of a list whose fields have these values; sorted by name.
    Key(Vec<(Str, Value)>),
    /// The item of a set.
    Value(Value),
    /// The item at an index of an atomic list.
    Index(i64),
}

impl PathElement {
    /// Reads the text form; nothing for a kind of element that is unknown, an error for what is broken.
    pub fn parse(text: &str) -> Result<Option<PathElement>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        let value = || json::parse(rest.as_bytes()).map_err(|e| e.to_string());
        Ok(Some(match kind {
            "f:" => PathElement::Field(rest.into()),
            "v:" => PathElement::Value(value()?),
            "k:" => match value()? {
                Value::Map(map) => {
                    let mut keys: Vec<(Str, Value)> = map.into_iter().collect();
                    keys.sort_by(|a, b| a.0.cmp(&b.0));
                    PathElement::Key(keys)
                }
                other => return Err(format!("expect {{ or n, but found {}", json::to_string(&other))),
            },
            "i:" => PathElement::Index(rest.parse().map_err(|_| format!("invalid index: {rest}"))?),
            _ if kind.ends_with(':') => return Ok(None),
            _ => return Err(format!("missing colon: {text}")),
        }))
    }

    /// The text form of `managedFields`.
    pub fn text(&self) -> Str {
        match self {
            PathElement::Field(name) => format!("f:{name}").into(),
            PathElement::Key(keys) => {
                let map = Map::from_pairs(keys.clone());
                format!("k:{}", json::to_string(&Value::Map(map))).into()
            }
            PathElement::Value(value) => format!("v:{}", json::to_string(value)).into(),
            PathElement::Index(index) => format!("i:{index}").into(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            PathElement::Field(_) => 0,
            PathElement::Key(_) => 1,
            PathElement::Value(_) => 2,
            PathElement::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (PathElement::Field(a), PathElement::Field(b)) => a.cmp(b),
            (PathElement::Key(a), PathElement::Key(b)) => compare_pairs(a, b),
            (PathElement::Value(a), PathElement::Value(b)) => compare_values(a, b),
            (PathElement::Index(a), PathElement::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PathElement {}

fn compare_pairs(a: &[(Str, Value)], b: &[(Str, Value)]) -> Ordering {
    let pairs = a.iter().zip(b).map(|(x, y)| x.0.cmp(&y.0).then_with(|| compare_values(&x.1, &y.1)));
    pairs.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// A total order of values: numbers (integers and floats alike), strings, booleans, lists, maps, null.
pub(super) fn compare_values(a: &Value, b: &Value) -> Ordering {
    #[allow(clippy::cast_precision_loss)]
    let float = |i: i64| i as f64;
    let floats = |x: f64, y: f64| x.partial_cmp(&y).unwrap_or(Ordering::Equal);
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => x.cmp(y),
        (Value::Float(x), Value::Float(y)) => floats(*x, *y),
        (Value::Int(x), Value::Float(y)) => floats(float(*x), *y),
        (Value::Float(x), Value::Int(y)) => floats(*x, float(*y)),
        (Value::Str(x), Value::Str(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::List(x), Value::List(y)) => {
            let items = x.iter().zip(y).map(|(x, y)| compare_values(x, y));
            items.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        (Value::Map(x), Value::Map(y)) => {
            let sorted = |m: &Map| {
                let mut pairs: Vec<(Str, Value)> = m.clone().into_iter().collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs
            };
            compare_pairs(&sorted(x), &sorted(y))
        }
        _ => value_rank(a).cmp(&value_rank(b)),
    }
}

fn value_rank(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Str(_) => 1,
        Value::Bool(_) => 2,
        Value::List(_) => 3,
        Value::Map(_) => 4,
        Value::Null => 5,
    }
}

/// Whether two values are the same to apply: an integer equals a float of its value.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(x), Value::List(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Map(x), Value::Map(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => false,
        _ => compare_values(a, b).is_eq(),
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect();
                write!(f, "[{}]", keys.join(","))
            }
            PathElement::Value(value) => write!(f, "[={}]", shown(value)),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Str(s) => quote(s),
        Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Map(map) => map.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect(),
        scalar => crate::patch::go_text(scalar),
    }
}

/// Where a walk is: a chain of steps on the stack, so that a path costs nothing until somebody needs it.
#[derive(Clone, Copy)]
pub(super) struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Root,
    Field(&'a Str),
    Item(&'a PathElement),
}

impl<'a> Trail<'a> {
    pub(super) const ROOT: Trail<'static> = Trail { parent: None, step: Step::Root };

    pub(super) fn then(&'a self, step: Step<'a>) -> Trail<'a> {
        Trail { parent: Some(self), step }
    }

    pub(super) fn path(&self) -> Vec<PathElement> {
        let mut path = Vec::new();
        let mut here = Some(self);
        while let Some(trail) = here {
            match trail.step {
                Step::Root => {}
                Step::Field(name) => path.push(PathElement::Field(name.clone())),
                Step::Item(element) => path.push(element.clone()),
            }
            here = trail.parent;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn elements_read_and_write_their_text() {
        for text in
            ["f:spec", "f:", "k:{\"containerPort\":80,\"protocol\":\"TCP\"}", "v:\"a\"", "v:1.5", "i:3"]
        {
            assert_eq!(PathElement::parse(text).unwrap().unwrap().text(), text);
        }
        assert_eq!(PathElement::parse("x:1"), Ok(None));
        for bad in ["f", "abc", "v:{", "k:[]", "i:x"] {
            assert!(PathElement::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_show_keys_and_values() {
        let shown = |text: &str| PathElement::parse(text).unwrap().unwrap().to_string();
        assert_eq!(shown("f:a"), ".a");
        assert_eq!(shown("k:{\"b\":\"x\",\"a\":1}"), "[a=1,b=\"x\"]");
        assert_eq!(shown("v:\"q\""), "[=\"q\"]");
    }

    #[test]
    fn integers_and_floats_of_one_value_are_the_same() {
        assert!(same(&tree!({"a": [1, 2.0]}), &tree!({"a": [1.0, 2]})));
        assert!(!same(&tree!({"a": 1}), &tree!({"a": "1"})));
        assert!(!same(&tree!([]), &tree!({})));
    }
}
