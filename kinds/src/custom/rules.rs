//! Rules in CEL (`x-kubernetes-validations`): a walk over an object that asks each rule at its place, with what was
//! there before as `oldSelf`. What failed before, and did not change, may stay; rules about the change itself always
//! count. All rules of an object together may cost so much and no more.

use super::old_items::OldItems;
use super::typed::typed;
use super::{Additional, Props};
use crate::apiextensions::field_path;
use api::cel::{Cel, CelError, Env, Program};
use api::{Fault, FaultKind, Path, Str, Value};
use std::sync::OnceLock;

/// What all rules of one object may cost.
const BUDGET: u64 = 10_000_000;
const MAX_MESSAGE: usize = 5 * 1024;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A rule of a schema; compiled when it is first asked, as definitions are read often and most have no objects yet.
#[derive(Debug)]
pub struct Rule {
    text: String,
    message: String,
    message_expression: String,
    reason: Str,
    /// The field inside that the fault is of; "" for the place itself.
    field: String,
    /// Asked also when there is no old value.
    is_old_optional: bool,
    compiled: OnceLock<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    program: Result<Program, String>,
    message: Option<Program>,
    uses_old: bool,
}

impl Rule {
    /// Reads a rule of a schema, both as the definition has them.
    pub fn read(raw: &Value, schema: &Value) -> Rule {
        let text = |field: &str| raw.str_at(&[field]);
        Rule {
            text: text("rule").trim().to_owned(),
            message: text("message").trim().to_owned(),
            message_expression: text("messageExpression").to_owned(),
            reason: text("reason").into(),
            field: field_path::resolve(text("fieldPath"), schema, true)
                .map_or_else(|_| String::new(), |(path, _)| path.as_str().to_owned()),
            is_old_optional: raw.bool_at(&["optionalOldSelf"]),
            compiled: OnceLock::new(),
        }
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let compile = |text: &str| Program::compile(text, &["self", "oldSelf"]);
            let program = compile(&self.text);
            let message = Some(self.message_expression.as_str()).filter(|text| !text.is_empty());
            Compiled {
                uses_old: program.as_ref().is_ok_and(|program| program.uses(&["oldSelf"])),
                message: message.and_then(|text| compile(text).ok()),
                program,
            }
        })
    }

    /// What errors call the rule.
    fn shown(&self) -> &str {
        if self.message.is_empty() { &self.text } else { &self.message }
    }
}

/// The faults that the rules of a schema find in an object; `old` is what it was, on updates.
pub fn validate(object: &Value, old: Option<&Value>, props: &Props) -> Vec<Fault> {
    let mut walk = Walk { left: BUDGET, faults: Vec::new() };
    let _ = walk.node(&Place { value: object, old, is_same: false, at: Path::default() }, props);
    walk.faults
}

/// A value in an object.
struct Place<'a> {
    value: &'a Value,
    /// What it was, where that can be told; null is nothing.
    old: Option<&'a Value>,
    /// Whether what it is in did not change.
    is_same: bool,
    at: Path,
}

struct Walk {
    left: u64,
    faults: Vec<Fault>,
}

/// The walk is over: there is nothing left to spend.
struct Stop;

