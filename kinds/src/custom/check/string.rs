//! Strings: length in characters, pattern. The first fault of a string is its only one.

use super::Place;
use super::problem::{Problem, Verdict};
use crate::custom::Props;

impl Place<'_> {
    pub(super) fn string(&self, text: &str, props: &Props) -> Verdict {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = props.max_length.filter(|max| length > *max) {
            return Verdict::of(Problem::too_long(&self.path, max));
        }
        if let Some(min) = props.min_length.filter(|min| length < *min) {
            let why = format!("{} in body should be at least {min} chars long", self.path);
            return Verdict::of(Problem::shown(&self.path, text, why));
        }
        let Some(pattern) = &props.pattern else { return Verdict::default() };
        let shown = match pattern.is_match(text) {
            Ok(true) => return Verdict::default(),
            Ok(false) => pattern.text().to_owned(),
            Err(why) => format!("{}, but pattern is invalid: {why}", pattern.text()),
        };
        let why = format!("{} in body should match '{shown}'", self.path);
        Verdict::of(Problem::shown(&self.path, text, why))
    }

    pub(super) fn format(&self, text: &str, props: &Props) -> Verdict {
        if super::format::is_valid(&props.format, text) {
            return Verdict::default();
        }
        Verdict::of(Problem::wrong_type(&self.path, &props.format, text))
    }
}

#[cfg(test)]
mod tests {
    use crate::custom::{Props, check::validate};
    use crate::testing::texts;
    use api::{Value, tree};

    #[test]
    fn strings_have_one_fault_at_most() {
        let faults = |schema: Value, text: &str| {
            let props = Props::read(&tree!({"type": "object", "properties": {"s": (schema)}}));
            texts(&validate(&tree!({"s": (text)}), None, &props, ""))
        };
        let schema = || tree!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-zäöü]+$"});
        assert_eq!(
            faults(schema(), "A"),
            [r#"s: Invalid value: "A": s in body should be at least 2 chars long"#]
        );
        assert_eq!(faults(schema(), "abcd"), ["s: Too long: may not be more than 3 bytes"]);
        assert_eq!(
            faults(schema(), "AB"),
            [r#"s: Invalid value: "AB": s in body should match '^[a-zäöü]+$'"#]
        );
        assert_eq!(faults(schema(), "äöü"), Vec::<String>::new());
        assert_eq!(
            faults(tree!({"type": "string", "format": "date"}), "no date"),
            [r#"s: Invalid value: "no date": s in body must be of type date: "no date""#]
        );
    }
}
