//! Field selectors: `metadata.name=a,spec.nodeName!=b`. Which fields a kind has is the kind's matter; here they
//! are just names. Values escape `\`, `,` and `=` with a backslash.

use crate::Str;
use std::fmt;

/// Terms that must all hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// One term: `field=value` or `field!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: Str,
    pub value: Str,
    pub negated: bool,
}

impl FieldSelector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// `field=value`.
    pub fn equals(field: &str, value: &str) -> Self {
        let term = FieldTerm { field: field.into(), value: value.into(), negated: false };
        FieldSelector { terms: vec![term] }
    }

    /// Parses upstream's text form. The error is the text that clients read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::with_capacity(parts.len());
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let Some((field, negated, value)) = split_term(part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            terms.push(FieldTerm { field: field.into(), value: unescape(value)?.into(), negated });
        }
        Ok(FieldSelector { terms })
    }

    /// Lets a kind rename or refuse fields: `f(field, value)` gives the pair to use instead, or the error. A pair
    /// of empty strings drops the term.
    pub fn transform<E>(&self, mut f: impl FnMut(&str, &str) -> Result<(Str, Str), E>) -> Result<Self, E> {
        let mut terms = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            let (field, value) = f(&term.field, &term.value)?;
            if !field.is_empty() || !value.is_empty() {
                terms.push(FieldTerm { field, value, negated: term.negated });
            }
        }
        Ok(FieldSelector { terms })
    }

    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// True when it restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// `value_of` answers a field's value; a field without one is "".
    pub fn matches<'v>(&self, mut value_of: impl FnMut(&str) -> &'v str) -> bool {
        self.terms.iter().all(|t| (value_of(&t.field) == t.value.as_str()) != t.negated)
    }

    /// The one value that a field must have, where a term says so.
    pub fn exact_value(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| !t.negated && t.field == field).map(|t| t.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let op = if term.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{op}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// A value as it stands in a selector's text.
pub(super) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    let bad = |sequence: &str| Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                Some(next) => return bad(&format!("\\{next}")),
                None => return bad("\\"),
            },
            ',' | '=' => {
                let code = u32::from(c);
                return Err(format!("invalid field selector: unescaped character in value: {code}"));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, b) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if b == b'\\' {
            escaped = true;
        } else if b == b',' {
            terms.push(&text[start..at]);
            start = at + 1;
        }
    }
    terms.push(&text[start..]);
    terms
}

/// (field, negated, value as written); the first operator splits.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (at, b) in term.bytes().enumerate() {
        let rest = &term.as_bytes()[at..];
        if rest.starts_with(b"!=") || rest.starts_with(b"==") {
            return Some((&term[..at], b == b'!', &term[at + 2..]));
        }
        if b == b'=' {
            return Some((&term[..at], false, &term[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_sorted_and_print_back() {
        let s = FieldSelector::parse("status.phase!=Running,metadata.name==a,").unwrap();
        assert_eq!(s.to_string(), "metadata.name=a,status.phase!=Running");
        assert_eq!(s.exact_value("metadata.name"), Some("a"));
        assert_eq!(s.exact_value("status.phase"), None);
    }

    #[test]
    fn values_escape_commas_and_equals() {
        let s = FieldSelector::parse(r"a=b\,c\=d\\").unwrap();
        assert_eq!(s.terms()[0].value, r"b,c=d\");
        assert_eq!(s.to_string(), r"a=b\,c\=d\\");
        assert_eq!(
            FieldSelector::parse(r"a=\x").unwrap_err(),
            r"invalid field selector: invalid escape sequence: \x"
        );
        assert_eq!(
            FieldSelector::parse("a=b=c").unwrap_err(),
            "invalid field selector: unescaped character in value: 61"
        );
    }

    #[test]
    fn a_term_without_operator_is_not_understood() {
        assert_eq!(
            FieldSelector::parse("a,b=c").unwrap_err(),
            "invalid selector: 'a,b=c'; can't understand 'a'"
        );
    }

    #[test]
    fn missing_fields_are_empty_strings() {
        let s = FieldSelector::parse("spec.nodeName=,status.phase!=Failed").unwrap();
        assert!(s.matches(|_| ""));
        assert!(!s.matches(|f| if f == "status.phase" { "Failed" } else { "" }));
    }
}
