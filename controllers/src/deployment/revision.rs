//! Which replica set is the deployment's new one, and the annotations that number its revisions. Pure.

use crate::owner;
use api::{Map, Value};
use std::sync::Arc;

pub const HASH: &str = "pod-template-hash";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";
pub const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that a replica set does not take over from its deployment.
const OWN: [&str; 6] = [LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX, ROLLBACK_TO];

/// How long the list of old revisions may grow, in characters.
const HISTORY_CHARS: usize = 2000;

pub fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object.str_at(&["metadata", "annotations", name])
}

/// An annotation that is a number, not negative.
pub fn number(object: &Value, name: &str) -> Option<i64> {
    annotation(object, name).parse().ok().filter(|n| *n >= 0)
}

/// The revision of a replica set, 0 when it has none.
pub fn of(set: &Value) -> i64 {
    number(set, REVISION).unwrap_or(0)
}

pub fn highest(sets: &[Value]) -> i64 {
    sets.iter().map(of).max().unwrap_or(0)
}

/// The highest revision but one.
pub fn previous(sets: &[Value]) -> i64 {
    let mut revisions: Vec<i64> = sets.iter().map(of).collect();
    revisions.sort_unstable();
    revisions.iter().rev().nth(1).copied().unwrap_or(0)
}

/// A pod template without the label that tells revisions apart.
pub fn without_hash(object: &Value) -> Value {
    let mut template = object.at(&["spec", "template"]).cloned().unwrap_or_default();
    template.unset(&["metadata", "labels", HASH]);
    template
}

/// The replica sets, by age: the one whose template is the deployment's, and all others.
pub fn split(deployment: &Value, sets: Vec<Arc<Value>>) -> (Option<Value>, Vec<Value>) {
    let mut sets: Vec<Value> = sets.into_iter().map(|set| (*set).clone()).collect();
    sort_by_age(&mut sets);
    let wanted = without_hash(deployment);
    let at =
        sets.iter().position(|set| crate::status::says_the_same(Some(&without_hash(set)), Some(&wanted)));
    (at.map(|at| sets.remove(at)), sets)
}

pub fn sort_by_age(sets: &mut [Value]) {
    sets.sort_by_cached_key(|set| {
        let meta = |field: &str| set.str_at(&["metadata", field]).to_owned();
        (meta("creationTimestamp"), meta("name"))
    });
}

/// Brings a set's annotations to those of its deployment, and its revision to at least `revision`. A set that comes
/// back remembers the revisions it had. True when something changed.
pub fn annotate(deployment: &Value, set: &mut Value, revision: i64) -> bool {
    let empty = Map::new();
    let wanted = deployment.map_at(&["metadata", "annotations"]).unwrap_or(&empty);
    let had = set.map_at(&["metadata", "annotations"]).cloned().unwrap_or_default();
    let mut now = had.clone();
    for (name, value) in wanted.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        now.insert(name.clone(), value.clone());
    }
    let old = annotation(set, REVISION).to_owned();
    if !old.is_empty() && old.parse::<i64>().is_err() {
        return false;
    }
    if of(set) < revision {
        now.insert(REVISION, revision.to_string());
        if !old.is_empty() {
            let history = remember(annotation(set, HISTORY), &old);
            now.insert(HISTORY, history);
        }
    }
    let changed = now != had;
    if changed {
        set.set(&["metadata", "annotations"], now);
    }
    changed
}

/// A list of revisions with one more; the oldest leave when it is too long.
fn remember(history: &str, revision: &str) -> String {
    let mut list: Vec<&str> = history.split(',').filter(|r| !r.is_empty()).collect();
    list.push(revision);
    while list.len() > 1 && list.iter().map(|r| r.len() + 1).sum::<usize>() > HISTORY_CHARS + 1 {
        list.remove(0);
    }
    list.join(",")
}

/// Notes in a set how many replicas its deployment asks for, and how many there may be. True when that is news.
pub fn annotate_sizes(set: &mut Value, desired: i64, max: i64) -> bool {
    let mut changed = false;
    for (name, wanted) in [(DESIRED, desired.to_string()), (MAX, max.to_string())] {
        if annotation(set, name) != wanted {
            set.set(&["metadata", "annotations", name], wanted);
            changed = true;
        }
    }
    changed
}

/// The deployment as it was at the revision of `set`: its template and annotations.
pub fn rolled_back(deployment: &Value, set: &Value) -> Value {
    let mut back = deployment.clone();
    back.set(&["spec", "template"], without_hash(set));
    let kept = |object: &Value, own: bool| {
        let all = object.map_at(&["metadata", "annotations"]).cloned().unwrap_or_default();
        all.into_iter().filter(move |(name, _)| OWN.contains(&name.as_str()) == own).collect::<Vec<_>>()
    };
    let annotations: Map = kept(deployment, true).into_iter().chain(kept(set, false)).collect();
    back.set(&["metadata", "annotations"], annotations);
    back
}

/// True when the deployment made this set from the template it has now.
pub fn is_of(set: &Value, deployment: &Value) -> bool {
    let same = crate::status::says_the_same(Some(&without_hash(set)), Some(&without_hash(deployment)));
    same && owner::controller_uid(set) == owner::uid(deployment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_set_takes_over_annotations_and_remembers_its_revisions() {
        let deployment = tree!({"metadata": {"annotations": {"note": "x", REVISION: "7"}}});
        let mut set = tree!({"metadata": {"annotations": {REVISION: "2"}}});
        assert!(annotate(&deployment, &mut set, 3));
        let wanted = tree!({REVISION: "3", "note": "x", HISTORY: "2"});
        assert_eq!(set.at(&["metadata", "annotations"]), Some(&wanted));
        assert!(!annotate(&deployment, &mut set, 3));
        assert!(annotate(&deployment, &mut set, 5));
        assert_eq!(annotation(&set, HISTORY), "2,3");
    }

    #[test]
    fn the_new_set_has_the_template_of_the_deployment_but_for_the_hash() {
        let deployment =
            tree!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}}});
        let set = |hash: &str, x: i64| {
            let labels = tree!({"a": "b", HASH: hash});
            Arc::new(tree!({"metadata": {"name": hash, "creationTimestamp": hash},
                "spec": {"template": {"metadata": {"labels": labels}, "spec": {"x": x}}}}))
        };
        let (new, old) = split(&deployment, vec![set("2", 1), set("1", 9)]);
        assert_eq!(new.unwrap().str_at(&["metadata", "name"]), "2");
        assert_eq!(old.len(), 1);
    }

    #[test]
    fn a_rollback_takes_the_template_and_annotations_of_the_old_set() {
        let deployment =
            tree!({"metadata": {"annotations": {"note": "new", REVISION: "2"}}, "spec": {"template": {}}});
        let set = tree!({"metadata": {"annotations": {"note": "old", REVISION: "1"}},
            "spec": {"template": {"metadata": {"labels": {HASH: "h", "a": "b"}}}}});
        let back = rolled_back(&deployment, &set);
        assert_eq!(back.at(&["metadata", "annotations"]), Some(&tree!({"note": "old", REVISION: "2"})));
        assert_eq!(back.at(&["spec", "template"]), Some(&tree!({"metadata": {"labels": {"a": "b"}}})));
    }
}
