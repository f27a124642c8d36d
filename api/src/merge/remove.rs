//! Taking fields and items out of values, and what goes with it: which struct fields a set stands for, and sets
//! whose types changed between merged-by-item and merged-as-one.

use super::element::PathElement;
use super::field_set::{FieldSet, Node};
use super::typing::{Form, ListAtom, MapAtom, TypeRef, Typing};
use crate::{Map, Value};

/// The object without the members of a set. Containers that get empty stay, as do values merged as one whose
/// parts are named.
pub fn remove_items(typing: &Typing<'_>, value: &Value, set: &FieldSet) -> Value {
    visit(typing, typing.root(), value, set)
}

fn visit<'s>(typing: &Typing<'s>, at: TypeRef<'s>, value: &Value, set: &FieldSet) -> Value {
    match (typing.resolve(at).deduce(Some(value)).form(), value) {
        (Form::Map(atom), Value::Map(map)) if !atom.atomic => visit_map(typing, &atom, map, set),
        (Form::List(atom), Value::List(list)) if !atom.is_atomic() => visit_list(typing, &atom, list, set),
        (Form::Map(_), Value::Map(_)) => Value::map(),
        (Form::List(_), Value::List(_)) => Value::List(Vec::new()),
        (Form::Scalar(_), scalar) => scalar.clone(),
        _ => Value::Null,
    }
}

fn visit_map<'s>(typing: &Typing<'s>, atom: &MapAtom<'s>, map: &Map, set: &FieldSet) -> Value {
    let mut out = Map::with_capacity(map.len());
    for (key, value) in map.iter() {
        let element = PathElement::Field(key.clone());
        if set.has_member(&element) {
            continue;
        }
        let kept = match set.below(&element) {
            Some(below) => visit(typing, atom.value(key).unwrap_or(TypeRef::Deduced), value, below),
            None => value.clone(),
        };
        out.insert(key.clone(), kept);
    }
    Value::Map(out)
}

fn visit_list<'s>(typing: &Typing<'s>, atom: &ListAtom<'s>, list: &[Value], set: &FieldSet) -> Value {
    let mut out = Vec::with_capacity(list.len());
    for item in list {
        let Ok(element) = typing.item_element(atom, item) else {
            out.push(item.clone());
            continue;
        };
        if set.has_member(&element) {
            continue;
        }
        out.push(match set.below(&element) {
            Some(below) => visit(typing, atom.items, item, below),
            None => item.clone(),
        });
    }
    Value::List(out)
}

/// The set with every declared field that has members below it as a member itself.
pub(super) fn with_named_fields(typing: &Typing<'_>, set: &FieldSet) -> FieldSet {
    name_fields(typing, Some(typing.root()), set)
}

fn name_fields<'s>(typing: &Typing<'s>, at: Option<TypeRef<'s>>, set: &FieldSet) -> FieldSet {
    let atom = at.map(|at| typing.resolve(at)).unwrap_or_default();
    let nodes = set.nodes().iter().map(|node| {
        let declared = match (&node.element, atom.map) {
            (PathElement::Field(name), Some(map)) => map.field(name),
            _ => None,
        };
        let below = match (&node.element, atom.map, atom.list) {
            (PathElement::Field(_), Some(map), _) => declared.or(map.others),
            (PathElement::Key(_), _, Some(list)) => Some(list.items),
            _ => None,
        };
        Node {
            element: node.element.clone(),
            member: node.member || declared.is_some(),
            children: name_fields(typing, below, &node.children),
        }
    });
    FieldSet::from_nodes(nodes.collect())
}

/// A set written under an older schema, brought to this one: what is merged as one value now is owned as one.
/// Nothing when it fits already.
pub(super) fn reconcile(typing: &Typing<'_>, set: &FieldSet) -> Option<FieldSet> {
    let mut atomic = FieldSet::new();
    find_atomic(typing, typing.root(), set, false, &mut Vec::new(), &mut atomic);
    (!atomic.is_empty()).then(|| set.recursive_difference(&atomic).union(&atomic))
}

/// Collects the places merged as one value that have members below them.
fn find_atomic<'s>(
    typing: &Typing<'s>,
    at: TypeRef<'s>,
    set: &FieldSet,
    whole: bool,
    path: &mut Vec<PathElement>,
    found: &mut FieldSet,
) {
    let (atomic, fields, items) = match typing.resolve(at).form() {
        Form::Scalar(_) => return,
        Form::List(atom) => (atom.is_atomic(), None, Some(atom.items)),
        Form::Map(atom) if matches!((atom.ty, atom.others), (None, Some(TypeRef::Deduced))) => return,
        Form::Map(atom) => (atom.atomic, Some(atom), None),
    };
    if atomic && !whole {
        if !set.is_empty() {
            found.insert(path.clone());
        }
        return;
    }
    for node in set.nodes() {
        let below = match (&node.element, fields, items) {
            (PathElement::Field(name), Some(map), _) => map.value(name),
            (_, None, Some(items)) => Some(items),
            _ => None,
        };
        let Some(below) = below else { continue };
        path.push(node.element.clone());
        let whole = node.member && node.children.is_empty();
        find_atomic(typing, below, &node.children, whole, path, found);
        path.pop();
    }
}
