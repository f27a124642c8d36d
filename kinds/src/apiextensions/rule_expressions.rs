//! Rules in CEL of definitions: whether they compile, name fields that there are, and may ask what was before.

use super::internal_spec::shown_rule;
use super::schema_walk::{named, schema_at};
use crate::custom::unescape;
use api::cel::{Program, report_all};
use api::{Fault, Path, Value};
use std::collections::HashMap;

const RULES: &str = "x-kubernetes-validations";

/// Faults of the rules of a schema at the root of a version; of schemas inside first.
pub fn faults(schema: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(schema, true, None, at, &mut faults);
    faults
}

/// `loose` is the list above whose items have no old values.
fn walk(schema: &Value, root: bool, loose: Option<&Path>, at: &Path, faults: &mut Vec<Fault>) {
    if let Some(inner) = schema_at(schema, "additionalProperties") {
        walk(inner, false, loose, &at.child("additionalProperties"), faults);
    }
    for (name, inner) in named(schema, "properties") {
        walk(inner, false, loose, &at.child("properties").key(name), faults);
    }
    if let Some(inner) = schema_at(schema, "items") {
        let is_map = schema.str_at(&["x-kubernetes-list-type"]) == "map";
        let loose = loose.or(Some(at).filter(|_| !is_map));
        walk(inner, false, loose, &at.child("items"), faults);
    }
    let shape = Shape { schema, has_meta: root || schema.bool_at(&["x-kubernetes-embedded-resource"]) };
    for (i, rule) in schema.list_at(&[RULES]).iter().enumerate() {
        faults.extend(rule_faults(rule, &shape, loose, &at.child(RULES).index(i)));
    }
}

fn rule_faults(rule: &Value, shape: &Shape<'_>, loose: Option<&Path>, at: &Path) -> Vec<Fault> {
    let optional = rule.get("optionalOldSelf").and_then(Value::as_bool);
    let (text, path) = (rule.str_at(&["rule"]), at.child("rule"));
    let program = match shape.compile(text, optional == Some(true)) {
        Ok(program) => program,
        Err(why) => {
            return vec![Fault::invalid(path, shown_rule(rule), format!("compilation failed: {why}"))];
        }
    };
    let mut faults = Vec::new();
    if shape.type_of(&program).is_some_and(|ty| ty != "bool") {
        let why = "cel expression must evaluate to a bool";
        return vec![Fault::invalid(path, shown_rule(rule), why)];
    }
    let message = rule.str_at(&["messageExpression"]);
    if !message.is_empty() {
        let why = match shape.compile(message, optional == Some(true)) {
            Err(why) => Some(format!("messageExpression compilation failed: {why}")),
            Ok(program) if shape.type_of(&program).is_some_and(|ty| ty != "string") => {
                Some("messageExpression must evaluate to a string".to_owned())
            }
            Ok(_) => None,
        };
        let path = at.child("messageExpression");
        faults.extend(why.map(|why| Fault::invalid(path, shown_rule(rule), why)));
    }
    match (program.uses(&["oldSelf"]), loose, optional) {
        (true, Some(list), _) => {
            let why =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
            faults.push(Fault::invalid(path, text, why));
        }
        (false, _, Some(given)) => {
            let why = "may not be set if oldSelf is not used in rule";
            faults.push(Fault::invalid(at.child("optionalOldSelf"), given, why));
        }
        _ => {}
    }
    faults
}

/// What `self` looks like.
struct Shape<'v> {
    schema: &'v Value,
    /// Whether it is a whole object.
    has_meta: bool,
}

/// What a name is the field of.
enum Found<'v> {
    Schema(&'v Value),
    /// Something that the schema does not tell.
    Open,
    Nothing,
}

impl<'v> Shape<'v> {
    fn compile(&self, text: &str, is_old_optional: bool) -> Result<Program, String> {
        let program = Program::compile(text, &["self", "oldSelf"])?;
        let mut read = program.fields_of("self");
        if !is_old_optional {
            read.extend(program.fields_of("oldSelf"));
        }
        read.sort_unstable();
        let mut known: HashMap<&[&str], bool> = HashMap::new();
        let mut undefined = Vec::new();
        for (at, names) in &read {
            let Some((last, above)) = names.split_last() else { continue };
            let is_missing =
                || matches!(self.find(names), Found::Nothing) && !matches!(self.find(above), Found::Nothing);
            if *known.entry(names).or_insert_with(is_missing) {
                undefined.push((*at, format!("undefined field '{last}'")));
            }
        }
        if undefined.is_empty() { Ok(program) } else { Err(report_all(text, undefined)) }
    }

