//! LimitRanger: containers get the default requests and limits of the namespace's LimitRanges; containers, pods and
//! claims stay within their minimum, maximum and ratio.
//!
//! A container without resources, in a namespace with `default: {cpu: 500m}`, gets `limits: {cpu: 500m}` and the pod
//! the annotation `kubernetes.io/limit-ranger: LimitRanger plugin set: cpu request for container c; cpu limit …`.

use super::Plugin;
use crate::review::{Cluster, Operation, Review};
use api::resources::{Amounts, amounts as list, limits as limits_of, requests as requests_of};
use api::{Quantity, Status, Value};
use futures::future::BoxFuture;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The greatest value whose thousandths fit 64 bits.
const MAX_MILLI_VALUE: i64 = i64::MAX / 1000;

pub struct LimitRanger;

impl Plugin for LimitRanger {
    fn handles(&self, review: &Review<'_>) -> bool {
        let resize = review.subresource == "resize" && review.operation == Operation::Update;
        let pods = review.group().is_empty() && review.resource() == "pods";
        let deleting = |old: &Value| old.at(&["metadata", "deletionTimestamp"]).is_some();
        (review.creates("", "pods") || review.writes("", "persistentvolumeclaims") || (pods && resize))
            && !review.old.is_some_and(deleting)
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if review.resource() != "pods" {
                return Ok(());
            }
            for range in reader.list("", "limitranges", review.namespace).await {
                if let Some(pod) = review.object.as_deref_mut() {
                    fill(pod, &range);
                }
            }
            Ok(())
        })
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            for range in reader.list("", "limitranges", review.namespace).await {
                let Some(object) = review.object.as_deref() else { continue };
                let mut faults = if review.resource() == "pods" {
                    pod_faults(object, &range)
                } else {
                    claim_faults(object, &range)
                };
                let mut seen = Vec::new();
                faults.retain(|fault| {
                    !seen.contains(fault) && {
                        seen.push(fault.clone());
                        true
                    }
                });
                match faults.as_slice() {
                    [] => {}
                    [one] => return Err(review.forbidden(one)),
                    _ => return Err(review.forbidden(&format!("[{}]", faults.join(", ")))),
                }
            }
            Ok(())
        })
    }
}

/// The limits of one type in a range.
fn limits<'a>(range: &'a Value, ty: &'a str) -> impl Iterator<Item = &'a Value> {
    range.list_at(&["spec", "limits"]).iter().filter(move |limit| limit.str_at(&["type"]) == ty)
}

