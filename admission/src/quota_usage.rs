//! What one object uses of a quota, by the names under which quotas bound it: pods, services and claims are weighed,
//! everything else is counted. Pure. Source: upstream's `pkg/quota/v1/evaluator/core`.

use crate::pod_resources::{Amounts, add, list, of_pod};
use api::quantity::Format;
use api::{Quantity, Value};
use kinds::core::pod_spec::resources::{is_extended, is_huge_page, is_native};
use kinds::core::pod_spec::{qos_class, quantity};

const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Resources that had a name of their own before there was `count/`.
const COUNTED: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
/// What containers must name when a quota bounds it.
const REQUIRED: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// The name of the count of a resource.
pub fn count_name(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") }
}

fn whole(count: usize) -> Quantity {
    Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSI)
}

/// What an object uses.
pub fn usage(group: &str, resource: &str, object: &Value) -> Amounts {
    let mut used = Amounts::new();
    used.insert(count_name(group, resource), whole(1));
    match (group, resource) {
        ("", "pods") => add(&mut used, &pod(object)),
        ("", "services") => add(&mut used, &service(object)),
        ("", "persistentvolumeclaims") => add(&mut used, &claim(object)),
        ("", name) if COUNTED.contains(&name) => drop(used.insert(name.to_owned(), whole(1))),
        _ => {}
    }
    used
}

/// True when a quota's bound of this name is about the resource.
pub fn concerns(group: &str, resource: &str, name: &str) -> bool {
    if name == count_name(group, resource) {
        return true;
    }
    match (group, resource) {
        ("", "pods") => concerns_pods(name),
        ("", "services") => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => {
            let own = name.rsplit_once(BY_CLASS).map_or(name, |(_, own)| own);
            matches!(own, "persistentvolumeclaims" | "requests.storage")
        }
        ("", counted) => counted == name && COUNTED.contains(&counted),
        _ => false,
    }
}

fn concerns_pods(name: &str) -> bool {
    let bare = name.strip_prefix("requests.");
    REQUIRED.contains(&name)
        || matches!(
            name,
            "pods" | "ephemeral-storage" | "requests.ephemeral-storage" | "limits.ephemeral-storage"
        )
        || is_huge_page(bare.unwrap_or(name))
        || bare.is_some_and(|_| {
            !is_native(name) || name.starts_with("requests.deviceclass.resource.kubernetes.io/")
        })
}

/// Requests and limits under the names of quotas.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::from([("pods".to_owned(), whole(1))]);
    for (name, amount) in requests {
        let basic = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        if basic || is_huge_page(name) {
            used.insert(name.clone(), amount.clone());
        }
        if basic || is_huge_page(name) || is_extended(name) {
            used.insert(format!("requests.{name}"), amount.clone());
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), amount.clone());
        }
    }
    used
}

/// A pod that is over only counts as an object.
fn pod(pod: &Value) -> Amounts {
    if matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed") {
        return Amounts::new();
    }
    let (mut requests, mut limits) = (of_pod(pod, "requests"), of_pod(pod, "limits"));
    let overhead = list(pod.at(&["spec", "overhead"]));
    add(&mut requests, &overhead);
    for (name, amount) in overhead {
        // A limit that is not there stays unlimited.
        if let Some(limit) = limits.get_mut(&name) {
            limit.add(&amount);
        }
    }
    compute(&requests, &limits)
}

fn service(service: &Value) -> Amounts {
    let ports = service.list_at(&["spec", "ports"]);
    let named = || ports.iter().filter(|p| p.i64_at(&["nodePort"]).unwrap_or(0) != 0).count();
    let refuses = service.at(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    let (node_ports, balancers) = match service.str_at(&["spec", "type"]) {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if refuses => (named(), 1),
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    let counts = [("services", 1), ("services.nodeports", node_ports), ("services.loadbalancers", balancers)];
    counts.into_iter().map(|(name, count)| (name.to_owned(), whole(count))).collect()
}

fn claim(claim: &Value) -> Amounts {
    let old_class = claim.str_at(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    let class = if old_class.is_empty() { claim.str_at(&["spec", "storageClassName"]) } else { old_class };
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), whole(1))]);
    let asked = claim.at(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    let given = claim.at(&["status", "allocatedResources", "storage"]).and_then(quantity);
    if let Some(asked) = asked {
        let size = given.filter(|given| *given > asked).unwrap_or(asked);
        used.insert("requests.storage".to_owned(), size);
    }
    if !class.is_empty() {
        let of_class: Amounts =
            used.iter().map(|(name, amount)| (format!("{class}{BY_CLASS}{name}"), amount.clone())).collect();
        add(&mut used, &of_class);
    }
    used
}

