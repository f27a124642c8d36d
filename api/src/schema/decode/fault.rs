//! What stops decoding, and how type errors read.

use crate::json;
use std::fmt;

/// A value of the wrong type, as Go's `UnmarshalTypeError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What was there: `string`, `array`, `number 1.5`.
    pub value: String,
    /// The Go type that was due: `int32`, `v1.PodSpec`.
    pub go_type: String,
    /// The innermost Go struct: `ContainerPort`; "" outside of any.
    pub struct_name: String,
    /// Field names from the root without indexes, embedded structs included.
    pub field: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json: cannot unmarshal {} into Go ", self.value)?;
        if self.struct_name.is_empty() && self.field.is_empty() {
            return write!(f, "value of type {}", self.go_type);
        }
        write!(f, "struct field {}.{} of type {}", self.struct_name, self.field, self.go_type)
    }
}

/// Ends decoding at once.
#[derive(Debug)]
pub enum Stop {
    Syntax(json::Error),
    Mismatch(Mismatch),
    Text(String),
}

impl From<json::Error> for Stop {
    fn from(error: json::Error) -> Self {
        Stop::Syntax(error)
    }
}
