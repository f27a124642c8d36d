//! Priority: the priority class of a pod becomes a number, at most one class is the default, and those of the system
//! stay.
//!
//! `spec.priorityClassName: system-node-critical` becomes that and `priority: 2000001000`,
//! `preemptionPolicy: PreemptLowerPriority`; without a class and a default class it is 0.

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::{Status, Value};
use futures::future::BoxFuture;

const GROUP: &str = "scheduling.k8s.io";
const CLASSES: &str = "priorityclasses";
const SYSTEM: [&str; 2] = ["system-node-critical", "system-cluster-critical"];

pub struct Priority;

impl Plugin for Priority {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.writes("", "pods")
            || review.writes(GROUP, CLASSES)
            || (review.operation == Operation::Delete && review.is(GROUP, CLASSES))
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            match (review.resource(), review.operation) {
                ("pods", Operation::Create) => resolve(review, reader).await,
                ("pods", _) => {
                    keep(review);
                    Ok(())
                }
                (CLASSES, Operation::Delete) if SYSTEM.contains(&review.name) => {
                    Err(review.forbidden("this is a system priority class and cannot be deleted"))
                }
                _ => Ok(()),
            }
        })
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(class) = review.object.as_deref().filter(|_| review.resource() == CLASSES) else {
                return Ok(());
            };
            if !class.bool_at(&["globalDefault"]) {
                return Ok(());
            }
            let Some(default) = default_class(reader).await else { return Ok(()) };
            let name = default.str_at(&["metadata", "name"]);
            if review.operation == Operation::Update && name == class.str_at(&["metadata", "name"]) {
                return Ok(());
            }
            let why =
                format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(review.forbidden(&why))
        })
    }
}

/// An update that leaves the resolved fields out keeps them.
fn keep(review: &mut Review<'_>) {
    let (Some(pod), Some(old)) = (review.object.as_deref_mut(), review.old) else { return };
    for field in ["priority", "preemptionPolicy"] {
        if let (None, Some(before)) = (pod.at(&["spec", field]), old.at(&["spec", field])) {
            pod.set(&["spec", field], before.clone());
        }
    }
}

async fn default_class(reader: &dyn Cluster) -> Option<Value> {
    let classes = reader.list(GROUP, CLASSES, "").await;
    let defaults = classes.into_iter().filter(|class| class.bool_at(&["globalDefault"]));
    defaults.min_by_key(|class| class.i64_at(&["value"]).unwrap_or(0))
}

async fn resolve(review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
    let Some(pod) = review.object.as_deref() else { return Ok(()) };
    let asked = pod.str_at(&["spec", "priorityClassName"]);
    let class = match asked {
        "" => default_class(reader).await,
        name => match super::find(reader, GROUP, CLASSES, "", name).await {
            Some(class) => Some(class),
            None => return Err(review.forbidden(&format!("no PriorityClass with name {name} was found"))),
        },
    };
    let (name, priority, policy) = match &class {
        None => ("", 0, "PreemptLowerPriority"),
        Some(class) => (
            class.str_at(&["metadata", "name"]),
            class.i64_at(&["value"]).unwrap_or(0),
            class.str_at(&["preemptionPolicy"]),
        ),
    };
    if let Some(given) = pod.i64_at(&["spec", "priority"]).filter(|given| *given != priority) {
        return Err(review.forbidden(&format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    let given = pod.str_at(&["spec", "preemptionPolicy"]);
    if !policy.is_empty() && !given.is_empty() && given != policy {
        return Err(review.forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    let Some(pod) = review.object.as_deref_mut() else { return Ok(()) };
    if !name.is_empty() {
        pod.set(&["spec", "priorityClassName"], name);
    }
    pod.set(&["spec", "priority"], priority);
    if !policy.is_empty() {
        pod.set(&["spec", "preemptionPolicy"], policy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit, run};
    use super::*;
    use api::tree;

    fn class(name: &str, value: i64, default: bool) -> Value {
        tree!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never"})
    }

    #[tokio::test]
    async fn classes_become_numbers() {
        let cluster = Cluster::new().with(GROUP, CLASSES, class("high", 77, false));
        let pod = |class: &str| tree!({"metadata": {"name": "p"}, "spec": {"priorityClassName": class}});
        let high = admit(&Priority, &cluster, "pods", pod("high")).await.unwrap();
        assert_eq!(high.i64_at(&["spec", "priority"]), Some(77));
        assert_eq!(high.str_at(&["spec", "preemptionPolicy"]), "Never");
        let none = admit(&Priority, &cluster, "pods", tree!({"spec": {}})).await.unwrap();
        assert_eq!(none, tree!({"spec": {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}}));
        let status = admit(&Priority, &cluster, "pods", pod("low")).await.unwrap_err();
        assert_eq!(status.message, "pods \"p\" is forbidden: no PriorityClass with name low was found");
    }

    #[tokio::test]
    async fn one_class_is_the_default() {
        let cluster = Cluster::new().with(GROUP, CLASSES, class("a", 5, true));
        let pod = admit(&Priority, &cluster, "pods", tree!({"spec": {}})).await.unwrap();
        assert_eq!(pod.str_at(&["spec", "priorityClassName"]), "a");
        let place = (GROUP, CLASSES);
        assert!(run(&Priority, &cluster, place, class("b", 1, true), None).await.is_err());
        let old = class("a", 5, true);
        assert!(run(&Priority, &cluster, place, old.clone(), Some(&old)).await.is_ok());
    }
}
