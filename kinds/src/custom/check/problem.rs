//! One thing that is wrong, as the validating library says it, and how the API says it then.

use api::{Fault, FaultKind, Value, json};

/// What a check came to.
#[derive(Debug, Default)]
pub struct Verdict {
    pub problems: Vec<Problem>,
    /// How many checks there were; junctors tell the best of several failures by it.
    pub matches: usize,
}

/// What sort of problem; decides the sort of fault.
#[derive(Clone, Debug, PartialEq)]
enum Sort {
    Required,
    WrongType,
    Enum(Vec<String>),
    TooLong(i64),
    TooMany(i64),
    Invalid,
    /// About several schemas at once; it names no field.
    Composite,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    sort: Sort,
    field: String,
    value: Value,
    text: String,
}

impl Verdict {
    /// One check, without a problem.
    pub fn passed() -> Self {
        Verdict { problems: Vec::new(), matches: 1 }
    }

    pub fn of(problem: Problem) -> Self {
        Verdict { problems: vec![problem], matches: 0 }
    }

    /// Adds a problem; the same text twice is one problem.
    pub fn add(&mut self, problem: Problem) {
        if !self.problems.iter().any(|p| p.text == problem.text) {
            self.problems.push(problem);
        }
    }

    pub fn merge(&mut self, other: Verdict) {
        self.matches += other.matches;
        other.problems.into_iter().for_each(|problem| self.add(problem));
    }

    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Problem {
    fn new(sort: Sort, field: &str, value: impl Into<Value>, text: String) -> Self {
        Problem { sort, field: field.to_owned(), value: value.into(), text }
    }

    /// A value of another type, or not of a format; `found` is the type or the text that is there.
    pub fn wrong_type(field: &str, expected: &str, found: &str) -> Self {
        let text = format!("{field} in body must be of type {expected}: {}", api::quote(found));
        Problem::new(Sort::WrongType, field, found, text)
    }

    pub fn required(field: &str) -> Self {
        Problem::new(Sort::Required, field, "", format!("{field} in body is required"))
    }

    pub fn not_in_enum(field: &str, value: &Value, allowed: &[Value]) -> Self {
        let shown = |v: &Value| v.as_str().map_or_else(|| json::to_string(v), str::to_owned);
        let values: Vec<String> = allowed.iter().map(shown).collect();
        let text = format!("{field} in body should be one of [{}]", values.join(" "));
        Problem::new(Sort::Enum(values), field, value.clone(), text)
    }

    pub fn too_long(field: &str, max: i64) -> Self {
        let text = format!("{field} in body should be at most {max} chars long");
        Problem::new(Sort::TooLong(max), field, "", text)
    }

    pub fn too_many(field: &str, count: i64, max: i64, text: String) -> Self {
        Problem::new(Sort::TooMany(max), field, count, text)
    }

    /// A problem that shows the value.
    pub fn shown(field: &str, value: impl Into<Value>, text: String) -> Self {
        Problem::new(Sort::Invalid, field, value, text)
    }

    pub fn composite(text: String) -> Self {
        Problem::new(Sort::Composite, "", "", text)
    }

    /// The fault, in an object where the checked value is at `at` ("" for the whole).
    pub fn into_fault(self, at: &str) -> Fault {
        let name = if self.sort == Sort::Composite { "" } else { self.field.trim_start_matches('.') };
        let field = match (at, name) {
            ("", "") => "<nil>".to_owned(),
            ("", name) => name.to_owned(),
            (at, "") => at.to_owned(),
            (at, name) => format!("{at}.{name}"),
        };
        match self.sort {
            Sort::Required => Fault::required(field, ""),
            Sort::WrongType => Fault::type_invalid(field, self.value, self.text),
            Sort::Enum(values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                Fault::not_supported(field, self.value, &values)
            }
            Sort::TooLong(max) => Fault::too_long(field, usize::try_from(max).unwrap_or(0)),
            Sort::TooMany(max) => {
                let items = if max == 1 { "item" } else { "items" };
                let detail = format!("must have at most {max} {items}");
                Fault { kind: FaultKind::TooMany, field, value: self.value, detail }
            }
            Sort::Invalid | Sort::Composite => Fault::invalid(field, self.value, self.text),
        }
    }
}