/// What containers of a pod leave out of what a quota bounds: `must specify limits.memory for: c; …`.
pub fn missing<'a>(pod: &Value, bounds: impl Iterator<Item = &'a str>) -> Option<String> {
    if pod.at(&["spec", "resources"]).is_some_and(|r| !r.is_empty()) {
        return None;
    }
    let mut required: Vec<&str> = bounds.filter(|name| REQUIRED.contains(name)).collect();
    required.sort_unstable();
    let containers: Vec<&Value> =
        ["containers", "initContainers"].iter().flat_map(|field| pod.list_at(&["spec", field])).collect();
    let mut texts = Vec::new();
    for name in required {
        let lacks = |container: &&&Value| {
            let of = |field: &str| list(container.at(&["resources", field]));
            !compute(&of("requests"), &of("limits")).contains_key(name)
        };
        let mut names: Vec<&str> = containers.iter().filter(lacks).map(|c| c.str_at(&["name"])).collect();
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() {
            texts.push(format!("{name} for: {}", names.join(",")));
        }
    }
    (!texts.is_empty()).then(|| format!("must specify {}", texts.join("; ")))
}

/// True when the scopes of a quota let an object in. Only pods have most of them, claims have one.
pub fn is_in_scope(quota: &Value, group: &str, resource: &str, object: &Value) -> bool {
    let plain = quota
        .list_at(&["spec", "scopes"])
        .iter()
        .filter_map(Value::as_str)
        .map(|scope| (scope, "Exists", &[][..]));
    let selected = quota.list_at(&["spec", "scopeSelector", "matchExpressions"]).iter();
    let selected =
        selected.map(|e| (e.str_at(&["scopeName"]), e.str_at(&["operator"]), e.list_at(&["values"])));
    plain.chain(selected).all(|(scope, operator, values)| match (group, resource) {
        ("", "pods") => pod_has_scope(object, scope, operator, values),
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => {
            matches_text(object.str_at(&["spec", "volumeAttributesClassName"]), operator, values)
        }
        _ => false,
    })
}

fn matches_text(text: &str, operator: &str, values: &[Value]) -> bool {
    let listed = values.iter().any(|value| value.as_str() == Some(text));
    match operator {
        "Exists" => !text.is_empty(),
        "DoesNotExist" => text.is_empty(),
        "In" => listed && !text.is_empty(),
        "NotIn" => !listed,
        _ => false,
    }
}

fn pod_has_scope(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let is_terminating = pod.i64_at(&["spec", "activeDeadlineSeconds"]).is_some_and(|secs| secs >= 0);
    let best_effort = || pod.get("spec").is_some_and(|spec| qos_class(spec) == "BestEffort");
    match scope {
        "Terminating" => is_terminating,
        "NotTerminating" => !is_terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => matches_text(pod.str_at(&["spec", "priorityClassName"]), operator, values),
        "CrossNamespacePodAffinity" => looks_across(pod),
        _ => false,
    }
}

/// Whether the pod's affinity names other namespaces.
fn looks_across(pod: &Value) -> bool {
    let across =
        |term: &Value| !term.list_at(&["namespaces"]).is_empty() || term.get("namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].iter().filter_map(|field| pod.at(&["spec", "affinity", field])).any(
        |affinity| {
            let weighted = affinity.list_at(&["preferredDuringSchedulingIgnoredDuringExecution"]).iter();
            affinity.list_at(&["requiredDuringSchedulingIgnoredDuringExecution"]).iter().any(across)
                || weighted.filter_map(|term| term.get("podAffinityTerm")).any(across)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn kinds_are_weighed_under_the_names_of_quotas() {
        let pod = tree!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}}}]}});
        let used = usage("", "pods", &pod);
        let names: Vec<&str> = used.keys().map(String::as_str).collect();
        assert_eq!(names, ["count/pods", "cpu", "pods", "requests.cpu", "requests.example.com/gpu"]);
        let over = tree!({"status": {"phase": "Failed"}, "spec": {}});
        assert_eq!(usage("", "pods", &over).len(), 1);
        let claim =
            tree!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
        let used = usage("", "persistentvolumeclaims", &claim);
        assert_eq!(used["fast.storageclass.storage.k8s.io/requests.storage"].to_string(), "1Gi");
        assert_eq!(
            usage("apps", "deployments", &Value::map()).into_keys().collect::<Vec<_>>(),
            ["count/deployments.apps"]
        );
        assert!(usage("", "secrets", &Value::map()).contains_key("secrets"));
    }

    #[test]
    fn bounds_concern_their_resource_alone() {
        for name in ["pods", "limits.memory", "requests.example.com/gpu", "hugepages-2Mi", "count/pods"] {
            assert!(concerns("", "pods", name), "{name}");
            assert!(!concerns("", "services", name), "{name}");
        }
        assert!(concerns("", "persistentvolumeclaims", "a.storageclass.storage.k8s.io/requests.storage"));
        assert!(!concerns("", "pods", "requests.storage"));
        assert!(concerns("", "secrets", "secrets") && !concerns("", "configmaps", "secrets"));
    }

    #[test]
    fn containers_must_name_what_is_bounded() {
        let pod = tree!({"spec": {"containers": [{"name": "c"}, {"name": "d", "resources": {"requests": {"cpu": "1"}}}]}});
        let bounds = ["pods", "requests.cpu", "limits.memory"];
        assert_eq!(
            missing(&pod, bounds.into_iter()).as_deref(),
            Some("must specify limits.memory for: c,d; requests.cpu for: c")
        );
    }
}
