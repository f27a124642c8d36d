//! What may be written to a pod's status. Source: `podStatusStrategy`, `ValidatePodStatusUpdate`.

use super::pod_spec::{self, is_sidecar, set};
use crate::networking::address::ip_warnings;
use crate::validation::{dns_subdomain, immutable, ip_legacy, parse_ip_sloppy, qualified_name};
use crate::{keep_all_but, keep_field};
use api::{Fault, Path, Value};
use std::collections::{BTreeMap, BTreeSet};

const NOT_NEGATIVE: &str = "must be a non-negative integer";

/// Keeps the spec and owners, and what of the status clients may not clear.
pub fn prepare(new: &mut Value, old: &Value) {
    keep_all_but(new, old, &["status", "metadata"]);
    new.unset(&["metadata", "deletionTimestamp"]);
    match old.at(&["metadata", "ownerReferences"]).cloned() {
        Some(owners) => new.set(&["metadata", "ownerReferences"], owners),
        None => drop(new.unset(&["metadata", "ownerReferences"])),
    }
    if let Some(when) = old.at(&["metadata", "deletionTimestamp"]).cloned() {
        new.set(&["metadata", "deletionTimestamp"], when);
    }
    for field in ["qosClass", "observedGeneration"] {
        let lacks = new.at(&["status", field]).is_none_or(Value::is_empty);
        if let Some(value) = old.at(&["status", field]).cloned().filter(|_| lacks) {
            new.set(&["status", field], value);
        }
    }
    keep_condition_generations(new, old);
    if old.at(&["status", "nodeAllocatableResourceClaimStatuses"]).is_none() {
        new.unset(&["status", "nodeAllocatableResourceClaimStatuses"]);
    }
    if new.get("status").is_none() {
        keep_field(new, old, "status");
    }
}

fn keep_condition_generations(new: &mut Value, old: &Value) {
    let mut generations: BTreeMap<String, std::collections::VecDeque<i64>> = BTreeMap::new();
    for condition in old.list_at(&["status", "conditions"]) {
        let generation = condition.i64_at(&["observedGeneration"]).unwrap_or_default();
        generations.entry(condition.str_at(&["type"]).to_owned()).or_default().push_back(generation);
    }
    let Some(status) = new.get_mut("status") else { return };
    pod_spec::each(status, "conditions", |condition| {
        let known = generations.get_mut(condition.str_at(&["type"])).and_then(|g| g.pop_front());
        if let Some(known) = known.filter(|g| *g != 0) {
            pod_spec::default_zero(condition, "observedGeneration", known);
        }
    });
}

/// All faults of a change of the status.
pub fn validate(new: &Value, old: &Value) -> Vec<Fault> {
    let path = Path::new("status");
    let mut faults = pod_spec::validate_annotation_update(new, old);
    faults.extend(conditions(new.list_at(&["status", "conditions"]), &path.child("conditions")));
    let (node, nominated) = (old.str_at(&["spec", "nodeName"]), new.str_at(&["status", "nominatedNodeName"]));
    if !nominated.is_empty() && nominated != old.str_at(&["status", "nominatedNodeName"]) {
        let at = path.child("nominatedNodeName");
        faults.extend(dns_subdomain(nominated, &at));
        if !node.is_empty() {
            faults.push(Fault::forbidden(at, "may not be set on pods that are already bound to a node"));
        }
    }
    if let Some(generation) = new.i64_at(&["status", "observedGeneration"]).filter(|g| *g < 0) {
        faults.push(Fault::invalid(path.child("observedGeneration"), generation, NOT_NEGATIVE));
    }
    let class = ["status", "qosClass"];
    faults.extend(immutable(new.at(&class), old.at(&class), &path.child("qosClass")));
    for (list, containers) in [
        ("containerStatuses", Some("containers")),
        ("initContainerStatuses", Some("initContainers")),
        ("ephemeralContainerStatuses", None),
    ] {
        faults.extend(restarts(new, old, list, containers, &path.child(list)));
    }
    faults.extend(claim_statuses(new, &path.child("resourceClaimStatuses")));
    faults.extend(addresses(new, old, "podIPs", &path.child("podIPs")));
    faults.extend(addresses(new, old, "hostIPs", &path.child("hostIPs")));
    faults
}

fn conditions(list: &[Value], path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, condition) in list.iter().enumerate() {
        let (at, kind) = (path.index(i), condition.str_at(&["type"]));
        if let Some(generation) = condition.i64_at(&["observedGeneration"]).filter(|g| *g < 0) {
            faults.push(Fault::invalid(at.child("observedGeneration"), generation, NOT_NEGATIVE));
        }
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            faults.extend(qualified_name(kind, &at.child("Type")));
        }
    }
    faults
}

/// Containers that ended may only run again when the pod restarts them.
fn restarts(new: &Value, old: &Value, list: &str, containers: Option<&str>, path: &Path) -> Vec<Fault> {
    let ended = |status: &Value| status.at(&["state", "terminated"]).filter(|t| !t.is_null()).cloned();
    let spec = old.get("spec").cloned().unwrap_or_default();
    let mut faults = Vec::new();
    if containers.is_some() && all_could_restart(&spec) {
        return faults;
    }
    for (i, status) in old.list_at(&["status", list]).iter().enumerate() {
        let Some(terminated) = ended(status) else { continue };
        let name = status.str_at(&["name"]);
        let runs_again =
            new.list_at(&["status", list]).iter().find(|s| s.str_at(&["name"]) == name && ended(s).is_none());
        let container =
            containers.and_then(|c| spec.list_at(&[c]).iter().find(|c| c.str_at(&["name"]) == name));
        let exit_code = terminated.i64_at(&["exitCode"]).unwrap_or_default();
        let allowed = container.is_some_and(|c| should_restart(c, &spec, exit_code));
        if runs_again.is_some() && !allowed {
            let detail = "may not be transitioned to non-terminated state";
            faults.push(Fault::forbidden(path.index(i).child("state"), detail));
        }
    }
    faults
}

