//! What a pod asks for as a whole: containers add up, init containers count one after another beside the sidecars that
//! started before them; resources of the pod itself go before those of its containers.

use super::{Amounts, amounts, is_pod_level};
use crate::Value;

/// Adds amounts to others.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(slot) => slot.add(amount),
            None => drop(sum.insert(name.clone(), amount.clone())),
        }
    }
}

fn raise(most: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        if most.get(&name).is_none_or(|have| amount > *have) {
            most.insert(name, amount);
        }
    }
}

/// True for init containers that go on running.
pub fn is_sidecar(container: &Value) -> bool {
    container.str_at(&["restartPolicy"]) == "Always"
}

/// What a pod needs at most at any time of what its spec says. `field` is `requests` or `limits`.
pub fn sum_over_containers(spec: &Value, field: &str) -> Amounts {
    sum(spec, |container| amounts(container.at(&["resources", field])))
}

fn sum(spec: &Value, own: impl Fn(&Value) -> Amounts) -> Amounts {
    let mut sum = Amounts::new();
    for container in spec.list_at(&["containers"]) {
        add(&mut sum, &own(container));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.list_at(&["initContainers"]) {
        let mut own = own(container);
        if is_sidecar(container) {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, sidecars.clone());
        } else {
            add(&mut own, &sidecars);
            raise(&mut starting, own);
        }
    }
    raise(&mut sum, starting);
    sum
}

/// The requests of a pod, without its overhead. With `by_status`, what its containers have got counts as well.
pub fn requests(pod: &Value, by_status: bool) -> Amounts {
    of_pod(pod, "requests", by_status)
}

/// The limits of a pod, without its overhead. With `by_status`, what it and its containers have got counts as well.
pub fn limits(pod: &Value, by_status: bool) -> Amounts {
    of_pod(pod, "limits", by_status)
}

fn of_pod(pod: &Value, field: &str, by_status: bool) -> Amounts {
    let empty = Value::map();
    let spec = pod.get("spec").unwrap_or(&empty);
    let mut total =
        if by_status { sum(spec, |c| effective(pod, c, field)) } else { sum_over_containers(spec, field) };
    let mut own = amounts(spec.at(&["resources", field]));
    own.retain(|name, _| is_pod_level(name));
    if let Some(status) = pod.get("status").filter(|status| by_status && tells_resources(status)) {
        let most = most(pod, status, field, own.clone());
        own = most.into_iter().filter(|(name, _)| own.contains_key(name)).collect();
    }
    total.extend(own);
    total
}

/// The most that a container may have while it is resized; init containers that end are not.
fn effective(pod: &Value, container: &Value, field: &str) -> Amounts {
    let wanted = amounts(container.at(&["resources", field]));
    let name = container.str_at(&["name"]);
    let of_name =
        |list: &str| pod.list_at(&["status", list]).iter().find(|status| status.str_at(&["name"]) == name);
    let sidecar = || of_name("initContainerStatuses").filter(|_| is_sidecar(container));
    let status = of_name("containerStatuses").or_else(sidecar);
    match status.filter(|status| tells_resources(status)) {
        Some(status) => most(pod, status, field, wanted),
        None => wanted,
    }
}

/// Whether the status of a container, or of a pod, tells what it has got.
fn tells_resources(status: &Value) -> bool {
    status.get("resources").is_some_and(|resources| !resources.is_null())
}

/// The most of what is wanted, allotted and there.
fn most(pod: &Value, status: &Value, field: &str, wanted: Amounts) -> Amounts {
    let mut most = amounts(status.at(&["resources", field]));
    if field == "requests" {
        raise(&mut most, amounts(status.get("allocatedResources")));
    }
    if !is_infeasible(pod) {
        raise(&mut most, wanted);
    }
    most
}

/// A resize that the node will never do.
fn is_infeasible(pod: &Value) -> bool {
    let conditions = pod.list_at(&["status", "conditions"]);
    let pending = conditions.iter().find(|c| c.str_at(&["type"]) == "PodResizePending");
    pending.is_some_and(|condition| condition.str_at(&["reason"]) == "Infeasible")
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(spec: &Value) -> &'static str {
    let (mut requests, mut limits, mut guaranteed) = (Amounts::new(), Amounts::new(), true);
    let mut count = |holder: &Value, counts_without_limits: bool| {
        add(&mut requests, &computing(holder.at(&["resources", "requests"])));
        let own = computing(holder.at(&["resources", "limits"]));
        guaranteed &= own.len() == 2 || !counts_without_limits;
        add(&mut limits, &own);
    };
    if spec.get("resources").is_some_and(|r| !r.is_null()) {
        let has_limits = spec.map_at(&["resources", "limits"]).is_some_and(|m| !m.is_empty());
        count(spec, has_limits);
    } else {
        for list in ["containers", "initContainers"] {
            spec.list_at(&[list]).iter().for_each(|container| count(container, true));
        }
    }
    match () {
        () if requests.is_empty() && limits.is_empty() => "BestEffort",
        () if guaranteed && requests == limits => "Guaranteed",
        () => "Burstable",
    }
}

