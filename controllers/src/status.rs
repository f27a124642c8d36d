//! Writing the status of an object: only when it says something new, and never over somebody else's write.

use api::Value;
use client::{Client, Error, Resource};

/// Puts `status` in place of the one that `object` has; the server's answer, or nothing when both say the same.
pub async fn write(
    client: &Client,
    resource: &Resource,
    object: &Value,
    status: Value,
) -> Result<Option<Value>, Error> {
    if says_the_same(object.get("status"), Some(&status)) {
        return Ok(None);
    }
    let mut wanted = object.clone();
    wanted.set(&["status"], status);
    let namespace = object.str_at(&["metadata", "namespace"]);
    match client.update_lens(resource, namespace, "status", &wanted).await {
        Err(error) if error.is_not_found() => Ok(None),
        written => written.map(Some),
    }
}

/// Equality in which a field that is missing, null, zero or empty is the same.
pub fn says_the_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(Value::Map(a)), Some(Value::Map(b))) => {
            a.iter().all(|(key, value)| says_the_same(Some(value), b.get(key)))
                && b.iter().all(|(key, value)| a.contains_key(key) || says_the_same(None, Some(value)))
        }
        (Some(Value::List(a)), Some(Value::List(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| says_the_same(Some(a), Some(b)))
        }
        (Some(Value::Map(map)), None | Some(Value::Null))
        | (None | Some(Value::Null), Some(Value::Map(map))) => {
            map.values().all(|value| says_the_same(Some(value), None))
        }
        (None, None) => true,
        (Some(value), None) | (None, Some(value)) => value.is_empty(),
        (Some(a), Some(b)) => a == b || (a.is_empty() && b.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn zeroes_and_missing_fields_say_the_same() {
        let short = tree!({"replicas": 1});
        let long = tree!({"replicas": 1, "ready": 0, "conditions": [], "more": {"x": null}});
        assert!(says_the_same(Some(&short), Some(&long)));
        assert!(says_the_same(Some(&long), Some(&short)));
        assert!(says_the_same(None, Some(&tree!({"ready": 0}))));
        assert!(!says_the_same(Some(&short), Some(&tree!({"replicas": 2}))));
        assert!(!says_the_same(Some(&short), Some(&tree!({"replicas": 1, "ready": 1}))));
    }
}
