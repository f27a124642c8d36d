//! Which address families a Service has, and how `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` say so
//! together. This cluster has one family, IPv4. Pure. Source: upstream's `allocateCreate`, `initIPFamilyFields` and
//! `ValidateServiceClusterIPsRelatedFields`.

use api::{Fault, Path, Value};
use kinds::validation;
use std::net::IpAddr;

pub const IPV4: &str = "IPv4";
const IPV6: &str = "IPv6";
pub const NONE: &str = "None";
const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// What leads nowhere in the cluster has no addresses in it.
pub fn is_external_name(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) == "ExternalName"
}

pub fn is_headless(service: &Value) -> bool {
    service.str_at(&["spec", "clusterIP"]) == NONE
}

/// The texts of a list in `spec`.
pub fn texts<'a>(service: &'a Value, field: &str) -> Vec<&'a str> {
    service.list_at(&["spec", field]).iter().filter_map(Value::as_str).collect()
}

fn policy(service: &Value) -> &str {
    service.str_at(&["spec", "ipFamilyPolicy"])
}

fn same(new: &Value, old: &Value, field: &str) -> bool {
    texts(new, field) == texts(old, field)
}

/// Sets a list in `spec`, or removes it when empty.
pub fn set_texts(service: &mut Value, field: &str, list: &[String]) {
    if list.is_empty() {
        service.unset(&["spec", field]);
    } else {
        service.set(&["spec", field], list.to_vec());
    }
}

fn owned(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

/// An update that leaves out what was allocated before keeps it: cluster IPs, node ports (by the port's name) and the
/// port of health checks.
pub fn keep_allocated(new: &mut Value, old: &Value) {
    if !is_external_name(old) && !is_external_name(new) {
        if new.str_at(&["spec", "clusterIP"]).is_empty() {
            new.set(&["spec", "clusterIP"], old.str_at(&["spec", "clusterIP"]));
        }
        if texts(new, "clusterIPs").is_empty() {
            set_texts(new, "clusterIPs", &owned(texts(old, "clusterIPs")));
        }
    }
    if super::node_port::wants_all(old) && super::node_port::wants_all(new) {
        super::node_port::keep(new, old);
    }
    if super::node_port::wants_health_check(old) && super::node_port::wants_health_check(new) {
        let path = ["spec", "healthCheckNodePort"];
        if new.i64_at(&path).unwrap_or(0) == 0 {
            new.set(&path, old.i64_at(&path).unwrap_or(0));
        }
    }
}

/// Old clients only know `clusterIP`: `clusterIPs` follows it as far as their intent is clear.
pub fn pair_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let one = new.str_at(&["spec", "clusterIP"]).to_owned();
    let Some(old) = old else {
        if !one.is_empty() && texts(new, "clusterIPs").is_empty() {
            set_texts(new, "clusterIPs", &[one]);
        }
        return;
    };
    let old_one = old.str_at(&["spec", "clusterIP"]);
    if !texts(old, "clusterIPs").is_empty() && texts(new, "clusterIPs").is_empty() && old_one == one {
        set_texts(new, "clusterIPs", &owned(texts(old, "clusterIPs")));
    }
    if old_one != one && same(new, old, "clusterIPs") {
        let cleared = !old_one.is_empty() && one.is_empty();
        set_texts(new, "clusterIPs", if cleared { &[] } else { std::slice::from_ref(&one) });
    }
}

/// Fills `ipFamilyPolicy` and `ipFamilies` in, or says what does not fit together.
pub fn settle(new: &mut Value, old: Option<&Value>) -> Result<(), Vec<Fault>> {
    if is_external_name(new) || old.is_some_and(|old| stays_dual(new, old)) {
        return Ok(());
    }
    default_policy(new, old);
    refuse(cluster_ip_faults(new))?;
    refuse(reductions(new, old))?;
    let mut faults = too_many_for_single(new);
    faults.extend(infer_families(new));
    refuse(faults)?;
    if is_headless(new) && !has_selector(new) {
        settle_headless(new);
        return Ok(());
    }
    refuse(unserved(new))?;
    if texts(new, "ipFamilies").is_empty() {
        set_texts(new, "ipFamilies", &[IPV4.to_owned()]);
    }
    Ok(())
}

fn refuse(faults: Vec<Fault>) -> Result<(), Vec<Fault>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn has_selector(service: &Value) -> bool {
    service.map_at(&["spec", "selector"]).is_some_and(|map| !map.is_empty())
}