/// The amounts of cpu and memory above zero.
fn computing(list: Option<&Value>) -> Amounts {
    let mut amounts = amounts(list);
    amounts.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && amount.sign() > 0);
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn init_containers_count_one_by_one_beside_sidecars() {
        let cpu = |amount: &str| tree!({"requests": {"cpu": amount}});
        let pod = tree!({"spec": {
            "containers": [{"resources": cpu("1")}, {"resources": cpu("500m")}],
            "initContainers": [
                {"resources": cpu("2")},
                {"resources": cpu("100m"), "restartPolicy": "Always"},
                {"resources": cpu("3")}
            ]
        }});
        assert_eq!(requests(&pod, false)["cpu"].to_string(), "3100m");
        assert!(limits(&pod, false).is_empty());
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let class =
            |resources: Value| qos_class(&tree!({"containers": [{"name": "c", "resources": resources}]}));
        assert_eq!(class(tree!({})), "BestEffort");
        assert_eq!(class(tree!({"requests": {"cpu": "1"}})), "Burstable");
        let full = tree!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            class(tree!({"limits": full.clone(), "requests": {"cpu": "1000m", "memory": "1024Mi"}})),
            "Guaranteed"
        );
        assert_eq!(
            qos_class(&tree!({"resources": {"limits": full.clone(), "requests": full}})),
            "Guaranteed"
        );
    }

    #[test]
    fn sidecars_run_along_with_the_rest() {
        let spec = tree!({
            "containers": [{"resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [
                {"resources": {"requests": {"cpu": "3"}}},
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                {"resources": {"requests": {"cpu": "3"}}}
            ]
        });
        assert_eq!(sum_over_containers(&spec, "requests")["cpu"].to_string(), "4");
    }

    #[test]
    fn a_pod_in_resize_counts_with_the_most_of_wanted_and_given() {
        let mut pod = tree!({
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]},
            "status": {"containerStatuses": [{
                "name": "c", "allocatedResources": {"cpu": "3"},
                "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}
            }]}
        });
        let of = |pod: &Value| (requests(pod, true)["cpu"].value(), limits(pod, true)["cpu"].value());
        assert_eq!(of(&pod), (3, 4));
        pod.set(
            &["spec", "containers"],
            tree!([{"name": "c", "resources": {"requests": {"cpu": "8"}, "limits": {"cpu": "9"}}}]),
        );
        assert_eq!(of(&pod), (8, 9));
        pod.set(&["status", "conditions"], tree!([{"type": "PodResizePending", "reason": "Infeasible"}]));
        assert_eq!(of(&pod), (3, 4));
        assert_eq!(requests(&pod, false)["cpu"].value(), 8);
    }

    #[test]
    fn resources_of_the_pod_go_before_those_of_its_containers() {
        let pod = tree!({"spec": {
            "resources": {"limits": {"cpu": "2", "hugepages-2Mi": "4Mi", "example.com/x": "1"}},
            "containers": [{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]
        }});
        let limits = limits(&pod, false);
        let names: Vec<&str> = limits.keys().map(String::as_str).collect();
        assert_eq!(names, ["cpu", "hugepages-2Mi", "memory"]);
        assert_eq!(limits["cpu"].value(), 2);
    }

    #[test]
    fn what_a_pod_itself_has_got_counts_while_it_is_resized() {
        let mut pod = tree!({
            "spec": {"containers": [], "resources": {"requests": {"cpu": "1", "memory": "3Gi"}, "limits": {"cpu": "2"}}},
            "status": {
                "allocatedResources": {"cpu": "2", "memory": "2Gi"},
                "resources": {"requests": {"cpu": "1500m", "memory": "2Gi"}, "limits": {"cpu": "3"}}
            }
        });
        let told = |pod: &Value, by_status| {
            let (requests, limits) = (requests(pod, by_status), limits(pod, by_status));
            [&requests["cpu"], &requests["memory"], &limits["cpu"]].map(ToString::to_string)
        };
        assert_eq!(told(&pod, false), ["1", "3Gi", "2"]);
        assert_eq!(told(&pod, true), ["2", "3Gi", "3"]);
        pod.set(&["status", "conditions"], tree!([{"type": "PodResizePending", "reason": "Infeasible"}]));
        assert_eq!(told(&pod, true), ["2", "2Gi", "3"]);
    }
}