impl Walk {
    fn node(&mut self, place: &Place<'_>, props: &Props) -> Result<(), Stop> {
        if !props.has_rules || place.value.is_null() {
            return Ok(());
        }
        let is_same = place.old.map_or(place.is_same, |old| old == place.value);
        self.rules(place, is_same, props)?;
        match place.value {
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    let (inner, at) = match (&props.additional, props.property(key)) {
                        (Additional::Of(inner), None) => (&**inner, place.at.key(key)),
                        (_, Some(inner)) => (inner, place.at.child(key)),
                        _ => continue,
                    };
                    let old = place.old.and_then(|old| old.get(key)).filter(|old| !old.is_null());
                    self.node(&Place { value, old, is_same, at }, inner)?;
                }
            }
            Value::List(items) => {
                let Some(inner) = props.items.as_deref() else { return Ok(()) };
                let before = OldItems::new(place.old, props);
                for (i, value) in items.iter().enumerate() {
                    let old = before.get(value);
                    self.node(&Place { value, old, is_same, at: place.at.index(i) }, inner)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(&mut self, place: &Place<'_>, is_same: bool, props: &Props) -> Result<(), Stop> {
        if props.rules.is_empty() {
            return Ok(());
        }
        let this = typed(place.value, props);
        let before = place.old.map(|old| typed(old, props));
        for rule in &props.rules {
            if rule.compiled().uses_old && before.is_none() && !rule.is_old_optional {
                continue;
            }
            let plain = before.iter().cloned().fold(Env::new().with_value("self", this.clone()), with_old);
            let old = before.clone().map_or(Cel::Optional(None), Cel::some);
            let optional = with_old(Env::new().with_value("self", this.clone()), old);
            let env = if rule.is_old_optional { &optional } else { &plain };
            match self.ask(rule, env, &place.at, type_of(props)) {
                Ok(true) => {}
                Ok(false) if is_same && !rule.compiled().uses_old => {}
                Ok(false) => {
                    let message = self.message(rule, &plain, &place.at, type_of(props))?;
                    self.faults.push(fault(rule, place, type_of(props), message));
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    /// Whether a rule holds, or could not be told.
    fn ask<'a>(&mut self, rule: &'a Rule, env: &Env<'a>, at: &Path, ty: &str) -> Result<bool, Stop> {
        let program = match &rule.compiled().program {
            Ok(program) => program,
            Err(why) => {
                let text = format!("rule compile error: compilation failed: {why}");
                self.faults.push(Fault::invalid(at, ty, text));
                return Ok(true);
            }
        };
        let (outcome, cost) = program.eval_cel(env);
        if self.spend(cost).is_err() {
            self.faults.push(Fault::invalid(at, ty, OUT_OF_BUDGET));
            return Err(Stop);
        }
        let error = match outcome {
            Ok(value) => return Ok(matches!(value, Cel::Bool(true))),
            Err(error) => error,
        };
        let (text, name) = (error.to_string(), rule.shown());
        let is_over = matches!(error, CelError::Cost);
        let text = if is_over {
            format!(
                "'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
            )
        } else if text.starts_with("no such overload") {
            format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
            )
        } else {
            format!("{text} evaluating rule: {name}")
        };
        self.faults.push(Fault::invalid(at, ty, text));
        if is_over { Err(Stop) } else { Ok(true) }
    }

    fn spend(&mut self, cost: u64) -> Result<(), Stop> {
        self.left = self.left.checked_sub(cost).filter(|_| self.left > 0).ok_or(Stop)?;
        Ok(())
    }

    /// What a rule that does not hold says.
    fn message<'a>(&mut self, rule: &'a Rule, env: &Env<'a>, at: &Path, ty: &str) -> Result<String, Stop> {
        let told = match &rule.compiled().message {
            None => None,
            Some(program) => {
                let (outcome, cost) = program.eval_cel(env);
                if matches!(outcome, Err(CelError::Cost)) || self.spend(cost).is_err() {
                    let text = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
                    self.faults.push(Fault::invalid(at, ty, text));
                    return Err(Stop);
                }
                match outcome {
                    Ok(Cel::Str(text)) => Some(text.trim().to_owned()),
                    _ => None,
                }
            }
        };
        let is_fit = |text: &String| !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
        Ok(told.filter(is_fit).unwrap_or_else(|| match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.text),
            message => message.to_owned(),
        }))
    }
}

fn with_old<'a>(env: Env<'a>, old: Cel<'a>) -> Env<'a> {
    env.with_value("oldSelf", old)
}

/// `type` as the schema says it.
fn type_of(props: &Props) -> &str {
    match props.types.as_slice() {
        [one] => one,
        _ => "",
    }
}

fn fault(rule: &Rule, place: &Place<'_>, ty: &str, message: String) -> Fault {
    let at = if rule.field.is_empty() { place.at.clone() } else { place.at.child(&rule.field) };
    let mut fault = match ty {
        "object" | "array" => Fault::invalid_unshown(at, message),
        _ => Fault::invalid(at, place.value.clone(), message),
    };
    match rule.reason.as_str() {
        "FieldValueForbidden" => fault.kind = FaultKind::Forbidden,
        "FieldValueRequired" => fault.kind = FaultKind::Required,
        "FieldValueDuplicate" => {
            fault.kind = FaultKind::Duplicate;
            fault.detail.clear();
        }
        _ => {}
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    fn faults(schema: &Value, old: Option<&Value>, new: &Value) -> Vec<String> {
        texts(&validate(new, old, &Props::read(schema)))
    }

    #[test]
    fn a_rule_that_does_not_hold_is_told_with_its_message() {
        let schema = tree!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"x": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}},
            "x-kubernetes-validations": [{"rule": "has(self.x)", "message": " x it is ", "fieldPath": ".x",
                "reason": "FieldValueRequired"}, {"rule": "self.y == 1", "messageExpression": "'y of ' + string(self.x)"}]}}});
        assert_eq!(
            faults(&schema, None, &tree!({"spec": {"x": 1, "y": 2}})),
            ["spec: Invalid value: y of 1", "spec.x: Invalid value: 1: failed rule: self > 1",]
        );
        assert_eq!(
            faults(&schema, None, &tree!({"spec": {}})),
            [
                "spec.x: Required value: x it is",
                "spec: Invalid value: \"object\": no such key: y evaluating rule: self.y == 1"
            ]
        );
    }

    #[test]
    fn what_failed_before_may_stay_but_rules_about_the_change_count() {
        let schema = tree!({"type": "object", "properties": {
            "a": {"type": "string", "x-kubernetes-validations": [{"rule": "self == 'foo'"}]},
            "b": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}]},
            "c": {"type": "integer", "x-kubernetes-validations": [
                {"rule": "!oldSelf.hasValue() || self > oldSelf.value()", "optionalOldSelf": true}]}}});
        let old = tree!({"a": "bar", "b": 1});
        assert_eq!(faults(&schema, None, &old), ["a: Invalid value: \"bar\": failed rule: self == 'foo'"]);
        assert_eq!(faults(&schema, Some(&old), &old), ["b: Invalid value: 1: failed rule: self > oldSelf"]);
        assert_eq!(faults(&schema, Some(&old), &tree!({"a": "bar", "b": 2, "c": 1})), Vec::<String>::new());
        assert_eq!(
            faults(&schema, Some(&tree!({"c": 1})), &tree!({"c": 1})),
            ["c: Invalid value: 1: failed rule: !oldSelf.hasValue() || self > oldSelf.value()"]
        );
    }

    #[test]
    fn what_was_null_has_no_old_value() {
        let schema = tree!({"type": "object", "properties": {
            "a": {"type": "integer", "nullable": true, "x-kubernetes-validations": [{"rule": "self > oldSelf"}]},
            "b": {"type": "integer", "nullable": true, "x-kubernetes-validations": [
                {"rule": "!oldSelf.hasValue()", "optionalOldSelf": true}]}}});
        let new = tree!({"a": 1, "b": 1});
        assert_eq!(faults(&schema, Some(&tree!({"a": null, "b": null})), &new), Vec::<String>::new());
        assert_eq!(faults(&schema, Some(&tree!({"a": 1, "b": 1})), &new).len(), 2);
    }

    #[test]
    fn items_of_lists_that_are_maps_have_the_old_value_of_their_key() {
        let schema = tree!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v"}]}});
        let old = tree!([{"k": "a", "v": 1}, {"k": "b", "v": 5}]);
        let new = tree!([{"k": "b", "v": 4}, {"k": "a", "v": 2}, {"k": "c", "v": 0}]);
        let found = faults(&schema, Some(&old), &new);
        assert_eq!(found, ["[0]: Invalid value: failed rule: self.v >= oldSelf.v"]);
    }

    #[test]
    fn a_rule_that_costs_too_much_ends_the_walk() {
        let schema = tree!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "integer"},
            "x-kubernetes-validations": [
                {"rule": "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}, {"rule": "false"}]}}});
        let list: Vec<Value> = (0..200).map(Value::Int).collect();
        let found = faults(&schema, None, &tree!({"l": list}));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("call cost exceeds limit"), "{found:?}");
    }
}
