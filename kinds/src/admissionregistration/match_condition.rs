//! Match conditions: CEL expressions that must hold, each with a name.

use crate::validation;
use api::cel::Program;
use api::{Fault, Path, Value};
use std::collections::HashSet;

const MAX_CONDITIONS: usize = 64;
/// What expressions of webhooks and policies may name; policies with a kind of parameters also `params`.
pub const VARIABLES: [&str; 5] = ["object", "oldObject", "namespaceObject", "request", "authorizer"];

/// Faults of a list of conditions; `params` when they may name parameters.
pub fn faults(conditions: &[Value], params: bool, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if conditions.len() > MAX_CONDITIONS {
        faults.push(Fault::too_many(at, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let (name, path) = (condition.str_at(&["name"]), at.index(i));
        let expression = condition.str_at(&["expression"]).trim();
        faults.extend(expression_faults(expression, params, &path.child("expression")));
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

fn expression_faults(expression: &str, params: bool, at: &Path) -> Vec<Fault> {
    if expression.is_empty() {
        return validation::required(expression, at);
    }
    let mut variables = VARIABLES.to_vec();
    variables.extend(params.then_some("params"));
    let fault = |text: String| vec![Fault::invalid(at, expression, text)];
    match Program::compile(expression, &variables) {
        Err(error) => fault(format!("compilation failed: {error}")),
        Ok(program) => match known_type(&program).filter(|known| *known != "bool") {
            Some(known) => fault(format!("must evaluate to bool but got {known}")),
            None => Vec::new(),
        },
    }
}

/// The type of an expression, as far as it shows: a field of an object may be anything, which is not a bool.
fn known_type(program: &Program) -> Option<&'static str> {
    let Some(path) = program.path() else { return program.known_type() };
    match path.as_slice() {
        ["object" | "oldObject" | "params", ..] => Some("dyn"),
        ["request", "dryRun"] => Some("bool"),
        ["request", "uid" | "name" | "namespace" | "operation" | "subResource" | "requestSubResource"] => {
            Some("string")
        }
        _ => program.known_type(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn expressions_must_compile_and_be_bools() {
        let text = |expression: &str| {
            let condition = tree!({"name": "x", "expression": expression});
            faults(&[condition], false, &Path::new("c")).first().map(ToString::to_string)
        };
        for good in [
            "true",
            "object.a == 1",
            "request.dryRun",
            "!has(object.a)",
            "authorizer.path('/').check('get').allowed()",
        ] {
            assert_eq!(text(good), None, "{good}");
        }
        for (bad, why) in [
            ("1", "must evaluate to bool but got int"),
            ("object.a", "must evaluate to bool but got dyn"),
            ("request.name", "must evaluate to bool but got string"),
            (
                "params",
                "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params\n | ^",
            ),
        ] {
            assert_eq!(
                text(bad),
                Some(format!("c[0].expression: Invalid value: {}: {why}", api::quote(bad)))
            );
        }
    }
}
