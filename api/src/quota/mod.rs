//! What one object uses of a quota, by the names under which quotas bound it: pods, services, claims of volumes and of
//! devices are weighed, everything else is counted. Pure. Admission charges by these rules and the controller counts by
//! them. Source: upstream's `pkg/quota/v1/evaluator/core`.

mod device_claim;
mod pod;
mod scope;

pub use device_claim::{DeviceClasses, made_for};
pub use pod::{end_secs, is_over, missing};
pub use scope::{is_in_scope, matches_scope, scopes_met};

use crate::quantity::Format;
use crate::resources::{Amounts, add, amounts, quantity};
use crate::{Quantity, Value};

const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Resources that had a name of their own before there was `count/`.
const COUNTED: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
/// Reviews and the like, which are not kept, and events.
const IGNORED: [(&str, &str); 10] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// What the use of some objects depends on besides themselves.
#[derive(Default)]
pub struct Around {
    /// Unix seconds: pods that should be gone are not counted.
    pub now_secs: i64,
    /// For claims of devices.
    pub classes: DeviceClasses,
    /// What the pod that a claim of devices was made for uses already.
    pub of_pod: Option<Amounts>,
}

/// True when no quota bounds such objects.
pub fn is_ignored(group: &str, resource: &str) -> bool {
    IGNORED.contains(&(group, resource))
}

/// True when such objects are more than counted.
pub fn is_weighed(group: &str, resource: &str) -> bool {
    matches!(
        (group, resource),
        ("", "pods" | "services" | "persistentvolumeclaims") | ("resource.k8s.io", "resourceclaims")
    )
}

/// The name of the count of a resource.
pub fn count_name(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") }
}

/// The resource whose objects a name counts, as `plural.group`, or `plural` of the core group.
pub fn counted(name: &str) -> Option<&str> {
    name.strip_prefix("count/").or_else(|| COUNTED.contains(&name).then_some(name))
}

fn whole(count: usize) -> Quantity {
    Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSI)
}

/// What an object uses.
pub fn usage(group: &str, resource: &str, object: &Value, around: &Around) -> Amounts {
    let mut used = Amounts::from([(count_name(group, resource), whole(1))]);
    match (group, resource) {
        ("", "pods") => add(&mut used, &pod::usage(object, around.now_secs)),
        ("", "services") => add(&mut used, &service(object)),
        ("", "persistentvolumeclaims") => add(&mut used, &claim(object)),
        ("resource.k8s.io", "resourceclaims") => add(&mut used, &device_claim::usage(object, around)),
        ("", name) if COUNTED.contains(&name) => drop(used.insert(name.to_owned(), whole(1))),
        _ => {}
    }
    used
}

/// True when a quota's bound of this name is about the resource.
pub fn concerns(group: &str, resource: &str, name: &str, classes: &DeviceClasses) -> bool {
    if name == count_name(group, resource) {
        return true;
    }
    match (group, resource) {
        ("", "pods") => pod::concerns(name),
        ("", "services") => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => {
            let own = name.rsplit_once(BY_CLASS).map_or(name, |(_, own)| own);
            matches!(own, "persistentvolumeclaims" | "requests.storage")
        }
        ("resource.k8s.io", "resourceclaims") => device_claim::concerns(name, classes),
        ("", counted) => counted == name && COUNTED.contains(&counted),
        _ => false,
    }
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
    let asked = amounts(claim.at(&["spec", "resources", "requests"])).remove("storage");
    let given = claim.at(&["status", "allocatedResources", "storage"]).and_then(quantity);
    if let Some(asked) = asked {
        let size = given.filter(|given| *given > asked).unwrap_or(asked);
        used.insert("requests.storage".to_owned(), whole_bytes(size));
    }
    if !class.is_empty() {
        let of_class: Amounts =
            used.iter().map(|(name, amount)| (format!("{class}{BY_CLASS}{name}"), amount.clone())).collect();
        add(&mut used, &of_class);
    }
    used
}

/// Storage is bounded in whole bytes.
fn whole_bytes(size: Quantity) -> Quantity {
    let bytes = Quantity::new(size.value(), size.format());
    if bytes == size { size } else { bytes }
}

#[cfg(test)]
mod tests;
