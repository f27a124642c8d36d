//! What a claim of devices uses: devices by class, and where a class stands for an extended resource, that resource,
//! unless the pod that the claim was made for is charged for it already.

use super::{Around, whole};
use crate::Value;
use crate::quota::pod;
use crate::resources::Amounts;
use std::collections::{BTreeMap, BTreeSet};

const PER_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
const IMPLICIT: &str = "requests.deviceclass.resource.kubernetes.io/";
const CLAIM_ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";
/// The most devices that one request may get.
const MAX_DEVICES: i64 = 32;

/// Which extended resources classes of devices stand for.
#[derive(Clone, Debug, Default)]
pub struct DeviceClasses {
    resources: BTreeMap<String, String>,
    names: BTreeSet<String>,
}

impl DeviceClasses {
    /// From all DeviceClasses of a cluster.
    pub fn new<'a>(classes: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut all = DeviceClasses::default();
        for class in classes {
            let name = class.str_at(&["metadata", "name"]).to_owned();
            let resource = class.str_at(&["spec", "extendedResourceName"]);
            if !resource.is_empty() {
                all.names.insert(resource.to_owned());
                all.resources.insert(name, resource.to_owned());
            }
        }
        all
    }
}

pub fn concerns(name: &str, classes: &DeviceClasses) -> bool {
    let resource = name.strip_prefix("requests.").filter(|_| pod::concerns(name));
    name.ends_with(PER_CLASS)
        || name.strip_prefix(IMPLICIT).is_some_and(|class| classes.resources.contains_key(class))
        || resource.is_some_and(|resource| classes.names.contains(resource))
}

fn devices(request: &Value) -> i64 {
    match request.str_at(&["allocationMode"]) {
        "ExactCount" => request.i64_at(&["count"]).unwrap_or(0),
        "All" => MAX_DEVICES,
        _ => 0,
    }
}

fn by_class(claim: &Value) -> BTreeMap<&str, i64> {
    let mut sum: BTreeMap<&str, i64> = BTreeMap::new();
    for request in claim.list_at(&["spec", "devices", "requests"]) {
        // Of alternatives the greatest counts, class by class.
        let mut most: BTreeMap<&str, i64> = BTreeMap::new();
        for one in request.list_at(&["firstAvailable"]).iter().chain(request.get("exactly")) {
            let slot = most.entry(one.str_at(&["deviceClassName"])).or_insert(0);
            *slot = devices(one).max(*slot);
        }
        for (class, count) in most {
            let slot = sum.entry(class).or_insert(0);
            *slot = slot.saturating_add(count);
        }
    }
    sum
}

pub fn usage(claim: &Value, around: &Around) -> Amounts {
    let (mut used, mut extended) = (Amounts::new(), Amounts::new());
    for (class, count) in by_class(claim) {
        let amount = whole(usize::try_from(count).unwrap_or(0));
        used.insert(format!("{class}{PER_CLASS}"), amount.clone());
        if let Some(resource) = around.classes.resources.get(class) {
            extended.insert(format!("requests.{resource}"), amount.clone());
        }
        if !class.is_empty() {
            extended.insert(format!("{IMPLICIT}{class}"), amount);
        }
    }
    for (name, mut amount) in extended {
        if let Some(charged) = around.of_pod.as_ref().and_then(|of_pod| of_pod.get(&name)) {
            amount.sub(charged);
        }
        if amount.sign() > 0 {
            used.insert(name, amount);
        }
    }
    used
}

/// The name and uid of the pod that a claim was made for, because the pod asks for extended resources.
pub fn made_for(claim: &Value) -> Option<(&str, &str)> {
    let mut owners = claim.list_at(&["metadata", "ownerReferences"]).iter();
    let owner = owners.find(|owner| owner.bool_at(&["controller"]))?;
    let of_pod = owner.str_at(&["kind"]) == "Pod" && owner.str_at(&["apiVersion"]) == "v1";
    let marked = claim.str_at(&["metadata", "annotations", CLAIM_ANNOTATION]) == "true";
    (of_pod && marked).then(|| (owner.str_at(&["name"]), owner.str_at(&["uid"])))
}
