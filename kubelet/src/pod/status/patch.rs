//! What is sent of a status: a strategic merge patch with what changed. Items of lists that others also write to are
//! sent one by one.

use api::resources::amounts;
use api::{Map, Value, tree};

/// Lists of which items are merged, and by which field.
const MERGED: [(&str, &str); 3] = [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip")];

/// Lists of quantities, which the API writes in its own way.
const AMOUNTS: [&str; 3] = ["allocatedResources", "limits", "requests"];

/// A status that was written, and what the API made of it.
#[derive(Default)]
pub struct Written {
    wanted: Value,
    /// The object's version since then; none while there is no answer.
    version: Option<String>,
}

impl Written {
    pub fn asked(wanted: Value) -> Self {
        Written { wanted, version: None }
    }

    pub fn answered(&mut self, object: &Value) {
        self.version = Some(object.str_at(&["metadata", "resourceVersion"]).to_owned());
    }

    /// Whether the API had this very status and made `object` of it: asking again would change nothing.
    pub fn is_settled(&self, wanted: &Value, object: &Value) -> bool {
        let version = object.str_at(&["metadata", "resourceVersion"]);
        self.version.as_deref() == Some(version) && self.wanted == *wanted
    }
}

/// The patch from one status to another, for the pod with this uid only; nothing when they are the same.
pub fn patch(uid: &str, from: &Value, to: &Value) -> Option<Value> {
    let changes = changes(from, to, true);
    (!changes.is_empty()).then(|| tree!({"metadata": {"uid": uid}, "status": (Value::Map(changes))}))
}

fn changes(from: &Value, to: &Value, top: bool) -> Map {
    let mut changes = Map::new();
    let fields = |value: &Value| value.as_map().cloned().unwrap_or_default();
    for (name, new) in fields(to).iter() {
        let old = from.get(name).unwrap_or(&Value::Null);
        if is_same_field(name, old, new) {
            continue;
        }
        let key = MERGED.iter().find(|(list, _)| top && list == &name.as_str());
        match (key, old, new) {
            (Some((_, key)), Value::List(old), Value::List(new)) => merge(&mut changes, name, key, old, new),
            (_, Value::Map(_), Value::Map(_)) => {
                changes.insert(name.clone(), Value::Map(self::changes(old, new, false)));
            }
            _ => drop(changes.insert(name.clone(), new.clone())),
        }
    }
    for (name, old) in fields(from).iter() {
        if to.get(name).is_none() && !old.is_null() {
            changes.insert(name.clone(), Value::Null);
        }
    }
    changes
}

fn merge(changes: &mut Map, name: &str, key: &str, old: &[Value], new: &[Value]) {
    let find = |list: &[Value], id: &str| list.iter().find(|item| item.str_at(&[key]) == id).cloned();
    let mut items = Vec::new();
    for item in new {
        let id = item.str_at(&[key]);
        match find(old, id) {
            Some(old) if is_same(&old, item) => {}
            Some(old) => {
                let mut change = self::changes(&old, item, false);
                change.insert(key, id);
                items.push(Value::Map(change));
            }
            None => items.push(item.clone()),
        }
    }
    let gone = old.iter().map(|item| item.str_at(&[key])).filter(|id| find(new, id).is_none());
    items.extend(gone.map(|id| Value::Map(Map::from_iter([("$patch", "delete"), (key, id)]))));
    let order = |item: &Value| Value::Map(Map::from_iter([(key, item.str_at(&[key]))]));
    changes.insert(format!("$setElementOrder/{name}"), Value::List(new.iter().map(order).collect()));
    if !items.is_empty() {
        changes.insert(name, Value::List(items));
    }
}

fn is_same_field(name: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Map(_), Value::Map(_)) if AMOUNTS.contains(&name) => amounts(Some(a)) == amounts(Some(b)),
        _ => is_same(a, b),
    }
}

/// The same, with what is null or an empty list as good as missing: the API keeps neither.
fn is_same(a: &Value, b: &Value) -> bool {
    let is_nothing =
        |value: &Value| value.is_null() || matches!(value, Value::List(items) if items.is_empty());
    match (a, b) {
        _ if is_nothing(a) || is_nothing(b) => is_nothing(a) && is_nothing(b),
        (Value::Map(a), Value::Map(b)) => {
            let covers = |a: &Map, b: &Map| {
                a.iter().all(|(name, value)| is_same_field(name, value, b.get(name).unwrap_or(&Value::Null)))
            };
            covers(a, b) && covers(b, a)
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_the_same_however_they_are_written() {
        let status = |cpu: &str| {
            let resources = tree!({"requests": {"cpu": cpu}});
            tree!({"allocatedResources": {"cpu": cpu}, "resources": (resources.clone()),
                "containerStatuses": [{"name": "a", "resources": (resources)}]})
        };
        assert_eq!(patch("u", &status("1"), &status("1000m")), None);
        assert!(patch("u", &status("1"), &status("1100m")).is_some());
    }

    #[test]
    fn what_the_api_made_of_a_status_is_taken_until_one_of_both_changes() {
        let object = |version: &str| tree!({"metadata": {"resourceVersion": version}});
        let mut written = Written::asked(tree!({"phase": "Running"}));
        assert!(!written.is_settled(&tree!({"phase": "Running"}), &object("7")));
        written.answered(&object("7"));
        assert!(written.is_settled(&tree!({"phase": "Running"}), &object("7")));
        assert!(!written.is_settled(&tree!({"phase": "Running"}), &object("8")));
        assert!(!written.is_settled(&tree!({"phase": "Failed"}), &object("7")));
    }

    #[test]
    fn only_what_changed_is_sent_and_the_order_of_conditions_is_kept() {
        let from = tree!({"phase": "Pending", "reason": "x", "hostIP": "1", "conditions": [
            {"type": "A", "status": "True"}, {"type": "B", "status": "False", "reason": "r"}, {"type": "Z"}
        ]});
        let to = tree!({"phase": "Running", "hostIP": "1", "conditions": [
            {"type": "A", "status": "True", "lastProbeTime": null}, {"type": "C"}, {"type": "B", "status": "True"}
        ]});
        let wanted = tree!({"metadata": {"uid": "u"}, "status": {
            "phase": "Running", "reason": null,
            "$setElementOrder/conditions": [{"type": "A"}, {"type": "C"}, {"type": "B"}],
            "conditions": [{"type": "C"}, {"status": "True", "reason": null, "type": "B"}, {"$patch": "delete", "type": "Z"}]
        }});
        assert_eq!(patch("u", &from, &to), Some(wanted));
        assert_eq!(patch("u", &to, &to), None);
        assert_eq!(
            patch("u", &tree!({"phase": "Failed"}), &tree!({"phase": "Failed", "conditions": []})),
            None
        );
    }
}
