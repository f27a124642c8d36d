//! How plugins read their configuration: the part of the file of `--admission-control-config-file` that is theirs, an
//! object of a kind of its own. Strict, as upstream's decoders are.

use api::Value;

/// The shape of an object: its fields, each with the shape of what it holds (or of each item of its list).
pub struct Shape(pub &'static [(&'static str, Shape)]);

impl Shape {
    /// Anything.
    pub const ANY: Shape = Shape(&[]);
}

/// Checks kind, version (`group/version`) and that there are no unknown fields.
pub fn check(value: &Value, kind: &str, versions: &[&str], shape: &Shape) -> Result<(), String> {
    let (given_kind, given) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    for (field, text) in [("Kind", given_kind), ("apiVersion", given)] {
        if text.is_empty() {
            return Err(format!("Object '{field}' is missing in '{}'", api::json::to_string(value)));
        }
    }
    if given_kind != kind || !versions.contains(&given) {
        let (kind, version) = (api::quote(given_kind), api::quote(given));
        return Err(format!("no kind {kind} is registered for version {version}"));
    }
    let mut unknown = Vec::new();
    for (field, inner) in value.as_map().into_iter().flat_map(api::Map::iter) {
        if !matches!(field.as_str(), "kind" | "apiVersion") {
            find_unknown(field, inner, shape, "", &mut unknown);
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(format!("strict decoding error: {}", unknown.join(", "))) }
}

fn find_unknown(field: &str, value: &Value, shape: &Shape, at: &str, unknown: &mut Vec<String>) {
    let path = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    let Some((_, inner)) = shape.0.iter().find(|(name, _)| *name == field) else {
        unknown.push(format!("unknown field {}", api::quote(&path)));
        return;
    };
    if inner.0.is_empty() {
        return;
    }
    match value {
        Value::Map(map) => {
            map.iter().for_each(|(field, value)| find_unknown(field, value, inner, &path, unknown));
        }
        Value::List(list) => {
            for (at, item) in list.iter().enumerate() {
                let place = format!("{path}[{at}]");
                let fields = item.as_map().into_iter().flat_map(api::Map::iter);
                fields.for_each(|(field, value)| find_unknown(field, value, inner, &place, unknown));
            }
        }
        _ => {}
    }
}

/// Faults in one text, as Go joins errors: alone, or in brackets.
pub fn join(faults: &[String]) -> String {
    match faults {
        [one] => one.clone(),
        _ => format!("[{}]", faults.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_a_configuration_should_not_say_is_told() {
        const SHAPE: Shape = Shape(&[("limits", Shape(&[("qps", Shape::ANY)])), ("any", Shape::ANY)]);
        let of = |value: Value| check(&value, "Configuration", &["example.com/v1"], &SHAPE);
        let right = tree!({"kind": "Configuration", "apiVersion": "example.com/v1", "limits": [{"qps": 1}], "any": {"x": 1}});
        assert_eq!(of(right.clone()), Ok(()));
        let mut wrong = right.clone();
        wrong.set(&["limits"], tree!([{"qps": 1}, {"burst": 2}]));
        assert_eq!(of(wrong).unwrap_err(), "strict decoding error: unknown field \"limits[1].burst\"");
        let mut other = right;
        other.set(&["apiVersion"], "example.com/v2");
        assert!(of(other).unwrap_err().starts_with("no kind \"Configuration\" is registered"));
        assert!(of(tree!({})).is_err());
    }
}
