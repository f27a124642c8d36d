//! AlwaysPullImages: every image is pulled anew, so that only who may pull it runs it.
//!
//! `imagePullPolicy: IfNotPresent` of a container, or `image.pullPolicy` of a volume, becomes `Always`; updates that
//! bring no new image are left alone.

use super::Plugin;
use crate::configuration::join;
use crate::review::{Cluster, Review};
use api::{Fault, Path, Status, Value};
use futures::future::BoxFuture;
use kinds::core::pod_spec::{CONTAINER_LISTS, each_container};

const ALWAYS: &str = "Always";

pub struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn handles(&self, review: &Review<'_>) -> bool {
        let Some(pod) = review.object.as_deref().filter(|_| review.writes("", "pods")) else { return false };
        review.old.is_none_or(|old| has_new_image(pod, old))
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let pod = review.object.as_deref_mut();
        pod.into_iter().for_each(pull_always);
        Box::pin(std::future::ready(Ok(())))
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let faults = review.object.as_deref().map(faults).unwrap_or_default();
        let texts: Vec<String> =
            faults.iter().map(|fault| review.forbidden(&fault.to_string()).message).collect();
        let outcome = if texts.is_empty() { Ok(()) } else { Err(Status::unclassified(join(&texts))) };
        Box::pin(std::future::ready(outcome))
    }
}

fn images(pod: &Value) -> impl Iterator<Item = &str> {
    CONTAINER_LISTS
        .into_iter()
        .flat_map(|list| pod.list_at(&["spec", list]))
        .map(|container| container.str_at(&["image"]))
}

fn has_new_image(pod: &Value, old: &Value) -> bool {
    images(pod).any(|image| images(old).all(|known| known != image))
}

fn pull_always(pod: &mut Value) {
    for list in CONTAINER_LISTS {
        for container in pod.at_mut(&["spec", list]).and_then(Value::as_list_mut).into_iter().flatten() {
            container.set(&["imagePullPolicy"], ALWAYS);
        }
    }
    for volume in pod.at_mut(&["spec", "volumes"]).and_then(Value::as_list_mut).into_iter().flatten() {
        if volume.get("image").is_some_and(|image| !image.is_null()) {
            volume.set(&["image", "pullPolicy"], ALWAYS);
        }
    }
}

/// What some other plugin has changed back.
fn faults(pod: &Value) -> Vec<Fault> {
    let (at, empty) = (Path::new("spec"), Value::map());
    let spec = pod.get("spec").unwrap_or(&empty);
    let other = |policy: &str| policy != ALWAYS;
    let mut faults: Vec<Fault> = each_container(spec, &at)
        .map(|(at, container)| (at.child("imagePullPolicy"), container.str_at(&["imagePullPolicy"])))
        .filter(|(_, policy)| other(policy))
        .map(|(at, policy)| Fault::not_supported(at, policy, &[ALWAYS]))
        .collect();
    for (i, volume) in spec.list_at(&["volumes"]).iter().enumerate() {
        let policy = volume.str_at(&["image", "pullPolicy"]);
        if volume.get("image").is_some() && other(policy) {
            let at = at.child("volumes").index(i).child("image").child("pullPolicy");
            faults.push(Fault::not_supported(at, policy, &[ALWAYS]));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit, run};
    use super::*;
    use api::tree;

    #[tokio::test]
    async fn images_are_pulled_always() {
        let pod = tree!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "c", "image": "x", "imagePullPolicy": "Never"}],
            "volumes": [{"name": "i", "image": {"reference": "y"}}, {"name": "e", "emptyDir": {}}]
        }});
        let pod = admit(&AlwaysPullImages, &Cluster::new(), "pods", pod).await.unwrap();
        assert_eq!(pod.list_at(&["spec", "containers"])[0].str_at(&["imagePullPolicy"]), ALWAYS);
        assert_eq!(pod.list_at(&["spec", "volumes"])[0].str_at(&["image", "pullPolicy"]), ALWAYS);
        assert!(pod.list_at(&["spec", "volumes"])[1].get("image").is_none());
    }

    #[tokio::test]
    async fn updates_without_new_images_are_left_alone() {
        let of = |image: &str| tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image, "imagePullPolicy": "Never"}]}});
        let old = of("x");
        for (image, policy) in [("x", "Never"), ("y", ALWAYS)] {
            let cluster = Cluster::new();
            let pod = run(&AlwaysPullImages, &cluster, ("", "pods"), of(image), Some(&old)).await.unwrap();
            assert_eq!(pod.list_at(&["spec", "containers"])[0].str_at(&["imagePullPolicy"]), policy);
        }
    }

    #[test]
    fn what_is_changed_back_is_told() {
        let pod = tree!({"spec": {"initContainers": [{"imagePullPolicy": "Never"}]}});
        assert_eq!(
            faults(&pod)[0].to_string(),
            "spec.initContainers[0].imagePullPolicy: Unsupported value: \"Never\": supported values: \"Always\""
        );
    }
}
