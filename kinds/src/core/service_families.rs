//! Families of a Service's addresses, as a cluster with IPv4 addresses alone gives them.
//! Source: `initIPFamilyFields`, `ValidateServiceClusterIPsRelatedFields`.

use super::{pod_spec::set, service::type_of};
use crate::validation::{ip_legacy, one_of, parse_ip_sloppy, same};
use api::{Fault, Path, Value};
use std::collections::BTreeSet;

/// The one family that the cluster has addresses of.
const FAMILY: &str = "IPv4";

fn texts(service: &Value, field: &str) -> Vec<String> {
    let list = service.list_at(&["spec", field]).iter();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn policy(service: &Value) -> &str {
    service.str_at(&["spec", "ipFamilyPolicy"])
}

pub fn is_headless(service: &Value) -> bool {
    texts(service, "clusterIPs") == ["None"]
}

fn family_of(ip: &str) -> &'static str {
    if parse_ip_sloppy(ip).is_some_and(|ip| ip.is_ipv6()) { "IPv6" } else { "IPv4" }
}

fn other(family: &str) -> &'static str {
    if family == "IPv4" { "IPv6" } else { "IPv4" }
}

/// Fills policy and families in; faults end the request.
pub fn init(new: &mut Value, old: Option<&Value>) -> Vec<Fault> {
    if type_of(new) == "ExternalName" || old.is_some_and(|old| prefers_the_same(new, old)) {
        return Vec::new();
    }
    let selectorless = new.str_at(&["spec", "clusterIP"]) == "None"
        && new.map_at(&["spec", "selector"]).is_none_or(|m| m.is_empty());
    if policy(new).is_empty() {
        let kept = old.map(policy).filter(|p| !p.is_empty());
        let chosen = kept.unwrap_or(if selectorless { "RequireDualStack" } else { "SingleStack" }).to_owned();
        new.set(&["spec", "ipFamilyPolicy"], chosen);
    }
    let faults = cluster_ips(new, old);
    if !faults.is_empty() {
        return faults;
    }
    let faults = fit_addresses(new, old);
    if !faults.is_empty() {
        return faults;
    }
    let mut families = texts(new, "ipFamilies");
    if !selectorless {
        let faults = unavailable(new, &families);
        if !faults.is_empty() {
            return faults;
        }
    }
    if families.is_empty() {
        families.push(FAMILY.to_owned());
    }
    if let [only] = families.as_slice()
        && selectorless
        && policy(new) != "SingleStack"
    {
        let second = other(only).to_owned();
        families.push(second);
    }
    new.set(&["spec", "ipFamilies"], families);
    Vec::new()
}

/// A service that prefers two families and asks for what it has needs nothing new.
fn prefers_the_same(new: &Value, old: &Value) -> bool {
    let prefers = |s: &Value| policy(s) == "PreferDualStack";
    prefers(new)
        && (policy(old).is_empty() || prefers(old))
        && type_of(new) == type_of(old)
        && texts(new, "clusterIPs") == texts(old, "clusterIPs")
        && texts(new, "ipFamilies") == texts(old, "ipFamilies")
}

fn wrong_policy(service: &Value, detail: &str) -> Fault {
    Fault::invalid(Path::new("spec").child("ipFamilyPolicy"), policy(service), detail)
}

/// Addresses and families against the policy and against what was there; families follow from addresses.
fn fit_addresses(new: &mut Value, old: Option<&Value>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(old) = old {
        for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
            let (now, before) = (texts(new, field), texts(old, field));
            if policy(new) == "SingleStack" && now == before && now.len() > 1 {
                new.set(&["spec", field], now.into_iter().take(1).collect::<Vec<_>>());
            } else if policy(new) != "SingleStack"
                && now.len() == 1
                && before.len() == 2
                && now.first() == before.first()
            {
                faults.push(wrong_policy(
                    new,
                    &format!("must be 'SingleStack' to release the secondary {what}"),
                ));
            }
        }
    }
    if policy(new) == "SingleStack" {
        for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if texts(new, field).len() == 2 {
                let detail = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                faults.push(wrong_policy(new, &detail));
            }
        }
    }
    let (ips, mut families) = (texts(new, "clusterIPs"), texts(new, "ipFamilies"));
    for (i, ip) in ips.iter().enumerate().take_while(|(_, ip)| *ip != "None") {
        let family = family_of(ip);
        if i < families.len() {
            continue;
        }
        if family == FAMILY {
            families.push(family.to_owned());
        } else {
            let at = Path::new("spec").child("clusterIPs").index(i);
            faults.push(Fault::invalid(
                at,
                ips.clone(),
                format!("{family} is not configured on this cluster"),
            ));
        }
    }
    if !families.is_empty() {
        new.set(&["spec", "ipFamilies"], families);
    }
    faults
}

