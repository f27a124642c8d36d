//! Checks of `resources`: names and amounts, requests within limits, claims. Source: `validateResourceRequirements`.

use super::resources::{self, Amounts, amounts};
use crate::validation::{NOT_NEGATIVE, dns_label, qualified_name};
use api::{Fault, Path, Value, quantity::Quantity};
use std::collections::BTreeSet;

/// How names of resources are judged: those of containers, or of pods as a whole.
type NameRule = fn(&str, &Path) -> Vec<Fault>;

/// `resources` of a container. `claims`: the names in the pod's `resourceClaims`.
pub fn container(requirements: &Value, claims: &BTreeSet<&str>, path: &Path) -> Vec<Fault> {
    check(requirements, container_name, claims, path)
}

/// `resources` of a pod's spec, against those of its containers.
pub fn pod(spec: &Value, claims: &BTreeSet<&str>, path: &Path) -> Vec<Fault> {
    let Some(requirements) = spec.get("resources").filter(|r| !r.is_null()) else { return Vec::new() };
    let path = path.child("resources");
    if spec.str_at(&["os", "name"]) == "windows" {
        return vec![Fault::forbidden(path, "may not be set for a windows pod")];
    }
    let mut faults = Vec::new();
    if requirements.get("claims").is_some_and(|c| !c.is_null()) {
        let detail = "claims may not be set for Resources at pod-level";
        faults.push(Fault::forbidden(path.child("claims"), detail));
    }
    faults.extend(check(requirements, pod_name, claims, &path));
    faults.extend(consistency(spec, requirements, &path));
    faults
}

