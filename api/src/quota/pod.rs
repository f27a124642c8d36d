//! What a pod uses: its requests and limits under the names of quotas, until it is over.

use super::whole;
use crate::resources::{
    Amounts, add, amounts, is_extended, is_huge_page, is_native, is_pod_level, limits, requests,
};
use crate::{Value, time};

/// What containers must name when a quota bounds it.
const REQUIRED: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

pub fn concerns(name: &str) -> bool {
    let bare = name.strip_prefix("requests.");
    REQUIRED.contains(&name)
        || matches!(
            name,
            "pods" | "ephemeral-storage" | "requests.ephemeral-storage" | "limits.ephemeral-storage"
        )
        || is_huge_page(bare.unwrap_or(name))
        || bare.is_some_and(|bare| !is_native(name) || bare.starts_with(DEVICE_CLASS))
}

/// Requests and limits under the names of quotas.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::from([("pods".to_owned(), whole(1))]);
    for (name, amount) in requests {
        let basic = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name);
        if basic {
            used.insert(name.clone(), amount.clone());
        }
        if basic || is_extended(name) || name.starts_with(DEVICE_CLASS) {
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

/// True for a pod that counts as an object only: it has ended, or should be gone since its grace is over.
pub fn is_over(pod: &Value, now_secs: i64) -> bool {
    let ended = matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed");
    ended || end_secs(pod).is_some_and(|end| now_secs > end)
}

/// When a pod that is being deleted should be gone for good, in unix seconds.
pub fn end_secs(pod: &Value) -> Option<i64> {
    let deletion = time::parse(pod.str_at(&["metadata", "deletionTimestamp"])).ok()?;
    Some(deletion.secs.saturating_add(pod.i64_at(&["metadata", "deletionGracePeriodSeconds"])?))
}

pub fn usage(pod: &Value, now_secs: i64) -> Amounts {
    if is_over(pod, now_secs) {
        return Amounts::new();
    }
    let (mut requests, mut limits) = (requests(pod, true), limits(pod, true));
    let overhead = amounts(pod.at(&["spec", "overhead"]));
    add(&mut requests, &overhead);
    for (name, amount) in overhead {
        // A limit that is not there stays unlimited.
        if let Some(limit) = limits.get_mut(&name).filter(|limit| !limit.is_zero()) {
            limit.add(&amount);
        }
    }
    compute(&requests, &limits)
}

/// What containers of a pod leave out of what a quota bounds: `must specify limits.memory for: c; …`.
pub fn missing<'a>(pod: &Value, bounds: impl Iterator<Item = &'a str>) -> Option<String> {
    let has_own =
        |field: &str| amounts(pod.at(&["spec", "resources", field])).keys().any(|name| is_pod_level(name));
    if has_own("requests") || has_own("limits") {
        return None;
    }
    let mut required: Vec<&str> = bounds.filter(|name| REQUIRED.contains(name)).collect();
    required.sort_unstable();
    let containers: Vec<&Value> =
        ["containers", "initContainers"].iter().flat_map(|field| pod.list_at(&["spec", field])).collect();
    let mut texts = Vec::new();
    for name in required {
        let lacks = |container: &&&Value| {
            let of = |field: &str| amounts(container.at(&["resources", field]));
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