/// A Service that prefers two families is neither given another nor relieved of one by a change of the cluster.
fn stays_dual(new: &Value, old: &Value) -> bool {
    let ty = new.str_at(&["spec", "type"]);
    policy(new) == PREFER
        && matches!(policy(old), PREFER | "")
        && old.str_at(&["spec", "type"]) == ty
        && matches!(ty, "ClusterIP" | "NodePort" | "LoadBalancer")
        && same(new, old, "clusterIPs")
        && same(new, old, "ipFamilies")
}

fn default_policy(new: &mut Value, old: Option<&Value>) {
    if !policy(new).is_empty() {
        return;
    }
    let policy = match old.map(policy).filter(|p| !p.is_empty()) {
        Some(before) => before,
        None if is_headless(new) && !has_selector(new) => REQUIRE,
        None => SINGLE,
    };
    new.set(&["spec", "ipFamilyPolicy"], policy);
}

/// Going back to one family takes the second of each list away when nobody touched it, and must be asked for.
fn reductions(new: &mut Value, old: Option<&Value>) -> Vec<Fault> {
    let Some(old) = old else { return Vec::new() };
    let mut faults = Vec::new();
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (list, before) = (owned(texts(new, field)), texts(old, field).len());
        if policy(new) == SINGLE {
            if same(new, old, field) && list.len() > 1 {
                set_texts(new, field, &list[..1]);
            }
        } else if !list.is_empty() && list.len() < before {
            let detail = format!("must be 'SingleStack' to release the secondary {what}");
            faults.push(Fault::invalid("spec.ipFamilyPolicy", policy(new), detail));
        }
    }
    faults
}

fn too_many_for_single(service: &Value) -> Vec<Fault> {
    if policy(service) != SINGLE {
        return Vec::new();
    }
    let two = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")];
    let two = two.iter().filter(|(field, _)| texts(service, field).len() == 2);
    two.map(|(_, what)| {
        let detail =
            format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
        Fault::invalid("spec.ipFamilyPolicy", policy(service), detail)
    })
    .collect()
}

/// Families that are not named follow from the addresses that are.
fn infer_families(service: &mut Value) -> Vec<Fault> {
    let ips = owned(texts(service, "clusterIPs"));
    let mut families = owned(texts(service, "ipFamilies"));
    let mut faults = Vec::new();
    for (i, ip) in ips.iter().enumerate() {
        if ip == NONE {
            break;
        }
        if i < families.len() {
            continue;
        }
        match family_of(ip) {
            IPV4 => families.push(IPV4.to_owned()),
            other => {
                let detail = format!("{other} is not configured on this cluster");
                faults.push(Fault::invalid(
                    Path::new("spec").child("clusterIPs").index(i),
                    ips.clone(),
                    detail,
                ));
            }
        }
    }
    set_texts(service, "ipFamilies", &families);
    faults
}

fn family_of(ip: &str) -> &'static str {
    match validation::parse_ip_sloppy(ip) {
        Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => IPV6,
        _ => IPV4,
    }
}

/// Without addresses and without endpoints of ours, a Service may have families that the cluster has not.
fn settle_headless(service: &mut Value) {
    let mut families = owned(texts(service, "ipFamilies"));
    if families.is_empty() {
        families.push(IPV4.to_owned());
    }
    if families.len() < 2 && policy(service) != SINGLE {
        families.push(if families[0] == IPV4 { IPV6 } else { IPV4 }.to_owned());
    }
    set_texts(service, "ipFamilies", &families);
}

/// Families that this cluster does not have.
fn unserved(service: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    if policy(service) == REQUIRE {
        let detail = "this cluster is not configured for dual-stack services";
        faults.push(Fault::invalid("spec.ipFamilyPolicy", REQUIRE, detail));
    }
    for (i, family) in texts(service, "ipFamilies").into_iter().enumerate().filter(|(_, f)| *f != IPV4) {
        let at = Path::new("spec").child("ipFamilies").index(i);
        faults.push(Fault::invalid(at, family, "not configured on this cluster"));
    }
    faults
}

