//! Faults of `meta/v1` Conditions, as the status of newer kinds carries them.

use crate::validation;
use api::{Fault, Path, Value, names};
use std::collections::HashSet;

const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;
const REASON_FMT: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const REASON_MSG: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
                          alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
const REASON_EXAMPLES: [&str; 5] = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];

/// Faults of a list of conditions: types once each, and each complete.
pub fn faults(conditions: &[Value], at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let name = condition.str_at(&["type"]);
        if !seen.insert(name) {
            faults.push(Fault::duplicate(at.index(i).child("type"), name));
        }
        faults.extend(condition_faults(condition, &at.index(i)));
    }
    faults
}

fn condition_faults(condition: &Value, at: &Path) -> Vec<Fault> {
    let text = |field: &str| condition.str_at(&[field]);
    let mut faults = validation::qualified_name(text("type"), &at.child("type"));
    let statuses = ["False", "True", "Unknown"];
    faults.extend(validation::one_of(text("status"), &statuses, &at.child("status")));
    if let Some(generation) = condition.i64_at(&["observedGeneration"]).filter(|g| *g < 0) {
        let text = "must be greater than or equal to zero";
        faults.push(Fault::invalid(at.child("observedGeneration"), generation, text));
    }
    faults.extend(validation::required(text("lastTransitionTime"), &at.child("lastTransitionTime")));
    let (reason, path) = (text("reason"), at.child("reason"));
    faults.extend(validation::required(reason, &path));
    if !reason.is_empty() && !is_reason(reason) {
        let text = names::regex_error(REASON_MSG, REASON_FMT, &REASON_EXAMPLES);
        faults.push(Fault::invalid(&path, reason, text));
    }
    if reason.len() > MAX_REASON {
        faults.push(Fault::too_long(path, MAX_REASON));
    }
    if text("message").len() > MAX_MESSAGE {
        faults.push(Fault::too_long(at.child("message"), MAX_MESSAGE));
    }
    faults
}

fn is_reason(reason: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.ends_with(word)
        && reason.chars().all(|c| word(c) || c == ',' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn conditions_are_complete_and_there_once() {
        let good = tree!({"type": "Ready", "status": "True", "lastTransitionTime": "t", "reason": "A:B"});
        assert!(faults(std::slice::from_ref(&good), &Path::new("c")).is_empty());
        let bad = tree!({"type": "Ready", "status": "Maybe", "reason": "-"});
        let texts: Vec<String> =
            faults(&[good, bad], &Path::new("c")).iter().map(|f| f.to_string()).collect();
        assert_eq!(texts[0], "c[1].type: Duplicate value: \"Ready\"");
        assert!(texts[1].starts_with("c[1].status: Unsupported value: \"Maybe\""));
        assert_eq!(texts[2], "c[1].lastTransitionTime: Required value");
        assert!(texts[3].starts_with("c[1].reason: Invalid value: \"-\": a condition reason must start"));
    }
}
