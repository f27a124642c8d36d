//! Match conditions: CEL expressions that must hold, each with a name. Expressions are compiled where CEL is.

use crate::validation;
use api::{Fault, Path, Value};
use std::collections::HashSet;

const MAX_CONDITIONS: usize = 64;

/// Faults of a list of conditions.
pub fn faults(conditions: &[Value], at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if conditions.len() > MAX_CONDITIONS {
        faults.push(Fault::too_many(at, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let (name, path) = (condition.str_at(&["name"]), at.index(i));
        let expression = condition.str_at(&["expression"]).trim();
        faults.extend(validation::required(expression, &path.child("expression")));
        faults.extend(match name {
            "" => vec![Fault::required(path.child("name"), "")],
            _ => validation::qualified_name(name, &path.child("name")),
        });
        if !name.is_empty() && !seen.insert(name) {
            faults.push(Fault::duplicate(path.child("name"), name));
        }
    }
    faults
}