/// Whether the fields about cluster IPs fit together.
fn cluster_ip_faults(service: &Value) -> Vec<Fault> {
    let at = Path::new("spec").child("clusterIPs");
    let shown = || Value::List(service.list_at(&["spec", "clusterIPs"]).to_vec());
    let ips = texts(service, "clusterIPs");
    let mut faults = Vec::new();
    match (service.str_at(&["spec", "clusterIP"]), ips.first()) {
        ("", None) => {}
        ("", Some(_)) => {
            faults.push(Fault::invalid(&at, shown(), "must be empty when `clusterIP` is not specified"))
        }
        (_, None) => faults.push(Fault::required(&at, "")),
        (one, Some(first)) if one != *first => {
            faults.push(Fault::invalid(&at, shown(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    faults.extend(family_faults(service));
    let before = faults.len();
    for (i, ip) in ips.iter().enumerate() {
        match (i, *ip) {
            (0, NONE) if ips.len() > 1 => {
                faults.push(Fault::invalid(&at, shown(), "'None' must be the first and only value"));
            }
            (0, NONE) => {}
            _ => faults.extend(validation::ip_legacy(ip, &at.index(i))),
        }
    }
    let is_bad = faults.len() > before;
    if ips.len() > 2 {
        faults.push(Fault::invalid(&at, shown(), "may only hold up to 2 values"));
    }
    if is_bad {
        return faults;
    }
    if ips.len() > 1 && ips.iter().all(|ip| family_of(ip) == family_of(ips[0])) {
        faults.push(Fault::invalid(&at, shown(), "may specify no more than one IP for each IP family"));
    }
    if !is_headless(service) {
        faults.extend(mismatches(service, &ips, &at));
    }
    faults
}

fn family_faults(service: &Value) -> Vec<Fault> {
    let families = texts(service, "ipFamilies");
    let mut faults = Vec::new();
    for (i, family) in families.iter().enumerate() {
        let at = Path::new("spec").child("ipFamilies").index(i);
        if !matches!(*family, IPV4 | IPV6) {
            faults.push(Fault::not_supported(&at, *family, &[IPV4, IPV6]));
        }
        if families[..i].contains(family) {
            faults.push(Fault::duplicate(&at, *family));
        }
    }
    if !matches!(policy(service), "" | SINGLE | PREFER | REQUIRE) {
        let supported = [PREFER, REQUIRE, SINGLE];
        faults.push(Fault::not_supported("spec.ipFamilyPolicy", policy(service), &supported));
    }
    faults
}

/// Addresses of another family than the one named beside them.
fn mismatches(service: &Value, ips: &[&str], at: &Path) -> Vec<Fault> {
    let pairs = ips.iter().zip(texts(service, "ipFamilies")).enumerate();
    pairs
        .filter(|(_, (ip, family))| matches!(*family, IPV4 | IPV6) && family_of(ip) != *family)
        .map(|(i, (ip, family))| {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            Fault::invalid(at.index(i), *ip, detail)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn settled(mut service: Value) -> Result<Value, Vec<String>> {
        pair_cluster_ips(&mut service, None);
        settle(&mut service, None)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        Ok(service)
    }

    #[test]
    fn a_plain_service_has_one_ipv4_family() {
        let service = settled(tree!({"spec": {"type": "ClusterIP"}})).unwrap();
        assert_eq!(texts(&service, "ipFamilies"), ["IPv4"]);
        assert_eq!(policy(&service), "SingleStack");
    }

    #[test]
    fn headless_without_selector_has_both_families() {
        let service = settled(tree!({"spec": {"clusterIP": "None", "ipFamilies": ["IPv6"]}})).unwrap();
        assert_eq!(texts(&service, "ipFamilies"), ["IPv6", "IPv4"]);
        assert_eq!(policy(&service), "RequireDualStack");
        assert_eq!(texts(&service, "clusterIPs"), ["None"]);
        let chosen = tree!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}});
        assert_eq!(texts(&settled(chosen).unwrap(), "ipFamilies"), ["IPv4"]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_in_upstreams_words() {
        let two = tree!({"spec": {"clusterIPs": ["10.96.99.98", "10.96.99.97"]}});
        assert_eq!(
            settled(two).unwrap_err(),
            [
                "spec.clusterIPs: Invalid value: [\"10.96.99.98\",\"10.96.99.97\"]: must be empty when `clusterIP` is not specified",
                "spec.clusterIPs: Invalid value: [\"10.96.99.98\",\"10.96.99.97\"]: may specify no more than one IP for each IP family",
            ]
        );
        let dual = tree!({"spec": {"ipFamilyPolicy": "RequireDualStack"}});
        assert_eq!(
            settled(dual).unwrap_err(),
            [
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services"
            ]
        );
        let v6 = tree!({"spec": {"clusterIP": "fd00::1"}});
        assert_eq!(
            settled(v6).unwrap_err(),
            ["spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster"]
        );
    }

    #[test]
    fn an_update_that_leaves_addresses_out_keeps_them() {
        let old =
            tree!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"]}});
        let mut new = tree!({"spec": {"type": "ClusterIP"}});
        keep_allocated(&mut new, &old);
        pair_cluster_ips(&mut new, Some(&old));
        assert_eq!(texts(&new, "clusterIPs"), ["10.96.1.1"]);
        let mut changed = tree!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.1.2"}});
        keep_allocated(&mut changed, &old);
        pair_cluster_ips(&mut changed, Some(&old));
        assert_eq!(texts(&changed, "clusterIPs"), ["10.96.1.2"]);
    }
}