fn fill(pod: &mut Value, range: &Value) {
    let (mut requests, mut maxima) = (Amounts::new(), Amounts::new());
    for limit in limits(range, "Container") {
        requests.extend(list(limit.get("defaultRequest")));
        maxima.extend(list(limit.get("default")));
    }
    let mut told = Vec::new();
    for (field, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.at_mut(&["spec", field]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            let name = container.str_at(&["name"]).to_owned();
            let set = (fill_one(container, "limits", &maxima), fill_one(container, "requests", &requests));
            for (names, kind) in [(set.1, "request"), (set.0, "limit")] {
                if !names.is_empty() {
                    told.push(format!("{} {kind} for {what} {name}", names.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        pod.set(&["metadata", "annotations", ANNOTATION], text);
    }
}

/// Sets what is missing; gives the names.
fn fill_one(container: &mut Value, field: &str, defaults: &Amounts) -> Vec<String> {
    let given = list(container.at(&["resources", field]));
    let missing: Vec<(&String, &Quantity)> =
        defaults.iter().filter(|(name, _)| !given.contains_key(*name)).collect();
    for (name, amount) in &missing {
        container.set(&["resources", field, name], amount.to_string());
    }
    missing.into_iter().map(|(name, _)| name.clone()).collect()
}

/// What is asked for, compared with a bound: at a common precision.
struct Asked<'a> {
    /// `Container`, `Pod`, …
    ty: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

/// Values at a common precision: thousandths where all of them fit.
fn comparable(amounts: [Option<&Quantity>; 3]) -> [i64; 3] {
    let whole = amounts.map(|amount| amount.map_or(0, Quantity::value));
    if whole.iter().any(|value| *value > MAX_MILLI_VALUE) {
        return whole;
    }
    amounts.map(|amount| amount.map_or(0, Quantity::milli))
}

impl Asked<'_> {
    fn faults(&self, limit: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(list(limit.get("min")).iter().filter_map(|(name, bound)| self.min(name, bound)));
        faults.extend(list(limit.get("max")).iter().filter_map(|(name, bound)| self.max(name, bound)));
        let ratios = list(limit.get("maxLimitRequestRatio"));
        faults.extend(ratios.iter().filter_map(|(name, bound)| self.ratio(name, bound)));
        faults
    }

    fn min(&self, name: &str, bound: &Quantity) -> Option<String> {
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        let [asked, most, least] = comparable([request, limit, Some(bound)]);
        let text = format!("minimum {name} usage per {} is {bound}", self.ty);
        match (request, limit) {
            (None, _) => Some(format!("{text}.  No request is specified")),
            (Some(request), _) if asked < least => Some(format!("{text}, but request is {request}")),
            (_, Some(limit)) if most < least => Some(format!("{text}, but limit is {limit}")),
            _ => None,
        }
    }

    fn max(&self, name: &str, bound: &Quantity) -> Option<String> {
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        let [asked, used, most] = comparable([request, limit, Some(bound)]);
        let text = format!("maximum {name} usage per {} is {bound}", self.ty);
        match (limit, request) {
            (None, _) => Some(format!("{text}.  No limit is specified")),
            (Some(limit), _) if used > most => Some(format!("{text}, but limit is {limit}")),
            (_, Some(request)) if asked > most => Some(format!("{text}, but request is {request}")),
            _ => None,
        }
    }

    /// Claims only request.
    fn max_request(&self, name: &str, bound: &Quantity) -> Option<String> {
        let request = self.requests.get(name);
        let [asked, _, most] = comparable([request, None, Some(bound)]);
        let text = format!("maximum {name} usage per {} is {bound}", self.ty);
        match request {
            None => Some(format!("{text}.  No request is specified")),
            Some(request) if asked > most => Some(format!("{text}, but request is {request}")),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss)] // upstream compares floats, too
    fn ratio(&self, name: &str, bound: &Quantity) -> Option<String> {
        let [asked, most, _] = comparable([self.requests.get(name), self.limits.get(name), Some(bound)]);
        let text = format!("{name} max limit to request ratio per {} is {bound}", self.ty);
        if asked == 0 {
            return Some(format!("{text}, but no request is specified or request is 0"));
        }
        if most == 0 {
            return Some(format!("{text}, but no limit is specified or limit is 0"));
        }
        let ratio = most as f64 / asked as f64;
        let too_high = match bound.value() <= MAX_MILLI_VALUE {
            true => ratio * 1000.0 > bound.milli() as f64,
            false => ratio > bound.value() as f64,
        };
        too_high.then(|| format!("{text}, but provided ratio is {ratio:.6}"))
    }
}

fn pod_faults(pod: &Value, range: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for limit in range.list_at(&["spec", "limits"]) {
        match limit.str_at(&["type"]) {
            "Container" => {
                let lists = ["containers", "initContainers"];
                for container in lists.iter().flat_map(|field| pod.list_at(&["spec", field])) {
                    let requests = list(container.at(&["resources", "requests"]));
                    let limits = list(container.at(&["resources", "limits"]));
                    faults.extend(
                        Asked { ty: "Container", requests: &requests, limits: &limits }.faults(limit),
                    );
                }
            }
            "Pod" => {
                let (requests, limits) = (requests_of(pod, false), limits_of(pod, false));
                faults.extend(Asked { ty: "Pod", requests: &requests, limits: &limits }.faults(limit));
            }
            _ => {}
        }
    }
    faults
}

fn claim_faults(claim: &Value, range: &Value) -> Vec<String> {
    const TYPE: &str = "PersistentVolumeClaim";
    let requests = list(claim.at(&["spec", "resources", "requests"]));
    let asked = Asked { ty: TYPE, requests: &requests, limits: &Amounts::new() };
    let mut faults = Vec::new();
    for limit in limits(range, TYPE) {
        faults.extend(list(limit.get("min")).iter().filter_map(|(name, bound)| asked.min(name, bound)));
        faults
            .extend(list(limit.get("max")).iter().filter_map(|(name, bound)| asked.max_request(name, bound)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit};
    use super::*;
    use api::tree;

    fn cluster() -> Cluster {
        let range = tree!({
            "metadata": {"name": "l", "namespace": "n"},
            "spec": {"limits": [
                {
                    "type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"},
                    "max": {"cpu": "1"}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "6"}
                },
                {"type": "Pod", "max": {"cpu": "1500m"}},
                {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "10Gi"}}
            ]}
        });
        Cluster::new().with("", "limitranges", range)
    }

    fn pod(resources: Value) -> Value {
        tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[tokio::test]
    async fn what_a_container_leaves_out_is_set_and_told() {
        let pod = admit(&LimitRanger, &cluster(), "pods", pod(tree!({}))).await.unwrap();
        let container = &pod.list_at(&["spec", "containers"])[0];
        assert_eq!(
            container.get("resources"),
            Some(&tree!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}))
        );
        assert_eq!(
            pod.str_at(&["metadata", "annotations", ANNOTATION]),
            "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
        );
    }

    #[tokio::test]
    async fn bounds_are_told_in_upstreams_words() {
        let asked = pod(tree!({"requests": {"cpu": "10m"}, "limits": {"cpu": "3"}}));
        let status = admit(&LimitRanger, &cluster(), "pods", asked).await.unwrap_err();
        assert_eq!(
            status.message,
            "pods \"p\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 1, but limit is 3, cpu max limit to request ratio per Container is 6, but provided ratio is 300.000000, maximum cpu usage per Pod is 1500m, but limit is 3]"
        );
        let claim =
            tree!({"metadata": {"name": "s"}, "spec": {"resources": {"requests": {"storage": "100Mi"}}}});
        let status = admit(&LimitRanger, &cluster(), "persistentvolumeclaims", claim).await.unwrap_err();
        assert!(
            status
                .message
                .ends_with("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 100Mi")
        );
    }
}
