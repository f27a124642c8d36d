//! NodeMetrics and PodMetrics out of two readings, with metrics-server's quantities.

use super::Pair;
use super::metrics_text::Used;
use crate::call::Call;
use api::{Quantity, Value, time, tree};
use std::collections::HashMap;
use stdx::Time;

/// What a node uses; nothing while it has not told twice.
pub fn node(node: &Value, pairs: &HashMap<String, Pair>) -> Option<Value> {
    let name = Call::name_of(node);
    let pair = pairs.get(name)?;
    let usage = usage(&pair.before.node, &pair.last.node)?;
    let mut object = object("NodeMetrics", node, pair.last.taken, window(&pair.before.node, &pair.last.node));
    object.set(&["usage"], usage);
    Some(object)
}

/// What the containers of a pod use; nothing unless all that run have told.
pub fn pod(pod: &Value, pairs: &HashMap<String, Pair>) -> Option<Value> {
    let pair = pairs.get(pod.str_at(&["spec", "nodeName"]))?;
    let (namespace, name) = (pod.str_at(&["metadata", "namespace"]), Call::name_of(pod));
    let (mut containers, mut window_nanos) = (Vec::new(), 0);
    for status in
        ["containerStatuses", "initContainerStatuses"].iter().flat_map(|list| pod.list_at(&["status", list]))
    {
        if status.at(&["state", "running"]).is_none() {
            continue;
        }
        let container = status.str_at(&["name"]);
        let key = (namespace.to_owned(), name.to_owned(), container.to_owned());
        let last = pair.last.containers.get(&key)?;
        // One that has just been started had used nothing before.
        let before = pair.before.containers.get(&key).copied().unwrap_or(Used {
            cpu_secs: Some(0.0),
            millis: pair.before.node.millis,
            memory: None,
        });
        containers.push(tree!({"name": container, "usage": (usage(&before, last)?)}));
        window_nanos = window_nanos.max(window(&before, last));
    }
    if containers.is_empty() {
        return None;
    }
    let mut object = object("PodMetrics", pod, pair.last.taken, window_nanos);
    object.set(&["containers"], Value::List(containers));
    Some(object)
}

fn object(kind: &str, of: &Value, taken: Time, window_nanos: i64) -> Value {
    let mut metadata = tree!({"name": (Call::name_of(of))});
    if !of.str_at(&["metadata", "namespace"]).is_empty() {
        metadata.set(&["namespace"], of.str_at(&["metadata", "namespace"]));
    }
    metadata.set(&["creationTimestamp"], taken.rfc3339());
    if let Some(labels) = of.at(&["metadata", "labels"]).filter(|labels| !labels.is_empty()) {
        metadata.set(&["labels"], labels.clone());
    }
    tree!({
        "kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": (metadata),
        "timestamp": (taken.rfc3339()), "window": (time::format_duration(window_nanos))
    })
}

/// The time between two readings in nanoseconds.
fn window(before: &Used, last: &Used) -> i64 {
    (last.millis - before.millis).max(0) * 1_000_000
}

/// Nothing when CPU time went back: it is another container of the name.
fn usage(before: &Used, last: &Used) -> Option<Value> {
    let secs = window(before, last) as f64 / 1e9;
    let used = last.cpu_secs? - before.cpu_secs.filter(|before| *before <= last.cpu_secs.unwrap_or(0.0))?;
    if secs <= 0.0 {
        return None;
    }
    let nano_cores = (used / secs * 1e9).round();
    let kibi = (last.memory? / 1024.0).round();
    let canonical = |text: String| Quantity::parse(&text).map(|quantity| quantity.to_string()).ok();
    let memory = canonical(format!("{kibi}Ki"))?;
    Some(tree!({"cpu": (canonical(format!("{nano_cores}n"))?), "memory": (memory)}))
}

#[cfg(test)]
mod tests {
    use super::super::metrics_text::Reading;
    use super::*;
    use std::sync::Arc;

    fn reading(secs: i64, node: f64, container: f64) -> Arc<Reading> {
        let text = format!(
            "node_cpu_usage_seconds_total {node}\nnode_memory_working_set_bytes 2097152\n\
             container_cpu_usage_seconds_total{{container=\"c\",namespace=\"ns\",pod=\"p\"}} {container}\n\
             container_memory_working_set_bytes{{container=\"c\",namespace=\"ns\",pod=\"p\"}} 4096\n"
        );
        Arc::new(Reading::parse(&text, Time::from_secs(secs)))
    }

    fn pairs(before: Arc<Reading>, last: Arc<Reading>) -> HashMap<String, Pair> {
        [("n".to_owned(), Pair { before, last })].into()
    }

    #[test]
    fn cpu_is_what_was_used_in_the_window() {
        let pairs = pairs(reading(100, 50.0, 1.0), reading(110, 55.0, 1.0000015));
        let shown = node(&tree!({"metadata": {"name": "n", "labels": {"a": "b"}}}), &pairs).unwrap();
        assert_eq!(shown.str_at(&["usage", "cpu"]), "500m");
        assert_eq!(shown.str_at(&["usage", "memory"]), "2Mi");
        assert_eq!(shown.str_at(&["window"]), "10s");
        assert_eq!(shown.str_at(&["metadata", "labels", "a"]), "b");
        let mut of = tree!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": "n"},
            "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}});
        let shown = pod(&of, &pairs).unwrap();
        let container = &shown.list_at(&["containers"])[0];
        assert_eq!(container.str_at(&["usage", "cpu"]), "150n");
        assert_eq!(container.str_at(&["usage", "memory"]), "4Ki");
        of.set(&["status", "containerStatuses"], tree!([{"name": "d", "state": {"running": {}}}]));
        assert!(pod(&of, &pairs).is_none(), "a container has not told yet");
    }

    #[test]
    fn another_container_of_the_name_is_not_compared() {
        let pairs = pairs(reading(100, 50.0, 9.0), reading(110, 55.0, 1.0));
        let of = tree!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": "n"},
            "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}});
        assert!(pod(&of, &pairs).is_none());
    }
}
