//! Sets of fields: a trie of path elements, each of which may be a member itself and have members below it.
//!
//! Invariant: nodes are sorted, and every node is a member or has members below. `FieldsV1` is its wire form.

use super::element::PathElement;
use crate::{Map, Value};
use std::cmp::Ordering;

/// A set of fields of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet {
    nodes: Vec<Node>,
}

/// A path element in a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub element: PathElement,
    /// The field itself belongs to the set.
    pub member: bool,
    /// What belongs to the set below it.
    pub children: FieldSet,
}

impl FieldSet {
    /// No fields.
    pub const EMPTY: FieldSet = FieldSet { nodes: Vec::new() };

    pub fn new() -> Self {
        Self::default()
    }

    /// The set of these paths of field names, for sets known beforehand: `[&["metadata", "name"], …]`.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = FieldSet::new();
        for path in paths {
            set.insert(path.iter().map(|name| PathElement::Field((*name).into())).collect());
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// From nodes in any order; empty ones are left out, equal ones united.
    pub(super) fn from_nodes(mut nodes: Vec<Node>) -> Self {
        nodes.retain(|n| n.member || !n.children.is_empty());
        if !nodes.is_sorted_by(|a, b| a.element < b.element) {
            nodes.sort_by(|a, b| a.element.cmp(&b.element));
            nodes.dedup_by(|later, first| {
                let equal = later.element == first.element;
                if equal {
                    first.member |= later.member;
                    first.children = first.children.union(&later.children);
                }
                equal
            });
        }
        FieldSet { nodes }
    }

    fn place(&self, element: &PathElement) -> Result<usize, usize> {
        self.nodes.binary_search_by(|n| n.element.cmp(element))
    }

    fn node(&self, element: &PathElement) -> Option<&Node> {
        self.place(element).ok().and_then(|at| self.nodes.get(at))
    }

    /// Adds a path; the empty path (the whole object) is nobody's.
    pub fn insert(&mut self, path: Vec<PathElement>) {
        let last = path.len().saturating_sub(1);
        let mut here = self;
        for (depth, element) in path.into_iter().enumerate() {
            let at = match here.place(&element) {
                Ok(at) => at,
                Err(at) => {
                    here.nodes.insert(at, Node { element, member: false, children: FieldSet::new() });
                    at
                }
            };
            let node = &mut here.nodes[at];
            node.member |= depth == last;
            here = &mut node.children;
        }
    }

    pub fn has(&self, path: &[PathElement]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let mut here = self;
        for element in parents {
            match here.node(element) {
                Some(node) => here = &node.children,
                None => return false,
            }
        }
        here.has_member(last)
    }

    /// Whether an element itself is a member at this level.
    pub fn has_member(&self, element: &PathElement) -> bool {
        self.node(element).is_some_and(|n| n.member)
    }

    /// What is below an element, when there is anything.
    pub fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.node(element).map(|n| &n.children).filter(|c| !c.is_empty())
    }

    pub fn union(&self, other: &FieldSet) -> FieldSet {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        self.zipped(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(Node {
                element: a.element.clone(),
                member: a.member || b.member,
                children: a.children.union(&b.children),
            }),
            (one, other) => one.or(other).cloned(),
        })
    }

    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.zipped(other, |a, b| {
            let (a, b) = (a?, b?);
            Some(Node {
                element: a.element.clone(),
                member: a.member && b.member,
                children: a.children.intersection(&b.children),
            })
        })
    }

    /// What is in this set and not in the other; a member of the other does not cover what is below it.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        if other.is_empty() {
            return self.clone();
        }
        self.zipped(other, |a, b| match (a?, b) {
            (a, Some(b)) => Some(Node {
                element: a.element.clone(),
                member: a.member && !b.member,
                children: a.children.difference(&b.children),
            }),
            (a, None) => Some(a.clone()),
        })
    }

    /// As `difference`, but a member of the other takes everything below it away as well.
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        if other.is_empty() {
            return self.clone();
        }
        self.zipped(other, |a, b| match (a?, b) {
            (_, Some(b)) if b.member => None,
            (a, Some(b)) => Some(Node {
                element: a.element.clone(),
                member: a.member,
                children: a.children.recursive_difference(&b.children),
            }),
            (a, None) => Some(a.clone()),
        })
    }

    /// Walks both sets in order; `join` makes the node of each element that either has.
    fn zipped(
        &self,
        other: &FieldSet,
        join: impl Fn(Option<&Node>, Option<&Node>) -> Option<Node>,
    ) -> FieldSet {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let (mut a, mut b) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.element.cmp(&y.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let left = if order.is_le() { a.next() } else { None };
            let right = if order.is_ge() { b.next() } else { None };
            nodes.extend(join(left, right).filter(|n| n.member || !n.children.is_empty()));
        }
        FieldSet { nodes }
    }

    /// Calls `visit` for every member: those of a level before those below it.
    pub fn for_each(&self, visit: &mut impl FnMut(&[PathElement])) {
        self.each_from(&mut Vec::new(), visit);
    }

    fn each_from(&self, prefix: &mut Vec<PathElement>, visit: &mut impl FnMut(&[PathElement])) {
        for node in self.nodes.iter().filter(|n| n.member) {
            prefix.push(node.element.clone());
            visit(prefix);
            prefix.pop();
        }
        for node in self.nodes.iter().filter(|n| !n.children.is_empty()) {
            prefix.push(node.element.clone());
            node.children.each_from(prefix, visit);
            prefix.pop();
        }
    }

    /// Reads `FieldsV1`. Elements of unknown kinds are dropped; broken ones are an error.
    pub fn from_fields_v1(fields: &Value) -> Result<FieldSet, String> {
        match fields {
            Value::Null => Ok(FieldSet::new()),
            Value::Map(map) => read(map).map(|(set, _)| set),
            other => Err(format!("expect {{ or n, but found {}", other.json_type())),
        }
    }

    /// The wire form, in canonical order.
    pub fn to_fields_v1(&self) -> Value {
        Value::Map(self.write(false))
    }

    fn write(&self, member: bool) -> Map {
        let mut map = Map::with_capacity(self.nodes.len() + 1);
        if member && !self.is_empty() {
            map.insert(".", Value::map());
        }
        for node in &self.nodes {
            map.insert(node.element.text(), Value::Map(node.children.write(node.member)));
        }
        map
    }
}

