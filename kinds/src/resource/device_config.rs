//! What claims, classes and allocations say alike: selectors by CEL and opaque parameters.

use super::sized;
use crate::core::pod_spec;
use api::cel::Program;
use api::{Fault, Path, Value, json, names};

const MAX_SELECTORS: usize = 32;
const MAX_EXPRESSION: usize = 10 * 1024;
const MAX_PARAMETERS: usize = 10 * 1024;
const MAX_ID: usize = 32;

/// Faults of a list of selectors.
pub fn selector_faults(selectors: &[Value], at: &Path) -> Vec<Fault> {
    sized::list(selectors, MAX_SELECTORS, at, |selector, at| {
        let Some(cel) = selector.get("cel").filter(|c| !c.is_null()) else {
            return vec![Fault::required(at.child("cel"), "")];
        };
        expression_faults(cel.str_at(&["expression"]), &at.child("cel").child("expression"))
    })
}

fn expression_faults(expression: &str, at: &Path) -> Vec<Fault> {
    if expression.len() > MAX_EXPRESSION {
        return vec![Fault::too_long(at, MAX_EXPRESSION)];
    }
    let text = match Program::compile(expression, &["device"]) {
        Err(error) => format!("compilation failed: {error}"),
        Ok(program) => match program.known_type().filter(|known| *known != "bool") {
            Some(known) => format!("must evaluate to bool or the unknown type, not {known}"),
            None => return Vec::new(),
        },
    };
    vec![Fault::invalid(at, expression, text)]
}

/// Faults of a configuration for a driver.
pub fn config_faults(config: &Value, stored: bool, at: &Path) -> Vec<Fault> {
    let path = at.child("opaque");
    let Some(opaque) = config.get("opaque").filter(|o| !o.is_null()) else {
        return vec![Fault::required(path, "")];
    };
    let mut faults = pod_spec::csi_driver_name(opaque.str_at(&["driver"]), &path.child("driver"));
    let max = if stored { usize::MAX } else { MAX_PARAMETERS };
    faults.extend(raw_fault(opaque.get("parameters"), max, &path.child("parameters")));
    faults
}

/// The fault of parameters that are not a JSON object, or too much.
pub fn raw_fault(raw: Option<&Value>, max: usize, at: &Path) -> Option<Fault> {
    match raw {
        None | Some(Value::Null) => Some(Fault::required(at, "")),
        Some(value) if json::to_string(value).len() > max => Some(Fault::too_long(at, max)),
        Some(Value::Map(_)) => None,
        Some(_) => Some(Fault::invalid(at, "<value omitted>", "must be a valid JSON object")),
    }
}

/// Faults of a name with an optional domain: `example.com/numa`.
pub fn qualified_name_faults(name: &str, at: &Path) -> Vec<Fault> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [id] => identifier_faults(id, at),
        [domain, id] => {
            let mut faults = match domain {
                "" => vec![Fault::invalid(at, "", "the domain must not be empty")],
                _ => pod_spec::csi_driver_name(domain, at),
            };
            faults.extend(match id {
                "" => vec![Fault::invalid(at, "", "the name must not be empty")],
                _ => identifier_faults(id, at),
            });
            faults
        }
        _ => Vec::new(),
    }
}

/// Faults of a name that must have a domain.
pub fn full_name_faults(name: &str, at: &Path) -> Vec<Fault> {
    let mut faults = qualified_name_faults(name, at);
    if !name.contains('/') {
        let text = "a fully qualified name must be a domain and a name separated by a slash";
        faults.push(Fault::invalid(at, name, text));
    }
    faults
}

fn identifier_faults(id: &str, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if id.len() > MAX_ID {
        faults.push(Fault::too_long(at, MAX_ID));
    }
    faults.extend(names::is_c_identifier(id).into_iter().map(|text| Fault::invalid(at, id, text)));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn parameters_are_objects() {
        let at = Path::new("p");
        assert!(raw_fault(Some(&tree!({"a": 1})), 100, &at).is_none());
        assert_eq!(raw_fault(Some(&"x".into()), 100, &at).unwrap().detail, "must be a valid JSON object");
        assert_eq!(raw_fault(None, 100, &at).unwrap().to_string(), "p: Required value");
    }

    #[test]
    fn attributes_are_named_with_a_domain() {
        let at = Path::new("a");
        assert!(full_name_faults("example.com/numa", &at).is_empty());
        assert_eq!(
            full_name_faults("nodomain", &at)[0].body(),
            "Invalid value: \"nodomain\": a fully qualified name must be a domain and a name separated by a slash"
        );
    }
}
