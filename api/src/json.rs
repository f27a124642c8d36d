//! JSON text to tree and back.

use crate::Value;

/// Compact JSON.
pub fn to_string(value: &Value) -> String {
    format!("{value:?}")
}
