//! Whether a value fits its type as apply demands: no undeclared fields, no wrong scalars, no item twice in a list
//! merged by item. Texts are upstream's, Go's way of printing values included.

use super::element::PathElement;
use super::typing::{Form, ListAtom, MapAtom, ScalarKind, TypeRef, Typing};
use crate::patch::go_text;
use crate::{Map, Value, quote};
use std::collections::BTreeSet;

/// What is wrong, where.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// `.spec.containers[name="c"].ports`; "" is the object itself.
    pub path: String,
    pub message: String,
}

/// Everything that is wrong with an object. `allow_duplicates` for what is stored already.
pub fn validate(typing: &Typing<'_>, value: &Value, allow_duplicates: bool) -> Vec<Violation> {
    let mut walk = Walk { typing, allow_duplicates, found: Vec::new() };
    walk.visit(typing.root(), value);
    walk.found
}

/// All violations as one text.
pub fn violations_text(found: &[Violation]) -> String {
    let text = |v: &Violation| match v.path.as_str() {
        "" => v.message.clone(),
        path => format!("{path}: {}", v.message),
    };
    match found {
        [only] => text(only),
        many => {
            let lines: Vec<String> = many.iter().map(|v| format!("  {}", text(v))).collect();
            format!("errors:\n{}", lines.join("\n"))
        }
    }
}

struct Walk<'w, 's> {
    typing: &'w Typing<'s>,
    allow_duplicates: bool,
    found: Vec<Violation>,
}

impl<'s> Walk<'_, 's> {
    fn refuse(&mut self, message: String) {
        self.found.push(Violation { path: String::new(), message });
    }

    /// Runs a visit one level down; what it finds gets the step in front of its path.
    fn below(&mut self, step: impl FnOnce() -> String, visit: impl FnOnce(&mut Self)) {
        let before = self.found.len();
        visit(self);
        if self.found.len() > before {
            let step = step();
            for violation in &mut self.found[before..] {
                violation.path.insert_str(0, &step);
            }
        }
    }

    fn visit(&mut self, at: TypeRef<'s>, value: &Value) {
        match (self.typing.resolve(at).deduce(Some(value)).form(), value) {
            (_, Value::Null) => {}
            (Form::Map(atom), Value::Map(map)) => self.visit_map(&atom, map),
            (Form::Map(_), other) => self.refuse(format!("expected map, got &{{{}}}", go_text(other))),
            (Form::List(atom), Value::List(list)) => self.visit_list(&atom, list),
            (Form::List(_), other) => self.refuse(format!("expected list, got &{{{}}}", go_text(other))),
            (Form::Scalar(kind), value) => {
                if let Some(message) = scalar_fault(kind, value) {
                    self.refuse(message);
                }
            }
        }
    }

    fn visit_map(&mut self, atom: &MapAtom<'s>, map: &Map) {
        for (key, value) in map.iter() {
            let step = || format!(".{key}");
            match atom.value(key) {
                Some(at) => self.below(step, |walk| walk.visit(at, value)),
                None => {
                    self.below(step, |walk| walk.refuse("field not declared in schema".to_owned()));
                    return;
                }
            }
        }
    }

    fn visit_list(&mut self, atom: &ListAtom<'s>, list: &[Value]) {
        let mut seen = BTreeSet::new();
        for (i, item) in list.iter().enumerate() {
            let element = if atom.is_atomic() {
                PathElement::Index(i64::try_from(i).unwrap_or(i64::MAX))
            } else {
                match self.typing.item_element(atom, item) {
                    Ok(element) => element,
                    Err(why) => return self.refuse(format!("element {i}: {why}")),
                }
            };
            if !atom.is_atomic() && !seen.insert(element.clone()) && !self.allow_duplicates {
                self.refuse(format!("duplicate entries for key {element}"));
            }
            self.below(|| element.to_string(), |walk| walk.visit(atom.items, item));
        }
    }
}

/// Why a value is no such scalar; null is any.
pub(super) fn scalar_fault(kind: ScalarKind, value: &Value) -> Option<String> {
    match (kind, value) {
        (_, Value::Null)
        | (ScalarKind::Numeric, Value::Int(_) | Value::Float(_))
        | (ScalarKind::Str, Value::Str(_))
        | (ScalarKind::Bool, Value::Bool(_))
        | (ScalarKind::Any, Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Bool(_)) => None,
        (ScalarKind::Numeric, other) => {
            Some(format!("expected numeric (int or float), got {}", go_type(other)))
        }
        (ScalarKind::Str, other) => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(other)))
        }
        (ScalarKind::Bool, other) => Some(format!("expected boolean, got &{{{}}}", go_text(other))),
        (ScalarKind::Any, other) => Some(format!("expected any scalar, got &{{{}}}", go_text(other))),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Str(s) => quote(s),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Map(map) => {
            let mut items: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", quote(k), go_syntax(v))).collect();
            items.sort_unstable();
            format!("map[string]interface {{}}{{{}}}", items.join(", "))
        }
        scalar => go_text(scalar),
    }
}
