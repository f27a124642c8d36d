//! The check of a value against a validating schema, with upstream's errors in upstream's words and order: type,
//! junctors, strings, formats, numbers, lists, enums, objects.
//!
//! On updates the old value walks along: what is wrong but was so before, unchanged, is let through ("ratcheting").

mod format;
mod junctor;
mod number;
mod problem;
mod string;

pub use format::is_known as is_checked_format;

use super::old_items::OldItems;
use super::{Additional, Props};
use api::{Fault, Value};
use problem::{Problem, Verdict};

/// The faults of a value; `field` is where it is in its object ("" for the whole). `old` is what it was, on updates.
pub fn validate(value: &Value, old: Option<&Value>, props: &Props, field: &str) -> Vec<Fault> {
    let place = Place { path: String::new(), old };
    let verdict = place.check_against_old(value, props);
    verdict.problems.into_iter().map(|problem| problem.into_fault(field)).collect()
}

/// Where in the value a check is.
struct Place<'a> {
    path: String,
    /// What was in this place, when that can be told.
    old: Option<&'a Value>,
}

impl<'a> Place<'a> {
    /// As `check`; a value that did not change has no problems.
    fn check_against_old(&self, value: &Value, props: &Props) -> Verdict {
        let verdict = self.check(value, props);
        match self.old {
            Some(old) if !verdict.problems.is_empty() && old == value => {
                Verdict { problems: Vec::new(), matches: verdict.matches }
            }
            _ => verdict,
        }
    }

    fn check(&self, value: &Value, props: &Props) -> Verdict {
        let mut verdict = Verdict::default();
        if value.is_null() {
            verdict.merge(self.check_type(value, props));
            verdict.merge(self.check_enum(value, props));
            return verdict;
        }
        if !props.types.is_empty() || !props.format.is_empty() {
            verdict.merge(self.check_type(value, props));
            verdict.matches += 1;
        }
        verdict.merge(self.junctors(value, props));
        verdict.matches += 1;
        match value {
            Value::Str(text) => {
                verdict.merge(self.string(text, props));
                verdict.matches += 1;
                if !props.format.is_empty() && format::is_known(&props.format) {
                    verdict.merge(self.format(text, props));
                    verdict.matches += 1;
                }
            }
            Value::Int(_) | Value::Float(_) => {
                verdict.merge(self.number(value, props));
                verdict.matches += 1;
            }
            Value::List(items) => {
                verdict.merge(self.list(items, props));
                verdict.matches += 1;
            }
            _ => {}
        }
        verdict.merge(self.check_enum(value, props));
        verdict.matches += 1;
        if let Value::Map(_) = value {
            verdict.merge(self.object(value, props));
            verdict.matches += 1;
        }
        verdict.matches += 1;
        verdict
    }

    fn check_type(&self, value: &Value, props: &Props) -> Verdict {
        let has = |name: &str| props.types.iter().any(|t| t == name);
        let expected = || props.types.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(",");
        let mut verdict = Verdict::passed();
        let (ty, format) = match value {
            Value::Null => {
                if !props.types.is_empty() && !props.nullable {
                    return Verdict::of(Problem::wrong_type(&self.path, &expected(), "null"));
                }
                return verdict;
            }
            Value::Bool(_) => ("boolean", ""),
            Value::Int(_) => ("integer", "int64"),
            Value::Float(_) => ("number", "float64"),
            Value::Str(_) => ("string", ""),
            Value::List(_) => ("array", ""),
            Value::Map(_) => ("object", ""),
        };
        let float_as_int = matches!(value, Value::Float(f) if number::is_integer(*f)) && has("integer");
        let int_as_float = ty == "integer" && has("number");
        let is_text_or_list = matches!(value, Value::Str(_) | Value::List(_));
        let fits = has(ty) || float_as_int || int_as_float;
        if !is_text_or_list && !props.format.is_empty() && !fits && format != props.format.as_str() {
            return Verdict::of(Problem::wrong_type(&self.path, &props.format, format));
        }
        if is_text_or_list && !props.format.is_empty() && !has("number") && !has("integer") {
            return verdict;
        }
        if !fits {
            verdict = Verdict::of(Problem::wrong_type(&self.path, &expected(), ty));
        }
        verdict
    }

    fn check_enum(&self, value: &Value, props: &Props) -> Verdict {
        if props.enum_values.is_empty()
            || props.enum_values.iter().any(|allowed| number::same(value, allowed))
        {
            return Verdict::default();
        }
        Verdict::of(Problem::not_in_enum(&self.path, value, &props.enum_values))
    }