    fn find(&self, names: &[&str]) -> Found<'v> {
        let (mut here, mut has_meta) = (self.schema, self.has_meta);
        for name in names {
            if has_meta && matches!(*name, "apiVersion" | "kind" | "metadata") {
                return Found::Open;
            }
            here = match field(here, name) {
                Found::Schema(inner) => inner,
                other => return other,
            };
            has_meta = here.bool_at(&["x-kubernetes-embedded-resource"]);
        }
        Found::Schema(here)
    }

    /// The type of an expression, as far as it shows.
    fn type_of(&self, program: &Program) -> Option<&'static str> {
        let Some(path) = program.path() else { return program.known_type() };
        let ["self", names @ ..] = path.as_slice() else { return None };
        let Found::Schema(schema) = self.find(names) else { return None };
        match schema.str_at(&["type"]) {
            "boolean" => Some("bool"),
            "integer" => Some("int"),
            "number" => Some("double"),
            "array" => Some("list"),
            "object" => Some("map"),
            "string" if schema.str_at(&["format"]).is_empty() => Some("string"),
            _ => None,
        }
    }
}

fn field<'v>(schema: &'v Value, name: &str) -> Found<'v> {
    if let Some(values) = schema_at(schema, "additionalProperties") {
        return Found::Schema(values);
    }
    if schema.str_at(&["type"]) != "object" || schema.bool_at(&["x-kubernetes-preserve-unknown-fields"]) {
        return Found::Open;
    }
    let inner = unescape(name).and_then(|name| schema.map_at(&["properties"])?.get(&name));
    inner.map_or(Found::Nothing, Found::Schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    fn of(rule: Value) -> Vec<String> {
        let schema = tree!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "x": {"type": "integer"}, "a-b": {"type": "string"}}, "x-kubernetes-validations": [rule]}}});
        texts(&faults(&schema, &Path::new("s")))
    }

    #[test]
    fn rules_name_fields_that_there_are() {
        let at = "s.properties[spec].x-kubernetes-validations[0].rule: Invalid value";
        assert_eq!(of(tree!({"rule": "self.x == 1 && self.a__dash__b == 'c'"})), Vec::<String>::new());
        assert_eq!(
            of(tree!({"rule": "self.z == 100"})),
            [format!(
                "{at}: {{\"Rule\":\"self.z == 100\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\
                 \"OptionalOldSelf\":null}}: compilation failed: ERROR: <input>:1:5: undefined field 'z'\n | self.z == 100\n | ....^"
            )]
        );
        assert!(of(tree!({"rule": "self = 42"}))[0].contains("Syntax error"));
        assert!(of(tree!({"rule": "self.x"}))[0].ends_with("cel expression must evaluate to a bool"));
        let many = (0..103).map(|i| format!("self.z{i}")).collect::<Vec<_>>().join(" + ");
        let told = of(tree!({"rule": many})).concat();
        assert_eq!(told.matches("undefined field").count(), 100);
        assert!(told.ends_with("\n3 more errors were truncated"), "{told}");
    }

    #[test]
    fn asking_for_a_field_gives_a_bool_whatever_the_field_is() {
        assert_eq!(of(tree!({"rule": "has(self.x)"})), Vec::<String>::new());
        let found = of(tree!({"rule": "true", "messageExpression": "has(self.a__dash__b)"}));
        assert!(found[0].ends_with("messageExpression must evaluate to a string"), "{found:?}");
        assert_eq!(of(tree!({"rule": "true", "messageExpression": "self.a__dash__b"})), Vec::<String>::new());
    }

    #[test]
    fn items_of_plain_lists_have_no_old_value() {
        let schema = tree!({"type": "array", "items": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}});
        assert_eq!(
            texts(&faults(&schema, &Path::new("s"))),
            [
                "s.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the \
                 uncorrelatable portion of the schema within s"
            ]
        );
        let found = of(tree!({"rule": "true", "optionalOldSelf": true}));
        assert!(found[0].ends_with(
            "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
        ));
    }
}
