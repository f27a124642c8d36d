//! What pods, services and claims use of a quota. Pure.

use api::{Quantity, Value};
use std::collections::BTreeMap;

/// Amounts by the names that a quota knows them under.
pub type Amounts = BTreeMap<String, Quantity>;

fn whole(count: i64) -> Quantity {
    Quantity::new(count, api::quantity::Format::DecimalSI)
}

pub fn add(total: &mut Amounts, name: &str, amount: &Quantity) {
    match total.get_mut(name) {
        Some(sum) => sum.add(amount),
        None => drop(total.insert(name.to_owned(), amount.clone())),
    }
}

pub fn add_count(total: &mut Amounts, name: &str, count: i64) {
    add(total, name, &whole(count));
}

/// Amounts of a list such as `resources.requests`.
fn amounts(list: Option<&Value>) -> Amounts {
    let entries = list.and_then(Value::as_map).into_iter().flat_map(api::Map::iter);
    entries.filter_map(|(name, v)| Some((name.to_string(), Quantity::parse(v.as_str()?).ok()?))).collect()
}

fn bigger(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let grow = total.get(name).is_none_or(|old| old.milli() < amount.milli());
        if grow {
            total.insert(name.clone(), amount.clone());
        }
    }
}

/// What a pod asks for, or is limited to: the sum of its containers, or the biggest step of its start.
fn of_pod(pod: &Value, field: &str) -> Amounts {
    let own = |c: &Value| amounts(c.at(&["resources", field]));
    let mut sum = Amounts::new();
    for container in pod.list_at(&["spec", "containers"]) {
        own(container).iter().for_each(|(name, amount)| add(&mut sum, name, amount));
    }
    let (mut start, mut sidecars) = (Amounts::new(), Amounts::new());
    for container in pod.list_at(&["spec", "initContainers"]) {
        let mut step = own(container);
        if container.str_at(&["restartPolicy"]) == "Always" {
            step.iter().for_each(|(name, amount)| add(&mut sum, name, amount));
            step.iter().for_each(|(name, amount)| add(&mut sidecars, name, amount));
            step.clone_from(&sidecars);
        } else {
            sidecars.iter().for_each(|(name, amount)| add(&mut step, name, amount));
        }
        bigger(&mut start, &step);
    }
    bigger(&mut sum, &start);
    for (name, amount) in amounts(pod.at(&["spec", "overhead"])) {
        if field == "requests" || sum.contains_key(&name) {
            add(&mut sum, &name, &amount);
        }
    }
    sum
}

/// A pod, unless it is finished.
pub fn pod(pod: &Value) -> Amounts {
    let mut total = Amounts::new();
    add_count(&mut total, "count/pods", 1);
    if crate::pods::is_finished(pod) {
        return total;
    }
    add_count(&mut total, "pods", 1);
    for (name, amount) in of_pod(pod, "requests") {
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                add(&mut total, &name, &amount);
                add(&mut total, &format!("requests.{name}"), &amount);
            }
            huge if huge.starts_with("hugepages-") => {
                add(&mut total, huge, &amount);
                add(&mut total, &format!("requests.{huge}"), &amount);
            }
            extended => add(&mut total, &format!("requests.{extended}"), &amount),
        }
    }
    for (name, amount) in of_pod(pod, "limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            add(&mut total, &format!("limits.{name}"), &amount);
        }
    }
    total
}

pub fn service(service: &Value) -> Amounts {
    let ports = service.list_at(&["spec", "ports"]);
    let explicit = || ports.iter().filter(|p| p.i64_at(&["nodePort"]).unwrap_or(0) != 0).count();
    let refuses = service.at(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    let (node_ports, balancers) = match service.str_at(&["spec", "type"]) {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if refuses => (explicit(), 1),
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    let mut total = Amounts::new();
    for name in ["count/services", "services"] {
        add_count(&mut total, name, 1);
    }
    add_count(&mut total, "services.nodeports", i64::try_from(node_ports).unwrap_or(i64::MAX));
    add_count(&mut total, "services.loadbalancers", balancers);
    total
}

pub fn claim(claim: &Value) -> Amounts {
    let mut total = Amounts::new();
    let class = claim.str_at(&["spec", "storageClassName"]);
    let of_class = |name: &str| format!("{class}.storageclass.storage.k8s.io/{name}");
    for name in ["count/persistentvolumeclaims", "persistentvolumeclaims"] {
        add_count(&mut total, name, 1);
    }
    if !class.is_empty() {
        add_count(&mut total, &of_class("persistentvolumeclaims"), 1);
    }
    if let Some(size) = amounts(claim.at(&["spec", "resources", "requests"])).get("storage") {
        add(&mut total, "requests.storage", size);
        if !class.is_empty() {
            add(&mut total, &of_class("requests.storage"), size);
        }
    }
    total
}

/// True when a pod is what a quota with these scopes counts.
pub fn is_in_scope(quota: &Value, pod: &Value) -> bool {
    let scopes = quota.list_at(&["spec", "scopes"]).iter().filter_map(Value::as_str);
    let all = scopes.into_iter().all(|scope| has_scope(pod, scope));
    let expressions = quota.list_at(&["spec", "scopeSelector", "matchExpressions"]);
    all && expressions.iter().all(|expression| {
        let scope = expression.str_at(&["scopeName"]);
        let class = pod.str_at(&["spec", "priorityClassName"]);
        let listed = expression.list_at(&["values"]).iter().any(|v| v.as_str() == Some(class));
        match (scope, expression.str_at(&["operator"])) {
            ("PriorityClass", "In") => listed,
            ("PriorityClass", "NotIn") => !listed,
            ("PriorityClass", "DoesNotExist") => class.is_empty(),
            (scope, _) => has_scope(pod, scope),
        }
    })
}

fn has_scope(pod: &Value, scope: &str) -> bool {
    let terminating = pod.i64_at(&["spec", "activeDeadlineSeconds"]).is_some_and(|s| s >= 0);
    let best_effort = of_pod(pod, "requests").is_empty() && of_pod(pod, "limits").is_empty();
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => !pod.str_at(&["spec", "priorityClassName"]).is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_pod_uses_the_sum_of_its_containers_or_its_biggest_first_step() {
        let of = |cpu: &str| tree!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "2"}}});
        let mut subject =
            tree!({"spec": {"containers": [of("100m"), of("200m")], "initContainers": [of("1")]}});
        let used = pod(&subject);
        assert_eq!(used["requests.cpu"].to_string(), "1");
        assert_eq!(used["cpu"].to_string(), "1");
        assert_eq!(used["limits.cpu"].to_string(), "4");
        assert_eq!(used["pods"].to_string(), "1");
        subject.set(&["status", "phase"], "Succeeded");
        assert!(!pod(&subject).contains_key("pods"));
    }

    #[test]
    fn scopes_choose_pods() {
        let quota = tree!({"spec": {"scopes": ["BestEffort", "NotTerminating"]}});
        assert!(is_in_scope(&quota, &Value::map()));
        assert!(!is_in_scope(&quota, &tree!({"spec": {"activeDeadlineSeconds": 5}})));
    }

    #[test]
    fn services_use_node_ports_and_claims_use_storage() {
        let ports = tree!([{"port": 1}, {"port": 2}]);
        let used = service(&tree!({"spec": {"type": "NodePort", "ports": ports}}));
        assert_eq!(used["services.nodeports"].to_string(), "2");
        let used = claim(
            &tree!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}}),
        );
        assert_eq!(used["fast.storageclass.storage.k8s.io/requests.storage"].to_string(), "1Gi");
    }
}
