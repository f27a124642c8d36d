//! What a pod asks for as a whole: containers add up, init containers count one after another beside the sidecars that
//! started before them. Source: component-helpers' `resource/helpers.go`.

use api::Value;
use kinds::core::pod_spec::is_sidecar;

/// Amounts by resource; those of a `ResourceList`.
pub use kinds::core::pod_spec::{amounts as list, resources::Amounts};

/// Adds amounts to others.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(present) => present.add(amount),
            None => {
                sum.insert(name.clone(), amount.clone());
            }
        }
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if most.get(name).is_none_or(|present| present < amount) {
            most.insert(name.clone(), amount.clone());
        }
    }
}

/// The sum of `requests` or `limits` of a pod, without its overhead.
pub fn of_pod(pod: &Value, field: &str) -> Amounts {
    let of = |container: &Value| list(container.at(&["resources", field]));
    let mut sum = Amounts::new();
    for container in pod.list_at(&["spec", "containers"]) {
        add(&mut sum, &of(container));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in pod.list_at(&["spec", "initContainers"]) {
        let own = of(container);
        if is_sidecar(container) {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut most, &sidecars);
        } else {
            let mut together = own;
            add(&mut together, &sidecars);
            raise(&mut most, &together);
        }
    }
    raise(&mut sum, &most);
    for (name, amount) in list(pod.at(&["spec", "resources", field])) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") && field == "requests"
        {
            sum.insert(name, amount);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

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
        assert_eq!(of_pod(&pod, "requests")["cpu"].to_string(), "3100m");
        assert!(of_pod(&pod, "limits").is_empty());
    }
}