    fn list(&self, items: &[Value], props: &Props) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(inner) = props.items.as_deref() {
            let before = OldItems::new(self.old, props);
            for (i, item) in items.iter().enumerate() {
                let (path, old) = (format!("{}[{i}]", self.path), before.get(item));
                verdict.merge(Place { path, old }.check_against_old(item, inner));
            }
        }
        let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(min) = props.min_items.filter(|min| size < *min) {
            let text = format!("{} in body should have at least {min} items", self.path);
            verdict.add(Problem::shown(&self.path, size, text));
        }
        if let Some(max) = props.max_items.filter(|max| size > *max) {
            let text = format!("{} in body should have at most {max} items", self.path);
            verdict.add(Problem::too_many(&self.path, size, max, text));
        }
        let repeats =
            items.iter().enumerate().any(|(i, item)| items.iter().take(i).any(|other| other == item));
        if props.unique_items && repeats {
            let text = format!("{} in body shouldn't contain duplicates", self.path);
            verdict.add(Problem::shown(&self.path, "", text));
        }
        verdict.matches += 1;
        verdict
    }

    fn object(&self, value: &Value, props: &Props) -> Verdict {
        let mut verdict = Verdict::default();
        let size = value.as_map().map_or(0, |m| i64::try_from(m.len()).unwrap_or(i64::MAX));
        if let Some(min) = props.min_properties.filter(|min| size < *min) {
            let text = format!("{} in body should have at least {min} properties", self.path);
            verdict.add(Problem::shown(&self.path, size, text));
        }
        if let Some(max) = props.max_properties.filter(|max| size > *max) {
            let text = format!("{} in body should have at most {max} properties", self.path);
            verdict.add(Problem::too_many(&self.path, size, max, text));
        }
        for (key, entry) in value.as_map().into_iter().flat_map(|m| m.iter()) {
            if props.property(key).is_some() {
                continue;
            }
            match &props.additional {
                Additional::Forbidden => {
                    let text = format!("{}.{key} in body is a forbidden property", self.path);
                    verdict.add(Problem::shown(&self.path, key.as_str(), text));
                }
                Additional::Of(inner) => {
                    let place = self.child(format!("{}.{key}", self.path), key);
                    verdict.merge(place.check_against_old(entry, inner));
                }
                _ => {}
            }
        }
        for (name, inner) in &props.properties {
            let Some(entry) = value.get(name) else { continue };
            let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
            verdict.merge(self.child(path, name).check_against_old(entry, inner));
        }
        for name in props.required.iter().filter(|name| value.get(name).is_none()) {
            verdict.add(Problem::required(&format!("{}.{name}", self.path)));
        }
        verdict
    }

    fn child(&self, path: String, key: &str) -> Place<'a> {
        // What a type is called does not show in what is stored.
        let versioned = self.path.is_empty() && matches!(key, "kind" | "apiVersion");
        Place { path, old: self.old.filter(|_| !versioned).and_then(|old| old.get(key)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    fn faults(schema: &Value, value: &Value) -> Vec<String> {
        texts(&validate(value, None, &Props::read(schema), ""))
    }

    #[test]
    fn types_are_named_as_json_names_them() {
        let schema = tree!({"type": "object", "properties": {"ios": {"x-kubernetes-int-or-string": true},
            "i": {"type": "integer"}, "i32": {"type": "integer", "format": "int32"}, "n": {"type": "number"},
            "o": {"type": "object"}}});
        let check = |value: Value| faults(&schema, &value);
        assert_eq!(
            check(tree!({"ios": 1.5})),
            [r#"ios: Invalid value: "number": ios in body must be of type integer,string: "number""#]
        );
        assert_eq!(check(tree!({"i": 1.0, "n": 1, "ios": "x"})), Vec::<String>::new());
        assert_eq!(
            check(tree!({"i": 1.5})),
            [
                r#"i: Invalid value: "number": i in body must be of type integer: "number""#,
                r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in i"#
            ]
        );
        assert_eq!(
            check(tree!({"i32": 1.5})),
            [
                r#"i32: Invalid value: "float64": i32 in body must be of type int32: "float64""#,
                r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in i32"#
            ]
        );
        assert_eq!(
            check(tree!({"o": []})),
            [r#"o: Invalid value: "array": o in body must be of type object: "array""#]
        );
        assert_eq!(
            check(tree!({"o": null})),
            [r#"o: Invalid value: "null": o in body must be of type object: "null""#]
        );
    }

    #[test]
    fn objects_and_lists_are_counted() {
        let schema = tree!({"type": "object", "required": ["r"], "properties": {
            "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
            "m": {"type": "object", "maxProperties": 1, "minProperties": 1,
                "additionalProperties": {"type": "integer"}}}});
        let check = |value: Value| faults(&schema, &value);
        assert_eq!(check(tree!({})), ["r: Required value"]);
        assert_eq!(
            check(tree!({"r": 1, "l": []})),
            ["l: Invalid value: 0: l in body should have at least 1 items"]
        );
        assert_eq!(
            check(tree!({"r": 1, "l": ["a", "b", "c"]})),
            ["l: Too many: 3: must have at most 2 items"]
        );
        assert_eq!(
            check(tree!({"r": 1, "m": {"a": 1, "b": 2}})),
            ["m: Too many: 2: must have at most 1 item"]
        );
        assert_eq!(
            check(tree!({"r": 1, "m": {"a": "x"}})),
            [r#"m.a: Invalid value: "string": m.a in body must be of type integer: "string""#]
        );
    }

    #[test]
    fn what_was_wrong_before_may_stay() {
        let props =
            Props::read(&tree!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1},
            "b": {"type": "string", "maxLength": 1}}}));
        let old = tree!({"a": "long", "b": "x"});
        let new = tree!({"a": "long", "b": "long"});
        assert_eq!(
            texts(&validate(&new, Some(&old), &props, "")),
            ["b: Too long: may not be more than 1 bytes"]
        );
        assert_eq!(validate(&old, Some(&old), &props, ""), []);
    }

    #[test]
    fn parts_of_an_object_are_named_by_their_place() {
        let props = Props::read(&tree!({"type": "object", "properties": {"phase": {"type": "string"}}}));
        assert_eq!(
            texts(&validate(&tree!({"phase": 5}), None, &props, "status")),
            [r#"status.phase: Invalid value: "integer": phase in body must be of type string: "integer""#]
        );
    }
}
