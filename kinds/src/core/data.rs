//! What ConfigMaps and Secrets share: size and freezing.

use crate::validation::same;
use api::{Fault, Path, Value};

/// All values together.
pub const MAX_BYTES: usize = 1024 * 1024;

/// How many bytes a base64 text stands for.
pub fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// Faults of a change to an object that is `immutable`.
pub fn frozen(new: &Value, old: &Value, fields: &[&str]) -> Vec<Fault> {
    if !old.bool_at(&["immutable"]) {
        return Vec::new();
    }
    let thawed = (!new.bool_at(&["immutable"])).then_some("immutable");
    let changed = fields.iter().copied().filter(|f| !same(new.get(f), old.get(f)));
    let detail = "field is immutable when `immutable` is set";
    thawed.into_iter().chain(changed).map(|f| Fault::forbidden(Path::new(f), detail)).collect()
}
