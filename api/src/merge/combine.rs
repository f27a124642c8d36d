//! Merging an applied configuration into an object: what the configuration says wins, what it does not mention
//! stays. Nothing is copied where nothing changes.

use super::element::{PathElement, same};
use super::typing::{Form, ListAtom, MapAtom, TypeRef, Typing};
use crate::{Map, Str, Value};
use std::collections::{BTreeMap, VecDeque};

/// The object with the configuration merged in; nothing when that changes nothing.
pub fn merge(typing: &Typing<'_>, object: &Value, config: &Value) -> Result<Option<Value>, String> {
    visit(typing, typing.root(), object, config)
}

/// The new value of a place that both have; nothing for the object's own.
fn visit<'s>(
    typing: &Typing<'s>,
    at: TypeRef<'s>,
    object: &Value,
    config: &Value,
) -> Result<Option<Value>, String> {
    // When the two are of different sorts the configuration's counts.
    match typing.resolve(at).deduce(Some(config)).form() {
        Form::List(atom) if !atom.is_atomic() => {
            let (left, right) = (object.as_list().unwrap_or_default(), config.as_list().unwrap_or_default());
            if !left.is_empty() || !right.is_empty() {
                return visit_items(typing, &atom, left, right);
            }
        }
        Form::Map(atom) if !atom.atomic => {
            let len = |v: &Value| v.as_map().map_or(0, Map::len);
            if len(object) + len(config) > 0 {
                return match (object, config) {
                    (Value::Map(left), Value::Map(right)) => visit_fields(typing, &atom, left, right),
                    (Value::Map(left), _) if !left.is_empty() => Ok(None),
                    _ => Ok(Some(config.clone())),
                };
            }
        }
        _ => {}
    }
    Ok((object != config).then(|| config.clone()))
}

fn visit_fields<'s>(
    typing: &Typing<'s>,
    atom: &MapAtom<'s>,
    object: &Map,
    config: &Map,
) -> Result<Option<Value>, String> {
    let mut changes: Vec<(&Str, Value)> = Vec::new();
    for (key, wanted) in config.iter() {
        let at = atom.value(key).unwrap_or(TypeRef::Deduced);
        let change = match object.get(key) {
            Some(current) => visit(typing, at, current, wanted)?,
            None => Some(wanted.clone()),
        };
        changes.extend(change.map(|v| (key, v)));
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let mut merged = Map::with_capacity(object.len() + changes.len());
    for (key, current) in object.iter() {
        let change = changes.iter_mut().find(|(k, _)| *k == key);
        merged.insert(key.clone(), change.map_or_else(|| current.clone(), |(_, v)| v.take()));
    }
    for (key, value) in changes {
        if !object.contains_key(key) {
            merged.insert(key.clone(), value);
        }
    }
    Ok(Some(Value::Map(merged)))
}

/// The items of one side: their names in order, and the item of each name.
struct Side<'v> {
    names: Vec<PathElement>,
    items: BTreeMap<PathElement, &'v Value>,
}

static NO_ITEM: Value = Value::Null;

fn index<'v, 's>(
    typing: &Typing<'s>,
    atom: &ListAtom<'s>,
    list: &'v [Value],
    allow_duplicates: bool,
) -> Result<Side<'v>, String> {
    let mut side = Side { names: Vec::with_capacity(list.len()), items: BTreeMap::new() };
    for (i, item) in list.iter().enumerate() {
        let name = typing.item_element(atom, item).map_err(|why| format!("element {i}: {why}"))?;
        match side.items.get_mut(&name) {
            Some(_) if !allow_duplicates => return Err(format!("duplicate entries for key {name}")),
            // What occurs more than once is not merged with, only replaced.
            Some(first) => *first = &NO_ITEM,
            None => drop(side.items.insert(name.clone(), item)),
        }
        side.names.push(name);
    }
    Ok(side)
}

/// Items keep the configuration's order where both have them; the object's own stay where they were among those.
fn visit_items<'s>(
    typing: &Typing<'s>,
    atom: &ListAtom<'s>,
    object: &[Value],
    config: &[Value],
) -> Result<Option<Value>, String> {
    let wanted = index(typing, atom, config, false)?;
    let current = index(typing, atom, object, true)?;
    let mut weave =
        Weave { typing, atom, current: &current, wanted: &wanted, out: Vec::new(), merged: Vec::new() };
    weave.run(object)?;
    let out = Value::List(weave.out);
    Ok((out.as_list() != Some(object)).then_some(out))
}

struct Weave<'w, 's> {
    typing: &'w Typing<'s>,
    atom: &'w ListAtom<'s>,
    current: &'w Side<'w>,
    wanted: &'w Side<'w>,
    out: Vec<Value>,
    /// Names of wanted items that are in already.
    merged: Vec<&'w PathElement>,
}

impl<'w> Weave<'w, '_> {
    fn run(&mut self, object: &[Value]) -> Result<(), String> {
        let (current, wanted) = (self.current, self.wanted);
        let in_both = |name: &&PathElement| current.items.contains_key(*name);
        let mut shared: VecDeque<&PathElement> = wanted.names.iter().filter(in_both).collect();
        let mut next = shared.pop_front();
        let (mut l, mut r) = (0, 0);
        while l < current.names.len() || r < wanted.names.len() {
            if let (Some(left), Some(right)) = (current.names.get(l), wanted.names.get(r)) {
                if left == right {
                    self.take_wanted(right)?;
                    (l, r) = (l + 1, r + 1);
                    next = shared.pop_front();
                    continue;
                }
                if wanted.items.contains_key(left) && next.is_some_and(|n| n != left) {
                    l += 1;
                    continue;
                }
            }
            if let Some(left) = current.names.get(l) {
                if !wanted.items.contains_key(left) {
                    self.out.extend(object.get(l).cloned());
                    l += 1;
                    continue;
                }
                if self.merged.contains(&left) {
                    l += 1;
                }
            }
            if let Some(right) = wanted.names.get(r) {
                self.take_wanted(right)?;
                r += 1;
                if next == Some(right) {
                    next = shared.pop_front();
                }
            }
        }
        Ok(())
    }

    fn take_wanted(&mut self, name: &'w PathElement) -> Result<(), String> {
        self.merged.push(name);
        let Some(wanted) = self.wanted.items.get(name) else { return Ok(()) };
        let item = match self.current.items.get(name) {
            Some(current) if !current.is_null() => {
                let change = visit(self.typing, self.atom.items, current, wanted)?;
                change.unwrap_or_else(|| (*current).clone())
            }
            _ => (*wanted).clone(),
        };
        self.out.push(item);
        Ok(())
    }
}

/// Whether a merge left an object as it was.
pub(super) fn unchanged(object: &Value, merged: Option<&Value>) -> bool {
    merged.is_none_or(|m| same(object, m))
}
