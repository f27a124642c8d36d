//! Paths to fields inside a schema: `.spec.replicas`, `.labels['a.b']`.

use super::schema_walk::{named, schema_at};
use api::{Path, Value};

const NO_FIELD: &str = "does not refer to a valid field";

/// Follows a path through a schema: the path in print and the schema of the field, or what is wrong.
pub fn resolve<'v>(text: &str, schema: &'v Value, with_keys: bool) -> Result<(Path, &'v Value), String> {
    let mut tokens = tokens(text).into_iter();
    let mut next = move || tokens.next();
    let (mut path, mut here) = (Path::default(), schema);
    while let Some(token) = next() {
        let end = || "unexpected end of JSON path".to_owned();
        let name = match token.as_str() {
            "." => next().ok_or_else(end)?,
            "[" if !with_keys => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = next().ok_or_else(end)?;
                let key = unquote(&quoted)?;
                match next().ok_or_else(end)?.as_str() {
                    "]" => key,
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        (path, here) = step(&name, &path, here)?;
    }
    Ok((path, here))
}

fn step<'v>(name: &str, path: &Path, schema: &'v Value) -> Result<(Path, &'v Value), String> {
    if schema.map_at(&["properties"]).is_some_and(|p| !p.is_empty()) {
        let field = named(schema, "properties").into_iter().find(|(n, _)| *n == name);
        return field.map(|(_, s)| (path.child(name), s)).ok_or_else(|| NO_FIELD.to_owned());
    }
    schema_at(schema, "additionalProperties").map(|s| (path.key(name), s)).ok_or_else(|| NO_FIELD.to_owned())
}

fn unquote(quoted: &str) -> Result<String, String> {
    let inner = quoted.strip_prefix('\'').and_then(|q| q.strip_suffix('\''));
    let inner = inner.filter(|_| quoted.len() >= 2);
    let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
    Ok(inner.replace("\\'", "'").replace("\\\\", "\\"))
}

/// Dots, brackets, quoted texts, and what is between.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        let mut token = String::from(first);
        if first == '\'' {
            for c in chars.by_ref() {
                let escaped = token.ends_with('\\');
                token.push(c);
                if c == '\'' && !escaped {
                    break;
                }
            }
        } else if !".[]".contains(first) {
            while let Some(c) = chars.next_if(|c| !".[]".contains(*c)) {
                token.push(c);
            }
        }
        tokens.push(token);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn schema() -> Value {
        tree!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}},
            "m": {"additionalProperties": {"type": "integer"}}}})
    }

    #[test]
    fn paths_lead_to_fields() {
        let schema = schema();
        let (path, field) = resolve(".spec.a", &schema, false).unwrap();
        assert_eq!((path.as_str(), field.str_at(&["type"])), ("spec.a", "string"));
        let (path, field) = resolve(".m['x.y']", &schema, true).unwrap();
        assert_eq!((path.as_str(), field.str_at(&["type"])), ("m[x.y]", "integer"));
    }

    #[test]
    fn wrong_paths_say_why() {
        let schema = schema();
        let why = |text: &str| resolve(text, &schema, false).unwrap_err();
        assert_eq!(why(".spec.none"), NO_FIELD);
        assert_eq!(why("spec"), "expected [ or . but got: spec");
        assert_eq!(why(".spec['a']"), "array notation is not allowed");
        assert_eq!(why("."), "unexpected end of JSON path");
    }
}