fn all_could_restart(spec: &Value) -> bool {
    let mut containers = ["containers", "initContainers"].into_iter().flat_map(|l| spec.list_at(&[l]));
    containers.any(|c| {
        c.list_at(&["restartPolicyRules"]).iter().any(|r| r.str_at(&["action"]) == "RestartAllContainers")
    })
}

fn should_restart(container: &Value, spec: &Value, exit_code: i64) -> bool {
    for rule in container.list_at(&["restartPolicyRules"]) {
        let values = rule.list_at(&["exitCodes", "values"]);
        let listed = values.iter().any(|v| v.as_i64() == Some(exit_code));
        let matches = match rule.str_at(&["exitCodes", "operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if matches && rule.str_at(&["action"]) == "Restart" {
            return true;
        }
    }
    let own = set(container, "restartPolicy").and_then(Value::as_str);
    match own.unwrap_or_else(|| spec.str_at(&["restartPolicy"])) {
        "Always" => true,
        "OnFailure" => exit_code != 0,
        _ => is_sidecar(container),
    }
}

fn claim_statuses(new: &Value, path: &Path) -> Vec<Fault> {
    let claims: BTreeSet<&str> =
        new.list_at(&["spec", "resourceClaims"]).iter().map(|c| c.str_at(&["name"])).collect();
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, status) in new.list_at(&["status", "resourceClaimStatuses"]).iter().enumerate() {
        let (at, name) = (path.index(i), status.str_at(&["name"]));
        if !claims.contains(name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            faults.push(Fault::invalid(at.child("name"), name, detail));
        }
        if !seen.insert(name) {
            faults.push(Fault::duplicate(at.child("name"), name));
        }
        if let Some(claim) = set(status, "resourceClaimName").and_then(Value::as_str) {
            faults.extend(dns_subdomain(claim, &at.child("resourceClaimName")));
        }
    }
    faults
}

/// One address of each family at most; addresses that were there before may be wrong.
fn addresses(new: &Value, old: &Value, list: &str, path: &Path) -> Vec<Fault> {
    let of = |pod: &Value| -> Vec<String> {
        pod.list_at(&["status", list]).iter().map(|ip| ip.str_at(&["ip"]).to_owned()).collect()
    };
    let (new_ips, old_ips) = (of(new), of(old));
    let mut faults = Vec::new();
    let host = new.str_at(&["status", "hostIP"]);
    if let Some(first) = new_ips.first().filter(|first| list == "hostIPs" && *first != host) {
        faults.push(Fault::invalid(path.index(0).child("ip"), first.as_str(), "must be equal to `hostIP`"));
    }
    for (i, ip) in new_ips.iter().enumerate().filter(|(_, ip)| !old_ips.contains(ip)) {
        faults.extend(ip_legacy(ip, &path.index(i)));
    }
    if new_ips.len() > 1 {
        let v4 = new_ips.iter().filter_map(|ip| parse_ip_sloppy(ip)).filter(|ip| ip.is_ipv4()).count();
        if new_ips.len() > 2 || v4 != 1 {
            let shown: Vec<Value> = new_ips.iter().map(|ip| api::tree!({"IP": ip.as_str()})).collect();
            faults.push(Fault::invalid(path, shown, "may specify no more than one IP for each IP family"));
        }
    }
    faults
}

/// Warnings about addresses that are not written as they should be.
pub fn warnings(new: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for list in ["podIPs", "hostIPs"] {
        let path = Path::new("status").child(list);
        for (i, ip) in new.list_at(&["status", list]).iter().enumerate() {
            warnings.extend(ip_warnings(ip.str_at(&["ip"]), &path.index(i).child("ip")));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;
    use api::tree;

    #[test]
    fn ended_containers_stay_ended_where_nothing_restarts_them() {
        let pod = |state: Value| {
            tree!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c"}]},
                "status": {"containerStatuses": [{"name": "c", "state": state}]}})
        };
        let done = pod(tree!({"terminated": {"exitCode": 0}}));
        let failed = pod(tree!({"terminated": {"exitCode": 1}}));
        let running = pod(tree!({"running": {}}));
        assert_eq!(
            texts(&validate(&running, &done)),
            ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
        );
        assert_eq!(texts(&validate(&running, &failed)), Vec::<String>::new());
    }

    #[test]
    fn the_class_and_the_owners_stay() {
        let old = tree!({"metadata": {"ownerReferences": [{}]}, "spec": {"a": 1}, "status": {"qosClass": "Burstable"}});
        let mut new =
            tree!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": 2}, "status": {"phase": "Running"}});
        prepare(&mut new, &old);
        let want = tree!({"metadata": {"labels": {"a": "b"}, "ownerReferences": [{}]}, "spec": {"a": 1},
            "status": {"phase": "Running", "qosClass": "Burstable"}});
        assert_eq!(new, want);
    }
}