fn consistency(spec: &Value, requirements: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (requests, limits) = (amounts(requirements.get("requests")), amounts(requirements.get("limits")));
    for (name, sum) in resources::sum_over_containers(spec, "requests") {
        if let Some(own) = requests.get(&name).filter(|own| sum > **own) {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            faults.push(Fault::invalid(path.child("requests").key(&name), own.to_string(), detail));
        }
    }
    for (name, sum) in resources::sum_over_containers(spec, "limits") {
        if let Some(own) = limits.get(&name).filter(|own| resources::is_huge_page(&name) && sum > **own) {
            let detail = format!("must be greater than or equal to aggregate container limits of {sum}");
            faults.push(Fault::invalid(path.child("limits").key(&name), own.to_string(), detail));
        }
    }
    for (i, container) in spec.list_at(&["containers"]).iter().enumerate() {
        for (name, limit) in amounts(container.at(&["resources", "limits"])) {
            if let Some(own) = limits.get(&name).filter(|own| limit > **own) {
                let at = path.child("containers").index(i).key(&name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {own}");
                faults.push(Fault::invalid(at, limit.to_string(), detail));
            }
        }
    }
    faults
}

/// The name of a resource, wherever it stands.
pub fn resource_name(name: &str, path: &Path) -> Vec<Fault> {
    let faults = qualified_name(name, path);
    if faults.is_empty() && !name.contains('/') && !resources::is_standard(name) {
        return vec![Fault::invalid(path, name, "must be a standard resource type or fully qualified")];
    }
    faults
}

/// The name of a resource that containers use.
pub fn container_name(name: &str, path: &Path) -> Vec<Fault> {
    let mut faults = resource_name(name, path);
    if !name.contains('/') {
        if !resources::is_standard_for_containers(name) {
            faults.push(Fault::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !resources::is_native(name) && !resources::is_extended(name) {
        faults.push(Fault::invalid(path, name, "doesn't follow extended resource name standard"));
    }
    faults
}

fn pod_name(name: &str, path: &Path) -> Vec<Fault> {
    let faults = resource_name(name, path);
    if faults.is_empty() && !resources::is_pod_level(name) {
        return vec![Fault::not_supported(path, name, &["cpu", "hugepages-", "memory"])];
    }
    faults
}

/// An amount of a resource: not negative, whole where the resource is counted.
pub fn amount(name: &str, value: &Quantity, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if value.sign() < 0 {
        faults.push(Fault::invalid(path, value.to_string(), NOT_NEGATIVE));
    }
    if resources::is_integer(name) && value.milli() % 1000 != 0 {
        faults.push(Fault::invalid(path, value.to_string(), "must be an integer"));
    }
    faults
}

/// A number of huge pages' bytes must be a multiple of the page.
fn huge_pages(name: &str, value: &Quantity, path: &Path) -> Vec<Fault> {
    if !resources::is_huge_page(name) {
        return Vec::new();
    }
    let page = resources::page_size(name).filter(|p| p.sign() > 0 && p.milli() % 1000 == 0);
    if page.is_some_and(|p| value.value() % p.value() == 0) {
        return Vec::new();
    }
    vec![Fault::invalid(
        path,
        value.to_string(),
        format!("{value} is not positive integer multiple of {name}"),
    )]
}

fn check(requirements: &Value, rule: NameRule, claims: &BTreeSet<&str>, path: &Path) -> Vec<Fault> {
    let (limits, requests) = (amounts(requirements.get("limits")), amounts(requirements.get("requests")));
    let mut faults = Vec::new();
    for (name, value) in &limits {
        let at = path.child("limits").key(name);
        faults.extend(rule(name, &at));
        faults.extend(amount(name, value, &at));
        faults.extend(huge_pages(name, value, &at));
    }
    for (name, value) in &requests {
        let at = path.child("requests").key(name);
        faults.extend(rule(name, &at));
        faults.extend(amount(name, value, &at));
        faults.extend(within_limit(name, value, &limits, path));
        faults.extend(huge_pages(name, value, &at));
    }
    let has = |f: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| f(name));
    if has(resources::is_huge_page) && !has(|name| matches!(name, "cpu" | "memory")) {
        faults.push(Fault::forbidden(path, "HugePages require cpu or memory"));
    }
    faults.extend(claim_names(requirements.list_at(&["claims"]), claims, &path.child("claims")));
    faults
}

fn within_limit(name: &str, value: &Quantity, limits: &Amounts, path: &Path) -> Option<Fault> {
    let at = path.child("requests");
    let shown = value.to_string();
    match limits.get(name) {
        Some(limit) if value != limit && !resources::may_overcommit(name) => {
            Some(Fault::invalid(at, shown, format!("must be equal to {name} limit of {limit}")))
        }
        Some(limit) if value > limit => {
            Some(Fault::invalid(at, shown, format!("must be less than or equal to {name} limit of {limit}")))
        }
        None if !resources::may_overcommit(name) => {
            Some(Fault::required(path.child("limits"), "Limit must be set for non overcommitable resources"))
        }
        _ => None,
    }
}

fn claim_names(list: &[Value], claims: &BTreeSet<&str>, path: &Path) -> Vec<Fault> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, claim) in list.iter().enumerate() {
        let (at, name, request) = (path.index(i), claim.str_at(&["name"]), claim.str_at(&["request"]));
        if name.is_empty() {
            faults.push(Fault::required(&at, ""));
            continue;
        }
        if seen.contains(name) {
            faults.push(Fault::duplicate(&at, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                faults.extend(dns_label(request, &at.child("request")));
                key = format!("{name}/{request}");
            }
            let overlaps = |k: &&String| k.split_once('/').is_some_and(|(claim, _)| claim == name);
            if seen.contains(&key) {
                faults.push(Fault::duplicate(&at, key.as_str()));
            } else if request.is_empty() {
                let overlapping = seen.iter().filter(overlaps).count();
                faults.extend((0..overlapping).map(|_| Fault::duplicate(&at, name)));
            }
            seen.insert(key);
        }
        if !claims.contains(name) {
            let known: Vec<&str> = claims.iter().copied().collect();
            let tail = if known.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", known.join(", "))
            };
            let mut fault = Fault::not_found(&at, name);
            fault.detail = format!("must be one of the names in pod.spec.resourceClaims{tail}");
            faults.push(fault);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(requirements: &Value) -> Vec<String> {
        container(requirements, &BTreeSet::new(), &Path::new("r")).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn requests_may_not_exceed_limits() {
        let over = tree!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}});
        assert_eq!(
            texts(&over),
            ["r.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"]
        );
        let device = tree!({"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}});
        assert_eq!(
            texts(&device),
            ["r.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2"]
        );
    }

    #[test]
    fn names_and_amounts_are_checked() {
        let odd = tree!({"limits": {"bogus": "1", "memory": "-1"}});
        assert_eq!(
            texts(&odd),
            [
                "r.limits[bogus]: Invalid value: \"bogus\": must be a standard resource type or fully qualified",
                "r.limits[bogus]: Invalid value: \"bogus\": must be a standard resource for containers",
                "r.limits[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
            ]
        );
    }
}
