//! What the paths of a scale subresource must lead to in an object: replicas that a Scale can hold, a selector as text.

use crate::ScalePaths;
use api::{Fault, Str, Value, json};

const MAX_REPLICAS: i64 = 2_147_483_647;

/// The faults of the wanted replicas.
pub fn spec_faults(object: &Value, paths: &ScalePaths) -> Vec<Fault> {
    replicas_faults(object, &paths.spec_replicas)
}

/// The faults of the counted replicas and the selector.
pub fn status_faults(object: &Value, paths: &ScalePaths) -> Vec<Fault> {
    let mut faults = replicas_faults(object, &paths.status_replicas);
    if !paths.selector.is_empty() {
        match find(object, &paths.selector) {
            Ok(None | Some(Value::Str(_))) => {}
            Ok(Some(other)) => {
                faults.push(Fault::invalid(
                    dotted(&paths.selector),
                    "",
                    misfit(&paths.selector, other, "string"),
                ));
            }
            Err(why) => faults.push(Fault::invalid(dotted(&paths.selector), "", why)),
        }
    }
    faults
}

fn replicas_faults(object: &Value, path: &[Str]) -> Vec<Fault> {
    let fault = |value: i64, why: String| vec![Fault::invalid(dotted(path), value, why)];
    match find(object, path) {
        Ok(None) => Vec::new(),
        Ok(Some(Value::Int(n))) if *n < 0 => fault(*n, "should be a non-negative integer".to_owned()),
        Ok(Some(Value::Int(n))) if *n > MAX_REPLICAS => {
            fault(*n, format!("should be less than or equal to {MAX_REPLICAS}"))
        }
        Ok(Some(Value::Int(_))) => Vec::new(),
        Ok(Some(other)) => fault(0, misfit(path, other, "int64")),
        Err(why) => fault(0, why),
    }
}

fn dotted(path: &[Str]) -> String {
    path.iter().map(|part| format!(".{part}")).collect()
}

fn find<'a>(object: &'a Value, path: &[Str]) -> Result<Option<&'a Value>, String> {
    let mut at = object;
    for (i, part) in path.iter().enumerate() {
        let Value::Map(map) = at else {
            return Err(misfit(path.get(..=i).unwrap_or(path), at, "map[string]interface{}"));
        };
        match map.get(part) {
            Some(value) => at = value,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn misfit(path: &[Str], value: &Value, expected: &str) -> String {
    let go_type = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    };
    let shown = match value {
        Value::Null => "<nil>".to_owned(),
        Value::Str(text) => text.to_string(),
        other => json::to_string(other),
    };
    format!("{} accessor error: {shown} is of the type {go_type}, expected {expected}", dotted(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn replicas_are_counts() {
        let paths = ScalePaths {
            spec_replicas: vec!["spec".into(), "replicas".into()],
            status_replicas: vec!["status".into(), "replicas".into()],
            selector: vec!["status".into(), "selector".into()],
        };
        let faults = |object: Value| {
            let mut faults = texts(&spec_faults(&object, &paths));
            faults.extend(texts(&status_faults(&object, &paths)));
            faults
        };
        assert_eq!(faults(tree!({"spec": {"replicas": 3}})), Vec::<String>::new());
        assert_eq!(
            faults(tree!({"spec": {"replicas": (-1)}, "status": {"selector": 1}})),
            [
                ".spec.replicas: Invalid value: -1: should be a non-negative integer",
                ".status.selector: Invalid value: \"\": .status.selector accessor error: 1 is of the type int64, expected string"
            ]
        );
        assert_eq!(
            faults(tree!({"spec": {"replicas": "x"}})),
            [
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64"
            ]
        );
        assert_eq!(
            faults(tree!({"spec": "x"})),
            [
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected map[string]interface{}"
            ]
        );
    }
}
