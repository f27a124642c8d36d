//! Who goes first: those that use more than they asked for, then the less important, then those that use most beyond
//! what they asked for.

use crate::cgroups::CRITICAL_PRIORITY;
use api::quantity::Format;
use api::{Quantity, Value, resources};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// A pod and what it uses of the resource that runs out.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub pod: Arc<Value>,
    /// Nothing when it cannot be told.
    pub used: Option<i64>,
    /// What each container uses, by name.
    pub containers: HashMap<String, i64>,
}

/// Brings pods into the order in which they go.
pub fn rank(candidates: &mut [Candidate], resource: &str) {
    candidates.sort_by_cached_key(|candidate| {
        let asked = asked(&resources::requests(&candidate.pod, false), resource);
        let priority = candidate.pod.i64_at(&["spec", "priority"]).unwrap_or(0);
        match candidate.used {
            None => (false, false, priority, Reverse(0)),
            Some(used) => (true, used <= asked, priority, Reverse(used - asked)),
        }
    });
}

/// Pods that the node itself needs stay.
pub fn is_critical(pod: &Value) -> bool {
    let annotation = |name: &str| pod.at(&["metadata", "annotations", name]).is_some();
    let source = pod.str_at(&["metadata", "annotations", "kubernetes.io/config.source"]);
    let is_static = !source.is_empty() && source != "api";
    is_static
        || annotation("kubernetes.io/config.mirror")
        || pod.i64_at(&["spec", "priority"]).is_some_and(|priority| priority >= CRITICAL_PRIORITY)
}

/// Which containers used more than they asked for.
pub fn blame(candidate: &Candidate, resource: &str) -> String {
    let mut said = String::new();
    let quantity = |value: i64| Quantity::new(value, Format::BinarySI);
    let spec = &candidate.pod;
    for container in ["containers", "initContainers"].iter().flat_map(|list| spec.list_at(&["spec", list])) {
        let name = container.str_at(&["name"]);
        let requests = resources::amounts(container.at(&["resources", "requests"]));
        let request = requests.get(resource).map_or_else(|| "0".to_owned(), Quantity::to_string);
        if let Some(used) = candidate.containers.get(name).filter(|used| **used > asked(&requests, resource))
        {
            said += &format!(
                "Container {name} was using {}, request is {request}, has larger consumption of {resource}. ",
                quantity(*used)
            );
        }
    }
    said
}

fn asked(requests: &resources::Amounts, resource: &str) -> i64 {
    requests.get(resource).map_or(0, Quantity::value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn candidate(name: &str, priority: i64, asked: &str, used: Option<i64>) -> Candidate {
        let pod = tree!({
            "metadata": {"name": name},
            "spec": {"priority": priority, "containers": [{"name": "a", "resources": {"requests": {"memory": asked}}}]}
        });
        let containers = used.map(|used| ("a".to_owned(), used)).into_iter().collect();
        Candidate { pod: Arc::new(pod), used, containers }
    }

    #[test]
    fn greedy_unimportant_pods_go_first() {
        let mut all = [
            candidate("modest", 0, "100", Some(50)),
            candidate("important", 9, "10", Some(500)),
            candidate("greedy", 0, "10", Some(80)),
            candidate("greedier", 0, "10", Some(90)),
            candidate("unknown", 5, "10", None),
        ];
        rank(&mut all, "memory");
        let names: Vec<_> = all.iter().map(|one| one.pod.str_at(&["metadata", "name"])).collect();
        assert_eq!(names, ["unknown", "greedier", "greedy", "important", "modest"]);
    }

    #[test]
    fn containers_are_blamed_in_upstreams_words() {
        let said = blame(&candidate("p", 0, "1Ki", Some(4 << 20)), "memory");
        assert_eq!(said, "Container a was using 4Mi, request is 1Ki, has larger consumption of memory. ");
        assert_eq!(blame(&candidate("p", 0, "1Gi", Some(1)), "memory"), "");
    }

    #[test]
    fn critical_and_static_pods_stay() {
        assert!(is_critical(&tree!({"spec": {"priority": 2_000_000_000}})));
        assert!(is_critical(&tree!({"metadata": {"annotations": {"kubernetes.io/config.source": "file"}}})));
        assert!(!is_critical(&tree!({"spec": {"priority": 1}})));
    }
}
