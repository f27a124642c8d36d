//! RuntimeClass: a pod has the overhead of its runtime class, its node selector and its tolerations.
//!
//! With `runtimeClassName: r` and a class of `overhead.podFixed: {cpu: 50m}` the pod gets
//! `spec.overhead: {cpu: 50m}`; a pod may not name another overhead.

use super::{Plugin, push};
use crate::review::{Cluster, Review};
use api::resources::amounts as list;
use api::{Status, Value, quote};
use futures::future::BoxFuture;

pub struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn handles(&self, review: &Review<'_>) -> bool {
        let concerns = |pod: &Value| {
            pod.at(&["spec", "runtimeClassName"]).is_some() || pod.at(&["spec", "overhead"]).is_some()
        };
        review.creates("", "pods") && review.object.as_deref().is_some_and(concerns)
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(class) = class(review, reader).await? else { return Ok(()) };
            let Some(pod) = review.object.as_deref_mut() else { return Ok(()) };
            let settled = settle_overhead(pod, &class).and_then(|()| settle_scheduling(pod, &class));
            settled.map_err(|why| review.forbidden(&why))
        })
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let class = class(review, reader).await?;
            let Some(pod) = review.object.as_deref() else { return Ok(()) };
            match class.as_ref().filter(|class| class.get("overhead").is_some()) {
                Some(class) if differs(pod, class) => Err(review.forbidden(MISMATCH)),
                None if pod.at(&["spec", "overhead"]).is_some() => Err(review.forbidden(
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )),
                _ => Ok(()),
            }
        })
    }
}

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

async fn class(review: &Review<'_>, reader: &dyn Cluster) -> Result<Option<Value>, Status> {
    let name = review
        .object
        .as_deref()
        .and_then(|pod| pod.at(&["spec", "runtimeClassName"]))
        .and_then(Value::as_str);
    let Some(name) = name else { return Ok(None) };
    match super::find(reader, "node.k8s.io", "runtimeclasses", "", name).await {
        Some(class) => Ok(Some(class)),
        None => Err(review.forbidden(&format!("pod rejected: RuntimeClass {} not found", quote(name)))),
    }
}

fn differs(pod: &Value, class: &Value) -> bool {
    list(pod.at(&["spec", "overhead"])) != list(class.at(&["overhead", "podFixed"]))
}

fn settle_overhead(pod: &mut Value, class: &Value) -> Result<(), String> {
    if class.get("overhead").is_none() {
        return Ok(());
    }
    if !list(pod.at(&["spec", "overhead"])).is_empty() && differs(pod, class) {
        return Err(MISMATCH.to_owned());
    }
    if let Some(fixed) = class.at(&["overhead", "podFixed"]) {
        pod.set(&["spec", "overhead"], fixed.clone());
    }
    Ok(())
}

fn settle_scheduling(pod: &mut Value, class: &Value) -> Result<(), String> {
    let Some(scheduling) = class.get("scheduling").filter(|s| !s.is_null()) else { return Ok(()) };
    for (key, value) in scheduling.map_at(&["nodeSelector"]).into_iter().flat_map(|map| map.iter()) {
        let wanted = value.as_str().unwrap_or_default();
        let given = pod.at(&["spec", "nodeSelector", key]).and_then(Value::as_str);
        if let Some(given) = given.filter(|given| *given != wanted) {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            ));
        }
        pod.make_map(&["spec", "nodeSelector"]).insert(key.clone(), wanted);
    }
    for toleration in scheduling.list_at(&["tolerations"]) {
        if !pod.list_at(&["spec", "tolerations"]).contains(toleration) {
            push(pod, &["spec"], "tolerations", toleration.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn a_pod_has_what_its_class_says() {
        let class = tree!({
            "metadata": {"name": "r"}, "overhead": {"podFixed": {"cpu": "50m"}},
            "scheduling": {"nodeSelector": {"k": "v"}, "tolerations": [{"key": "rc", "operator": "Exists"}]}
        });
        let cluster = Cluster::new().with("node.k8s.io", "runtimeclasses", class);
        let run = |spec: Value| {
            admit(&RuntimeClass, &cluster, "pods", tree!({"metadata": {"name": "p"}, "spec": spec}))
        };
        let pod = run(tree!({"runtimeClassName": "r"})).await.unwrap();
        assert_eq!(pod.str_at(&["spec", "overhead", "cpu"]), "50m");
        assert_eq!(pod.str_at(&["spec", "nodeSelector", "k"]), "v");
        assert!(run(tree!({"runtimeClassName": "r", "overhead": {"cpu": "0.05"}})).await.is_ok());
        let refused = [
            (tree!({"runtimeClassName": "r", "overhead": {"cpu": "1"}}), "doesn't match"),
            (tree!({"overhead": {"cpu": "1"}}), "without corresponding RuntimeClass"),
            (tree!({"runtimeClassName": "x"}), "RuntimeClass \"x\" not found"),
            (tree!({"runtimeClassName": "r", "nodeSelector": {"k": "w"}}), "pod.spec.nodeSelector[k] = w"),
        ];
        for (spec, why) in refused {
            assert!(run(spec).await.unwrap_err().message.contains(why), "{why}");
        }
    }
}
