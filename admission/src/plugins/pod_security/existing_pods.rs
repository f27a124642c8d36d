//! Which pods of a namespace would not be let in again under a stricter level: told as warnings to who sets it.
//!
//! `pod-0 (and 2 other pods): host namespaces, privileged`. Of the pods of one controller one is looked at first; no
//! more than 3,000 pods and one second are spent.

use super::checks::{Subject, reasons, violations};
use super::policy::LevelVersion;
use api::Value;
use std::collections::{BTreeMap, BTreeSet};

const MAX_PODS: usize = 3000;

/// Warnings about pods. `in_time` tells whether to go on.
pub fn warnings(
    namespace: &str,
    enforce: LevelVersion,
    pods: Vec<&Value>,
    mut in_time: impl FnMut() -> bool,
) -> Vec<String> {
    let pods = most_telling_first(pods);
    let mut checked = pods.len().min(MAX_PODS);
    // By what is wrong: the first name and how many.
    let mut found: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    let empty = Value::map();
    for (at, pod) in pods.iter().take(MAX_PODS).enumerate() {
        let part = |field: &str| pod.get(field).unwrap_or(&empty);
        let violations = violations(enforce, Subject { metadata: part("metadata"), spec: part("spec") });
        if !violations.is_empty() {
            let name = pod.str_at(&["metadata", "name"]);
            let entry = found.entry(reasons(&violations)).or_insert((name, 0));
            *entry = (entry.0.min(name), entry.1 + 1);
        }
        if !in_time() {
            checked = at + 1;
            break;
        }
    }
    let mut warnings = Vec::new();
    if checked < pods.len() {
        let total = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        let (namespace, level) = (api::quote(namespace), api::quote(&enforce.to_string()));
        warnings.push(format!(
            "existing pods in namespace {namespace} violate the new PodSecurity enforce level {level}"
        ));
    }
    let mut texts: Vec<String> = found
        .into_iter()
        .map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            _ => format!("{name} (and {} other pods): {reasons}", count - 1),
        })
        .collect();
    texts.sort();
    warnings.extend(texts);
    warnings
}

/// Pods without a controller and the first of each controller come before the rest.
fn most_telling_first(pods: Vec<&Value>) -> Vec<&Value> {
    let mut controllers = BTreeSet::new();
    let (mut first, rest): (Vec<&Value>, Vec<&Value>) = pods.into_iter().partition(|pod| {
        let owners = pod.list_at(&["metadata", "ownerReferences"]);
        let controller = owners.iter().find(|owner| owner.bool_at(&["controller"]));
        controller.is_none_or(|owner| controllers.insert(owner.str_at(&["uid"])))
    });
    first.extend(rest);
    first
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Level, Version};
    use super::*;
    use api::tree;

    fn pod(name: &str, owner: &str) -> Value {
        let owners = match owner {
            "" => tree!([]),
            uid => tree!([{"uid": uid, "controller": true}]),
        };
        tree!({"metadata": {"name": name, "ownerReferences": owners}, "spec": {"hostNetwork": true}})
    }

    #[test]
    fn pods_are_counted_by_what_is_wrong() {
        let level = LevelVersion { level: Level::Baseline, version: Version::Latest };
        let pods = [pod("c", "x"), pod("b", "x"), pod("d", ""), tree!({"metadata": {"name": "ok"}})];
        let told = warnings("n", level, pods.iter().collect(), || true);
        assert_eq!(
            told,
            [
                "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "b (and 2 other pods): host namespaces"
            ]
        );
        let told = warnings("n", level, pods.iter().collect(), || false);
        assert_eq!(
            told[0],
            "new PodSecurity enforce level only checked against the first 1 of 4 existing pods"
        );
        assert_eq!(told[2], "c: host namespaces");
    }

    #[test]
    fn one_pod_of_each_controller_is_looked_at_first() {
        let pods = [pod("a", "x"), pod("b", "x"), pod("c", "y"), pod("d", "")];
        let order: Vec<&str> = most_telling_first(pods.iter().collect())
            .iter()
            .map(|pod| pod.str_at(&["metadata", "name"]))
            .collect();
        assert_eq!(order, ["a", "c", "d", "b"]);
    }
}
