//! What differs between two versions of an object, as three field sets.

use super::element::{PathElement, Step, Trail, same};
use super::field_set::FieldSet;
use super::typing::{Form, ListAtom, MapAtom, TypeRef, Typing};
use super::validate::scalar_fault;
use crate::{Map, Value};
use std::collections::BTreeMap;

/// Fields that the second object lost, has with another value, or has in addition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// Without these fields and whatever is below them.
    pub(super) fn excluding(self, fields: &FieldSet) -> Comparison {
        if fields.is_empty() {
            return self;
        }
        Comparison {
            removed: self.removed.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            added: self.added.recursive_difference(fields),
        }
    }
}

/// Compares two objects of a type. An error when a list's items cannot be told apart, or scalars fit on neither side.
pub fn compare(typing: &Typing<'_>, old: &Value, new: &Value) -> Result<Comparison, String> {
    let mut walk = Walk { typing, out: Comparison::default() };
    walk.visit(typing.root(), Some(old), Some(new), &Trail::ROOT)?;
    Ok(walk.out)
}

struct Walk<'w, 's> {
    typing: &'w Typing<'s>,
    out: Comparison,
}

type Side<'v> = Option<&'v Value>;

impl<'s> Walk<'_, 's> {
    fn visit(
        &mut self,
        at: TypeRef<'s>,
        old: Side<'_>,
        new: Side<'_>,
        trail: &Trail<'_>,
    ) -> Result<(), String> {
        let atom = self.typing.resolve(at);
        let (left, right) = (atom.deduce(old), atom.deduce(new));
        let leaf = match (old, new) {
            (_, None) => self.visit_as(left.form(), old, new, trail)?,
            (None, _) => self.visit_as(right.form(), old, new, trail)?,
            _ if left.allows_same(&right) => self.visit_as(right.form(), old, new, trail)?,
            _ => {
                self.visit_as(left.form(), old, new, trail)?;
                self.visit_as(right.form(), old, new, trail)?
            }
        };
        if !leaf {
            match (old, new) {
                (None, _) => self.out.added.insert(trail.path()),
                (_, None) => self.out.removed.insert(trail.path()),
                _ => {}
            }
        }
        Ok(())
    }

    /// True when the place was dealt with as a leaf.
    fn visit_as(
        &mut self,
        form: Form<'s>,
        old: Side<'_>,
        new: Side<'_>,
        trail: &Trail<'_>,
    ) -> Result<bool, String> {
        match form {
            Form::Scalar(kind) => {
                let fault = |side: Side<'_>| side.and_then(|v| scalar_fault(kind, v));
                if let (Some(left), Some(right)) = (fault(old), fault(new)) {
                    return Err(format!("errors:\n  lhs: {left}\n  rhs: {right}"));
                }
            }
            Form::List(atom) => {
                let list = |side: Side<'_>| side.and_then(Value::as_list).map_or(0, <[Value]>::len);
                if !atom.is_atomic() && list(old) + list(new) > 0 {
                    let same_order = matches!((old, new), (Some(a), Some(b)) if a == b);
                    if !same_order {
                        self.visit_items(&atom, old, new, trail)?;
                    }
                    return Ok(false);
                }
            }
            Form::Map(atom) => {
                let len = |side: Side<'_>| side.and_then(Value::as_map).map_or(0, Map::len);
                if !atom.atomic && len(old) + len(new) > 0 {
                    self.visit_fields(
                        &atom,
                        old.and_then(Value::as_map),
                        new.and_then(Value::as_map),
                        trail,
                    )?;
                    return Ok(false);
                }
            }
        }
        self.leaf(old, new, trail);
        Ok(true)
    }

    fn leaf(&mut self, old: Side<'_>, new: Side<'_>, trail: &Trail<'_>) {
        match (old, new) {
            (None, _) => self.out.added.insert(trail.path()),
            (_, None) => self.out.removed.insert(trail.path()),
            (Some(a), Some(b)) if !same(a, b) => self.out.modified.insert(trail.path()),
            _ => {}
        }
    }

    fn visit_fields(
        &mut self,
        atom: &MapAtom<'s>,
        old: Option<&Map>,
        new: Option<&Map>,
        trail: &Trail<'_>,
    ) -> Result<(), String> {
        for (key, a) in old.into_iter().flat_map(Map::iter) {
            let b = new.and_then(|m| m.get(key));
            let at = atom.value(key).unwrap_or(TypeRef::Deduced);
            self.visit(at, Some(a), b, &trail.then(Step::Field(key)))?;
        }
        for (key, b) in new.into_iter().flat_map(Map::iter) {
            if old.is_none_or(|m| !m.contains_key(key)) {
                let at = atom.value(key).unwrap_or(TypeRef::Deduced);
                self.visit(at, None, Some(b), &trail.then(Step::Field(key)))?;
            }
        }
        Ok(())
    }

    fn visit_items(
        &mut self,
        atom: &ListAtom<'s>,
        old: Side<'_>,
        new: Side<'_>,
        trail: &Trail<'_>,
    ) -> Result<(), String> {
        let mut items: BTreeMap<PathElement, [Vec<&Value>; 2]> = BTreeMap::new();
        for (side, list) in [old, new].into_iter().enumerate() {
            for (i, item) in list.and_then(Value::as_list).unwrap_or_default().iter().enumerate() {
                let element =
                    self.typing.item_element(atom, item).map_err(|why| format!("element {i}: {why}"))?;
                items.entry(element).or_default()[side].push(item);
            }
        }
        for (element, [old, new]) in &items {
            self.visit_item(atom, old, new, &trail.then(Step::Item(element)))?;
        }
        Ok(())
    }

    /// Items of one name on both sides. More than one on a side is a leaf as a whole.
    fn visit_item(
        &mut self,
        atom: &ListAtom<'s>,
        old: &[&Value],
        new: &[&Value],
        trail: &Trail<'_>,
    ) -> Result<(), String> {
        match (old, new) {
            ([] | [_], [] | [_]) => {
                self.visit(atom.items, old.first().copied(), new.first().copied(), trail)?;
            }
            ([_, _, ..], [_, _, ..]) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b));
                if !equal {
                    self.out.modified.insert(trail.path());
                }
            }
            ([_, _, ..], _) => {
                if let Some(only) = new.first() {
                    self.visit(atom.items, None, Some(only), trail)?;
                }
                self.out.removed.insert(trail.path());
            }
            (_, [_, _, ..]) => {
                if let Some(only) = old.first() {
                    self.visit(atom.items, Some(only), None, trail)?;
                }
                self.out.added.insert(trail.path());
            }
        }
        Ok(())
    }
}
