//! Conditions of certificate signing requests: who may set which, and their times.

use crate::validation;
use api::{Fault, Path, Value};

pub const CONDITIONS: [&str; 2] = ["status", "conditions"];
/// Conditions that are true when they are there.
const TRUE_TYPES: [&str; 3] = ["Approved", "Denied", "Failed"];
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

fn of_type<'v>(obj: &'v Value, name: &str) -> Vec<&'v Value> {
    obj.list_at(&CONDITIONS).iter().filter(|c| c.str_at(&["type"]) == name).collect()
}

fn has_duplicates(obj: &Value) -> bool {
    let types = obj.list_at(&CONDITIONS).iter().map(|c| c.str_at(&["type"]));
    let mut seen = std::collections::HashSet::new();
    types.into_iter().any(|t| !seen.insert(t))
}

/// Faults of the conditions by themselves. What is wrong with `old` already stays allowed.
pub fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("status").child("conditions");
    let has = |name: &str| old.is_some_and(|o| !of_type(o, name).is_empty());
    let lenient_both = has("Approved") && has("Denied");
    let (lenient_empty, lenient_twice) = (has(""), old.is_some_and(has_duplicates));
    let mut faults = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (i, condition) in obj.list_at(&CONDITIONS).iter().enumerate() {
        let (name, status) = (condition.str_at(&["type"]), condition.str_at(&["status"]));
        let path = at.index(i);
        if name.is_empty() && !lenient_empty {
            faults.push(Fault::required(path.child("type"), ""));
        }
        let allowed: &[&str] =
            if TRUE_TYPES.contains(&name) { &["True"] } else { &["False", "True", "Unknown"] };
        faults.extend(match status {
            "" => vec![Fault::required(path.child("status"), "")],
            _ => validation::one_of(status, allowed, &path.child("status")),
        });
        let other = DECISIONS.iter().find(|d| DECISIONS.contains(&name) && **d != name);
        if !lenient_both && other.is_some_and(|other| seen.contains(other)) {
            let text = "Approved and Denied conditions are mutually exclusive";
            faults.push(Fault::invalid(&at, name, text));
        }
        if !seen.insert(name) && !lenient_twice {
            faults.push(Fault::duplicate(path.child("type"), name));
        }
    }
    faults
}

/// Faults of a change: decisions and failures stay, and only the approval lens adds or changes decisions.
pub fn change_faults(new: &Value, old: &Value, may_decide: bool) -> Vec<Fault> {
    let at = Path::new("status").child("conditions");
    let fault = |verb: &str, name: &str| {
        Fault::forbidden(&at, format!("updates may not {verb} a condition of type \"{name}\""))
    };
    let mut faults = Vec::new();
    for name in TRUE_TYPES {
        if of_type(new, name).len() < of_type(old, name).len() {
            faults.push(fault("remove", name));
        }
    }
    for name in DECISIONS.iter().filter(|_| !may_decide) {
        let (now, before) = (of_type(new, name), of_type(old, name));
        if now.len() > before.len() {
            faults.push(fault("add", name));
        } else if now.len() == before.len() && now != before {
            faults.push(fault("modify", name));
        }
    }
    faults
}

/// Puts decisions back as they are stored, when there are as many as before.
pub fn keep_decisions(new: &mut Value, old: &Value) {
    for name in DECISIONS {
        let before: Vec<Value> = of_type(old, name).into_iter().cloned().collect();
        if before.len() != of_type(new, name).len() {
            continue;
        }
        let list = new.at_mut(&CONDITIONS).and_then(Value::as_list_mut).into_iter().flatten();
        let now = list.filter(|c| c.str_at(&["type"]) == name);
        now.zip(before).for_each(|(now, before)| *now = before);
    }
}

/// Fills times that clients left out: the time of a transition is that of a stored condition of the same type and
/// status, if there is one.
pub fn fill_times(new: &mut Value, old: &Value, now: &str) {
    let missing = |c: &Value, field: &str| c.str_at(&[field]).is_empty();
    for condition in new.at_mut(&CONDITIONS).and_then(Value::as_list_mut).into_iter().flatten() {
        if missing(condition, "lastUpdateTime") {
            condition.set(&["lastUpdateTime"], now);
        }
        if missing(condition, "lastTransitionTime") {
            let alike = |c: &&Value| {
                ["type", "status"].iter().all(|f| c.str_at(&[f]) == condition.str_at(&[f]))
                    && !missing(c, "lastTransitionTime")
            };
            let stored = old.list_at(&CONDITIONS).iter().find(alike);
            let time = stored.map_or(now, |c| c.str_at(&["lastTransitionTime"])).to_owned();
            condition.set(&["lastTransitionTime"], time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn approval_and_denial_exclude_each_other() {
        let obj = tree!({"status": {"conditions": [{"type": "Approved", "status": "True"},
                                                   {"type": "Denied", "status": "False"}]}});
        let texts: Vec<String> = faults(&obj, None).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            [
                "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
                "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            ]
        );
    }

    #[test]
    fn only_the_approval_lens_decides() {
        let old = tree!({});
        let new = tree!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}});
        let texts: Vec<String> = change_faults(&new, &old, false).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            texts,
            ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
        );
        assert!(change_faults(&new, &old, true).is_empty());
        assert_eq!(change_faults(&old, &new, true).len(), 1);
    }

    #[test]
    fn times_are_filled_and_transitions_kept() {
        let old =
            tree!({"status": {"conditions": [{"type": "A", "status": "True", "lastTransitionTime": "t0"}]}});
        let mut new = tree!({"status": {"conditions": [{"type": "A", "status": "True"}]}});
        fill_times(&mut new, &old, "t1");
        let condition = &new.list_at(&CONDITIONS)[0];
        assert_eq!(condition.str_at(&["lastTransitionTime"]), "t0");
        assert_eq!(condition.str_at(&["lastUpdateTime"]), "t1");
    }
}
