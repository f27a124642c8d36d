//! Faults: what is wrong with an object, field by field, in upstream's words (`field.Error`).
//! Validation gathers all of them; `Status::invalid` turns them into the 422 that clients read.

use crate::{Value, json, status::Cause};
use std::fmt;

/// Stands for a value that a fault does not show.
const UNSHOWN: &str = "<value omitted>";

/// What sort of fault; decides the text and the cause's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

/// One fault. `value` is the offending value, printed in the text for the kinds that show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub kind: FaultKind,
    /// `spec.containers[0].name`; `<nil>` for none.
    pub field: String,
    pub value: Value,
    pub detail: String,
}

impl Fault {
    fn new(kind: FaultKind, field: impl fmt::Display, value: Value, detail: impl Into<String>) -> Self {
        Fault { kind, field: field.to_string(), value, detail: detail.into() }
    }

    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Fault::new(FaultKind::Required, field, Value::from(""), detail)
    }

    pub fn invalid(field: impl fmt::Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Fault::new(FaultKind::Invalid, field, value.into(), detail)
    }

    /// Invalid as a whole: `Invalid value: DETAIL`, without the value.
    pub fn invalid_unshown(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Fault::new(FaultKind::Invalid, field, Value::from(UNSHOWN), detail)
    }

    pub fn type_invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Fault::new(FaultKind::TypeInvalid, field, value.into(), detail)
    }

    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Fault::new(FaultKind::Forbidden, field, Value::from(""), detail)
    }

    pub fn duplicate(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Fault::new(FaultKind::Duplicate, field, value.into(), "")
    }

    pub fn not_found(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Fault::new(FaultKind::NotFound, field, value.into(), "")
    }

    /// `supported` is printed in the order given (upstream sorts most, not all).
    pub fn not_supported(field: impl fmt::Display, value: impl Into<Value>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| quote(s)).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Fault::new(FaultKind::NotSupported, field, value.into(), detail)
    }

    /// `Too long: may not be more than N bytes`.
    pub fn too_long(field: impl fmt::Display, max_bytes: usize) -> Self {
        let detail = format!("may not be more than {max_bytes} bytes");
        Fault::new(FaultKind::TooLong, field, Value::from(UNSHOWN), detail)
    }

    /// `Too many: ACTUAL: must have at most N items`.
    pub fn too_many(field: impl fmt::Display, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        let value = Value::Int(i64::try_from(actual).unwrap_or(i64::MAX));
        Fault::new(FaultKind::TooMany, field, value, format!("must have at most {max} {items}"))
    }

    pub fn internal(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Fault::new(FaultKind::Internal, field, Value::Null, detail)
    }

    /// The cause's `reason`.
    pub fn reason(&self) -> &'static str {
        match self.kind {
            FaultKind::NotFound => "FieldValueNotFound",
            FaultKind::Required => "FieldValueRequired",
            FaultKind::Duplicate => "FieldValueDuplicate",
            FaultKind::Invalid => "FieldValueInvalid",
            FaultKind::NotSupported => "FieldValueNotSupported",
            FaultKind::Forbidden => "FieldValueForbidden",
            FaultKind::TooLong => "FieldValueTooLong",
            FaultKind::TooMany => "FieldValueTooMany",
            FaultKind::Internal => "InternalError",
            FaultKind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn title(&self) -> &'static str {
        match self.kind {
            FaultKind::NotFound => "Not found",
            FaultKind::Required => "Required value",
            FaultKind::Duplicate => "Duplicate value",
            FaultKind::Invalid | FaultKind::TypeInvalid => "Invalid value",
            FaultKind::NotSupported => "Unsupported value",
            FaultKind::Forbidden => "Forbidden",
            FaultKind::TooLong => "Too long",
            FaultKind::TooMany => "Too many",
            FaultKind::Internal => "Internal error",
        }
    }

    /// The text without the field: `Invalid value: "x": must be …`.
    pub fn body(&self) -> String {
        let title = self.title();
        let shows_value = !matches!(
            self.kind,
            FaultKind::Required | FaultKind::Forbidden | FaultKind::TooLong | FaultKind::Internal
        ) && self.value.as_str() != Some(UNSHOWN);
        let head = if shows_value { format!("{title}: {}", shown(&self.value)) } else { title.to_owned() };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }

    pub fn cause(&self) -> Cause {
        Cause { reason: self.reason().to_owned(), message: self.body(), field: self.field.clone() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Str(s) => quote(s),
        Value::Int(i) => i.to_string(),
        Value::Bool(b) => b.to_string(),
        other => json::to_string(other),
    }
}

/// A string as Go's `%q` prints it.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Where in an object: grows by fields, indexes and keys, prints as upstream's `field.Path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of one field at the root: `Path::new("spec")`; "" is the root itself.
    pub fn new(field: &str) -> Self {
        Path(field.to_owned())
    }

    /// `spec` → `spec.containers`.
    pub fn child(&self, field: &str) -> Self {
        if self.0.is_empty() { Path(field.to_owned()) } else { Path(format!("{}.{field}", self.0)) }
    }

    /// `spec.containers` → `spec.containers[2]`.
    pub fn index(&self, at: usize) -> Self {
        Path(format!("{}[{at}]", self.0))
    }

    /// `metadata.labels` → `metadata.labels[app]`.
    pub fn key(&self, key: &str) -> Self {
        Path(format!("{}[{key}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_upstreams() {
        let at = Path::new("spec").child("containers").index(0).child("name");
        assert_eq!(Fault::required(&at, "").to_string(), "spec.containers[0].name: Required value");
        assert_eq!(
            Fault::not_supported("type", "x", &["A", "B"]).to_string(),
            "type: Unsupported value: \"x\": supported values: \"A\", \"B\""
        );
        assert_eq!(
            Fault::invalid_unshown("r", "one is required").to_string(),
            "r: Invalid value: one is required"
        );
        assert_eq!(Fault::too_many("l", 3, 1).to_string(), "l: Too many: 3: must have at most 1 item");
    }
}