/// The set of a level, and whether the level's own field is a member.
fn read(map: &Map) -> Result<(FieldSet, bool), String> {
    let mut nodes = Vec::with_capacity(map.len());
    let mut member = false;
    for (key, value) in map.iter() {
        if key == "." {
            member = true;
            continue;
        }
        let Some(element) = PathElement::parse(key)? else { continue };
        let (children, is_member) = match value {
            Value::Map(below) => read(below)?,
            Value::Null => (FieldSet::new(), true),
            other => return Err(format!("expect {{ or n, but found {}", other.json_type())),
        };
        nodes.push(Node { element, member: is_member, children });
    }
    let set = FieldSet::from_nodes(nodes);
    let member = member || set.is_empty();
    Ok((set, member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use proptest::prelude::*;

    fn set(fields: Value) -> FieldSet {
        FieldSet::from_fields_v1(&fields).unwrap()
    }

    #[test]
    fn fields_v1_comes_back_in_canonical_order() {
        let fields = tree!({
            "f:spec": {"f:z": {}, "f:a": {".": {}, "k:{\"name\":\"c\"}": {"f:image": {}}}},
            "f:metadata": {"f:labels": {".": {}}}, "x:unknown": {}
        });
        let text = crate::json::to_string(&set(fields).to_fields_v1());
        let expected = concat!(
            r#"{"f:metadata":{"f:labels":{}},"f:spec":{"f:a":{".":{},"#,
            r#""k:{\"name\":\"c\"}":{"f:image":{}}},"f:z":{}}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn differences_are_by_field_or_by_tree() {
        let a = set(tree!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let b = set(tree!({"f:a": {}}));
        assert_eq!(a.difference(&b), set(tree!({"f:a": {"f:b": {}}, "f:c": {}})));
        assert_eq!(a.recursive_difference(&b), set(tree!({"f:c": {}})));
        assert_eq!(a.intersection(&b), b);
        assert_eq!(b.union(&a), a);
    }

    #[test]
    fn members_of_a_level_come_before_those_below() {
        let mut seen = Vec::new();
        let fields = set(tree!({"f:a": {"f:b": {}}, "f:c": {}}));
        fields.for_each(&mut |path| seen.push(path.iter().map(ToString::to_string).collect::<String>()));
        assert_eq!(seen, [".c", ".a.b"]);
    }

    fn any_set() -> impl Strategy<Value = FieldSet> {
        let element = prop_oneof![
            "[a-c.]{0,2}".prop_map(|s| PathElement::Field(s.as_str().into())),
            "[a-c<\"]{0,2}".prop_map(|s| PathElement::Key(vec![("name".into(), s.into())])),
            any::<i64>().prop_map(|i| PathElement::Value(Value::Int(i))),
            (0i64..3).prop_map(PathElement::Index),
        ];
        let path = prop::collection::vec(element, 1..4);
        prop::collection::vec(path, 0..12).prop_map(|paths| {
            let mut set = FieldSet::new();
            paths.into_iter().for_each(|p| set.insert(p));
            set
        })
    }

    proptest! {
        #[test]
        fn fields_v1_round_trips(set in any_set()) {
            let text = crate::json::to_vec(&set.to_fields_v1());
            let back = crate::json::parse(&text).unwrap();
            prop_assert_eq!(FieldSet::from_fields_v1(&back).unwrap(), set);
        }

        #[test]
        fn set_algebra_holds(a in any_set(), b in any_set()) {
            let (both, rest) = (a.intersection(&b), a.difference(&b));
            prop_assert!(both.intersection(&rest).is_empty());
            prop_assert_eq!(both.union(&rest), a.clone());
            prop_assert!(a.difference(&a.union(&b)).is_empty());
        }
    }
}
