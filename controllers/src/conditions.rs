//! Conditions of a status: a list with one entry of each type.

use api::{Value, tree};

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Value], ty: &str) -> Option<&'a Value> {
    conditions.iter().find(|c| c.str_at(&["type"]) == ty)
}

/// True when the condition of a type is `True`.
pub fn is_true(conditions: &[Value], ty: &str) -> bool {
    find(conditions, ty).is_some_and(|c| c.str_at(&["status"]) == "True")
}

/// Takes the condition of a type out.
pub fn remove(conditions: &mut Vec<Value>, ty: &str) {
    conditions.retain(|c| c.str_at(&["type"]) != ty);
}

/// Puts a condition in, at the end, unless one with that status and reason is there. Its time of transition is kept
/// while its status stays. True when something changed.
pub fn set(conditions: &mut Vec<Value>, mut condition: Value) -> bool {
    let ty = condition.str_at(&["type"]).to_owned();
    if let Some(old) = find(conditions, &ty) {
        let same = |field: &str| old.str_at(&[field]) == condition.str_at(&[field]);
        if same("status") && same("reason") {
            return false;
        }
        if same("status") {
            condition.set(&["lastTransitionTime"], old.str_at(&["lastTransitionTime"]).to_owned());
        }
    }
    remove(conditions, &ty);
    conditions.push(condition);
    true
}

/// A condition in the fields' usual order.
pub fn new(ty: &str, status: &str, now: &str, reason: &str, message: &str) -> Value {
    tree!({
        "type": ty, "status": status, "lastTransitionTime": now, "reason": reason, "message": message
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut list = Vec::new();
        assert!(set(&mut list, new("A", "True", "t1", "R1", "")));
        assert!(!set(&mut list, new("A", "True", "t2", "R1", "other words")));
        assert!(set(&mut list, new("A", "True", "t2", "R2", "")));
        assert_eq!(list[0].str_at(&["lastTransitionTime"]), "t1");
        assert!(set(&mut list, new("A", "False", "t3", "R2", "")));
        assert_eq!(list[0].str_at(&["lastTransitionTime"]), "t3");
        assert!(!is_true(&list, "A"));
    }
}