fn unavailable(new: &Value, families: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if policy(new) == "RequireDualStack" {
        faults.push(wrong_policy(new, "this cluster is not configured for dual-stack services"));
    }
    for (i, family) in families.iter().enumerate().filter(|(_, f)| *f != FAMILY) {
        let at = Path::new("spec").child("ipFamilies").index(i);
        faults.push(Fault::invalid(at, family.as_str(), "not configured on this cluster"));
    }
    faults
}

/// Faults of addresses, families and policy against each other.
pub fn cluster_ips(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    if type_of(new) == "ExternalName" {
        return Vec::new();
    }
    let spec = Path::new("spec");
    let (path, ip, ips) =
        (spec.child("clusterIPs"), new.str_at(&["spec", "clusterIP"]), texts(new, "clusterIPs"));
    let families = texts(new, "ipFamilies");
    let wrong = |detail: &str| Fault::invalid(&path, ips.clone(), detail);
    let mut faults = Vec::new();
    match ips.first() {
        None if !ip.is_empty() => faults.push(Fault::required(&path, "")),
        Some(_) if ip.is_empty() => faults.push(wrong("must be empty when `clusterIP` is not specified")),
        Some(first) if first != ip => faults.push(wrong("first value must match `clusterIP`")),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (i, family) in families.iter().enumerate() {
        let at = spec.child("ipFamilies").index(i);
        faults.extend(one_of(family, &["IPv4", "IPv6"], &at));
        if !seen.insert(family) {
            faults.push(Fault::duplicate(at, family.as_str()));
        }
    }
    if let Some(policy) =
        set(new.get("spec").unwrap_or(&Value::Null), "ipFamilyPolicy").and_then(Value::as_str)
    {
        let known = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        faults.extend(one_of(policy, &known, &spec.child("ipFamilyPolicy")));
    }
    let before = old.map(|o| texts(o, "clusterIPs")).unwrap_or_default();
    let mut bad = false;
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && ip == "None" {
            if ips.len() > 1 {
                bad = true;
                faults.push(wrong("'None' must be the first and only value"));
            }
        } else if !before.contains(ip) {
            let wrong = ip_legacy(ip, &path.index(i));
            bad |= !wrong.is_empty();
            faults.extend(wrong);
        }
    }
    if ips.len() > 2 {
        faults.push(wrong("may only hold up to 2 values"));
    }
    if bad {
        return faults;
    }
    let v4 = ips.iter().filter(|ip| family_of(ip) == "IPv4").count();
    if ips.len() > 1 && (v4 == 0 || v4 == ips.len()) {
        faults.push(wrong("may specify no more than one IP for each IP family"));
    }
    for (i, (ip, family)) in ips.iter().zip(&families).enumerate().filter(|_| !is_headless(new)) {
        if family_of(ip) != family && matches!(family.as_str(), "IPv4" | "IPv6") {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            faults.push(Fault::invalid(path.index(i), ip.as_str(), detail));
        }
    }
    faults
}

/// Primary addresses and families stay; secondary ones come and go with the policy.
pub fn changes(new: &Value, old: &Value) -> Vec<Fault> {
    if [new, old].iter().any(|s| type_of(s) == "ExternalName") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    if !(is_headless(new) && is_headless(old)) {
        faults.extend(change_of(new, old, "clusterIPs", "clusterIP"));
    }
    if !is_headless(new) && !is_headless(old) {
        faults.extend(change_of(new, old, "ipFamilies", "ipFamily"));
    }
    faults
}

fn change_of(new: &Value, old: &Value, field: &str, what: &str) -> Vec<Fault> {
    let (now, before) = (texts(new, field), texts(old, field));
    let path = Path::new("spec").child(field);
    let mut faults = Vec::new();
    if now.len() == before.len() {
        for i in (0..now.len()).filter(|i| now.get(*i) != before.get(*i)) {
            let at = path.index(if field == "ipFamilies" { 0 } else { i });
            faults.push(Fault::invalid(at, now.clone(), "may not change once set"));
        }
        return faults;
    }
    let addresses = texts(new, "clusterIPs");
    let at = path.index(0);
    if before.len() > now.len() && addresses.is_empty() {
        faults.push(Fault::invalid(&at, now.clone(), format!("primary {what} can not be unset")));
    }
    if let (Some(first), Some(was)) = (now.first(), before.first())
        && first != was
    {
        faults.push(Fault::invalid(&at, addresses, "may not change once set"));
    }
    if before.len() > now.len() && now.len() == 1 && policy(new) != "SingleStack" {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        faults.push(wrong_policy(new, &detail));
    }
    faults
}

/// The class of a load balancer may not change.
pub fn class_change(new: &Value, old: &Value) -> Option<Fault> {
    let class = ["spec", "loadBalancerClass"];
    let balancers = [new, old].iter().all(|s| type_of(s) == "LoadBalancer");
    let shown = new.at(&class).cloned().unwrap_or_default();
    (balancers && !same(new.at(&class), old.at(&class))).then(|| {
        Fault::invalid(Path::new("spec").child("loadBalancerClass"), shown, "may not change once set")
    })
}
