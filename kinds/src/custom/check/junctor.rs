//! `anyOf`, `oneOf`, `allOf`, `not`.

use super::Place;
use super::problem::{Problem, Verdict};
use crate::custom::Props;
use api::{Value, quote};

impl Place<'_> {
    pub(super) fn junctors(&self, value: &Value, props: &Props) -> Verdict {
        let mut verdict = Verdict::default();
        self.any_of(value, &props.any_of, &mut verdict);
        self.one_of(value, &props.one_of, &mut verdict);
        self.all_of(value, &props.all_of, &mut verdict);
        if let Some(not) = &props.not
            && self.check(value, not).is_valid()
        {
            let text = format!("{} must not validate the schema (not)", quote(&self.path));
            verdict.add(Problem::composite(text));
        }
        verdict.matches += 1;
        verdict
    }

    fn any_of(&self, value: &Value, schemas: &[Props], verdict: &mut Verdict) {
        let mut best: Option<Verdict> = None;
        for schema in schemas {
            let result = self.check(value, schema);
            if result.is_valid() {
                verdict.merge(result);
                return;
            }
            if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        if let Some(best) = best {
            let text = format!("{} must validate at least one schema (anyOf)", quote(&self.path));
            verdict.add(Problem::composite(text));
            verdict.merge(best);
        }
    }

    fn one_of(&self, value: &Value, schemas: &[Props], verdict: &mut Verdict) {
        if schemas.is_empty() {
            return;
        }
        let mut best: Option<Verdict> = None;
        let mut first: Option<Verdict> = None;
        let mut valid = 0;
        for schema in schemas {
            let result = self.check(value, schema);
            if result.is_valid() {
                valid += 1;
                best = None;
                first = first.or(Some(result));
            } else if valid == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        if valid != 1 {
            let found = match valid {
                0 => "Found none valid".to_owned(),
                n => format!("Found {n} valid alternatives"),
            };
            let text =
                format!("{} must validate one and only one schema (oneOf). {found}", quote(&self.path));
            verdict.add(Problem::composite(text));
            first = best;
        }
        if let Some(result) = first {
            verdict.merge(result);
        }
    }

    fn all_of(&self, value: &Value, schemas: &[Props], verdict: &mut Verdict) {
        let mut valid = 0;
        for schema in schemas {
            let result = self.check(value, schema);
            valid += usize::from(result.is_valid());
            verdict.merge(result);
        }
        if valid != schemas.len() {
            let more = if valid == 0 { ". None validated" } else { "" };
            let text = format!("{} must validate all the schemas (allOf){more}", quote(&self.path));
            verdict.add(Problem::composite(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::custom::{Props, check::validate};
    use crate::testing::texts;
    use api::{Value, tree};

    #[test]
    fn junctors_name_no_field_and_keep_the_best_failure() {
        let props = Props::read(&tree!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "not": {"properties": {"a": {"enum": [13]}}, "required": ["a"]}}}}));
        let faults = |spec: Value| texts(&validate(&tree!({"spec": (spec)}), None, &props, ""));
        assert_eq!(faults(tree!({"a": 1})), Vec::<String>::new());
        assert_eq!(
            faults(tree!({})),
            [
                r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid"#,
                "spec.a: Required value"
            ]
        );
        assert_eq!(
            faults(tree!({"a": 1, "b": "x"})),
            [
                r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
            ]
        );
        assert_eq!(
            faults(tree!({"a": 13})),
            [r#"<nil>: Invalid value: "": "spec" must not validate the schema (not)"#]
        );
    }

    #[test]
    fn any_and_all_say_what_failed() {
        let faults = |schema: Value, value: Value| texts(&validate(&value, None, &Props::read(&schema), ""));
        assert_eq!(
            faults(tree!({"anyOf": [{"minLength": 3}, {"pattern": "^b"}]}), tree!("a")),
            [
                r#"<nil>: Invalid value: "": "" must validate at least one schema (anyOf)"#,
                r#"<nil>: Invalid value: "a":  in body should be at least 3 chars long"#
            ]
        );
        assert_eq!(
            faults(tree!({"allOf": [{"minLength": 3}, {"maxLength": 5}]}), tree!("a")),
            [
                r#"<nil>: Invalid value: "a":  in body should be at least 3 chars long"#,
                r#"<nil>: Invalid value: "": "" must validate all the schemas (allOf)"#
            ]
        );
    }
}
