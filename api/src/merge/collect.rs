//! The field set of a value: every leaf that it mentions, and the items of lists and undeclared keys of maps
//! themselves.

use super::element::PathElement;
use super::field_set::{FieldSet, Node};
use super::typing::{Form, ListAtom, MapAtom, TypeRef, Typing};
use crate::{Map, Value};
use std::collections::BTreeMap;

/// The fields that an object sets.
pub fn to_field_set(typing: &Typing<'_>, value: &Value) -> FieldSet {
    visit(typing, typing.root(), value).1
}

/// Whether the place itself is a leaf, and the set below it.
fn visit<'s>(typing: &Typing<'s>, at: TypeRef<'s>, value: &Value) -> (bool, FieldSet) {
    match typing.resolve(at).deduce(Some(value)).form() {
        Form::Scalar(_) => (true, FieldSet::new()),
        Form::List(atom) if atom.is_atomic() => (true, FieldSet::new()),
        Form::Map(atom) if atom.atomic => (true, FieldSet::new()),
        Form::List(atom) => match value {
            Value::List(list) => (false, visit_list(typing, &atom, list)),
            _ => (false, FieldSet::new()),
        },
        Form::Map(atom) => match value {
            Value::Map(map) => (false, visit_map(typing, &atom, map)),
            _ => (false, FieldSet::new()),
        },
    }
}

fn visit_map<'s>(typing: &Typing<'s>, atom: &MapAtom<'s>, map: &Map) -> FieldSet {
    let mut nodes = Vec::with_capacity(map.len());
    for (key, value) in map.iter() {
        let declared = atom.field(key);
        let (leaf, children) = match declared.or(atom.others) {
            Some(at) => visit(typing, at, value),
            None => (true, FieldSet::new()),
        };
        let empty = match value {
            Value::Null => true,
            Value::Map(map) => map.is_empty(),
            _ => false,
        };
        let member = leaf || empty || declared.is_none();
        nodes.push(Node { element: PathElement::Field(key.clone()), member, children });
    }
    FieldSet::from_nodes(nodes)
}

/// Items that occur more than once are leaves as a whole.
fn visit_list<'s>(typing: &Typing<'s>, atom: &ListAtom<'s>, list: &[Value]) -> FieldSet {
    let mut items: BTreeMap<PathElement, FieldSet> = BTreeMap::new();
    for item in list {
        let Ok(element) = typing.item_element(atom, item) else { continue };
        if let Some(first) = items.get_mut(&element) {
            *first = FieldSet::new();
            continue;
        }
        items.insert(element, visit(typing, atom.items, item).1);
    }
    let node = |(element, children)| Node { element, member: true, children };
    FieldSet::from_nodes(items.into_iter().map(node).collect())
}
