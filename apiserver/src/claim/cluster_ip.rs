//! Cluster IPs: each allocated address is an `IPAddress` object of its name, written together with the Service.
//!
//! Addresses that nobody chose come from the upper part of a range, so that the lower part stays free for those that
//! somebody does choose. Source: upstream's `pkg/registry/core/service/ipallocator`.

use super::Claims;
use super::address_family::{IPV4, is_external_name, is_headless, set_texts, texts};
use crate::call::Call;
use crate::stored;
use api::{Fault, Status, Value, tree};
use kinds::Kind;
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::Key;

/// The addresses of Services, as long as no ServiceCIDR object adds to them.
const SERVICE_CIDR: &str = "10.96.0.0/12";
const GROUP: &str = "networking.k8s.io";
const MANAGED_BY: &str = "ipallocator.k8s.io";

/// An IPv4 network: the addresses between its first (the network's) and its last (broadcast).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    network: u32,
    broadcast: u32,
    bits: u8,
}

impl Range {
    fn parse(cidr: &str) -> Option<Range> {
        let (ip, bits) = cidr.split_once('/')?;
        let (ip, bits) = (u32::from(ip.parse::<Ipv4Addr>().ok()?), bits.parse::<u8>().ok()?);
        let host_bits = 32_u32.checked_sub(bits.into())?;
        let host_mask = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
        (host_bits >= 2).then_some(Range { network: ip & !host_mask, broadcast: ip | host_mask, bits })
    }

    fn contains(self, ip: u32) -> bool {
        ip > self.network && ip < self.broadcast
    }

    /// How many addresses at the start are left for those that somebody chooses.
    fn reserved(self) -> u32 {
        const MIN: u32 = 16;
        const MAX: u32 = 256;
        const STEP: u32 = 16;
        let size = self.broadcast - self.network + 1;
        if size <= MIN { 0 } else { (size / STEP).clamp(MIN, MAX) }
    }

    /// All addresses, in the order to try them: the upper part from a random place on, then the lower.
    fn candidates(self, random: &dyn Fn(u64) -> u64) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let first = self.network + 1;
        let middle = first + self.reserved();
        ring(middle, self.broadcast, random).chain(ring(first, middle, random)).map(Ipv4Addr::from)
    }
}

/// The numbers from `start` up to, not including, `end`, from a random one on.
fn ring(start: u32, end: u32, random: &dyn Fn(u64) -> u64) -> impl Iterator<Item = u32> + use<> {
    let len = end.saturating_sub(start);
    let turn = u32::try_from(random(len.into())).unwrap_or(0);
    (start + turn..end).chain(start..start + turn.min(len))
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.bits)
    }
}

/// The ranges that addresses may come from now: the cluster's own, and those of ServiceCIDRs that are ready.
async fn ranges(call: &Call) -> Vec<Range> {
    let mut ranges: Vec<Range> = Range::parse(SERVICE_CIDR).into_iter().collect();
    for object in call.server.find_all(GROUP, "servicecidrs", "").await {
        if crate::metadata::is_deleting(&object) || !is_ready(&object) {
            continue;
        }
        for range in texts(&object, "cidrs").into_iter().filter_map(Range::parse) {
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        }
    }
    ranges
}

/// Ready unless its condition says otherwise: without a controller nobody would say so.
fn is_ready(service_cidr: &Value) -> bool {
    let conditions = service_cidr.list_at(&["status", "conditions"]);
    let ready = conditions.iter().find(|c| c.str_at(&["type"]) == "Ready");
    ready.is_none_or(|c| c.str_at(&["status"]) == "True")
}

/// Claims the addresses of a new Service.
pub async fn claim(
    call: &Call,
    service: &mut Value,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<(), Status> {
    if is_external_name(service) || is_headless(service) {
        return Ok(());
    }
    let mut ips: Vec<String> = texts(service, "clusterIPs").into_iter().map(str::to_owned).collect();
    let families: Vec<String> = texts(service, "ipFamilies").into_iter().map(str::to_owned).collect();
    let ranges = ranges(call).await;
    for (i, family) in families.iter().enumerate() {
        if i >= ips.len() {
            ips.push(String::new());
        }
        if family != IPV4 {
            continue;
        }
        let wanted = std::mem::take(&mut ips[i]);
        ips[i] = if wanted.is_empty() {
            any(call, &ranges, service, dry_run, claims).await?
        } else {
            chosen(call, &ranges, service, &wanted, dry_run, claims).await?;
            wanted
        };
    }
    if let Some(first) = ips.first() {
        service.set(&["spec", "clusterIP"], first.as_str());
    }
    set_texts(service, "clusterIPs", &ips);
    Ok(())
}

/// What a change of a Service does to its addresses: they come with the end of being an ExternalName and go with
/// its beginning; otherwise they never change.
pub async fn change(
    call: &Call,
    new: &mut Value,
    old: &Value,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<(), Status> {
    match (is_external_name(old), is_external_name(new)) {
        (true, false) => claim(call, new, dry_run, claims).await,
        (false, true) if !is_headless(old) && !dry_run => {
            release(call, old, claims).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Gives the addresses of a Service back, as far as they are recorded as its own.
pub async fn release(call: &Call, old: &Value, claims: &mut Claims) {
    let Some(kind) = kind(call) else { return };
    for ip in
        texts(old, "clusterIPs").into_iter().filter(|ip| !matches!(*ip, "" | super::address_family::NONE))
    {
        let key = key(call, &*kind, ip);
        let Ok(Some(entry)) = call.server.store.get(&key).await else { continue };
        let Ok(object) = stored::decode(&*kind, &entry) else { continue };
        let parent = |field: &str| object.str_at(&["spec", "parentRef", field]);
        let ours = parent("resource") == "services"
            && parent("namespace") == old.str_at(&["metadata", "namespace"])
            && parent("name") == Call::name_of(old);
        if ours {
            claims.give_back(key);
        }
    }
}

fn kind(call: &Call) -> Option<Arc<dyn Kind>> {
    call.server.registry().find(GROUP, "ipaddresses").cloned()
}

fn key(call: &Call, kind: &dyn Kind, ip: &str) -> Key {
    Key::new(&call.server.space(kind), ip)
}

/// An address that nobody has.
async fn any(
    call: &Call,
    ranges: &[Range],
    service: &Value,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<String, Status> {
    let Some(kind) = kind(call) else { return Err(Status::internal("no kind for IP addresses")) };
    if dry_run && let Some(first) = ranges.first() {
        return Ok(Ipv4Addr::from(first.network).to_string());
    }
    for range in ranges {
        for ip in range.candidates(&|end| call.server.ids.below(end)) {
            let ip = ip.to_string();
            let key = key(call, &*kind, &ip);
            let found =
                call.server.store.get_stale(&key).await.map_err(|e| crate::edit::store_failure(&e))?;
            if found.is_none() {
                let value = record(call, &*kind, &ip, service)?;
                claims.take(key, value);
                return Ok(ip);
            }
        }
    }
    let name = api::quote(Call::name_of(service));
    Err(Status::internal(format!("failed to allocate a serviceIP for Service {name}: range is full")))
}

/// The address that the Service asks for.
async fn chosen(
    call: &Call,
    ranges: &[Range],
    service: &Value,
    ip: &str,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<(), Status> {
    let refuse = |why: &str| {
        let shown = Value::List(service.list_at(&["spec", "clusterIPs"]).to_vec());
        let detail = format!("failed to allocate IP {ip}: {why}");
        super::service::invalid(service, &[Fault::invalid("spec.clusterIPs", shown, detail)])
    };
    let Some(kind) = kind(call) else { return Err(Status::internal("no kind for IP addresses")) };
    let address = match kinds::validation::parse_ip_sloppy(ip) {
        Some(std::net::IpAddr::V4(v4)) => v4,
        Some(std::net::IpAddr::V6(v6)) => v6.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
        None => return Err(Status::internal(format!("failed to parse service IP {}", api::quote(ip)))),
    };
    if !ranges.iter().any(|range| range.contains(address.into())) {
        return Err(match ranges.first().filter(|_| dry_run) {
            Some(range) => refuse(&format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
            )),
            None => refuse("the provided network does not match the current range"),
        });
    }
    if dry_run {
        return Ok(());
    }
    let name = address.to_string();
    let key = key(call, &*kind, &name);
    match call.server.store.get(&key).await.map_err(|e| crate::edit::store_failure(&e))? {
        Some(_) => Err(refuse("provided IP is already allocated")),
        None => {
            claims.take(key, record(call, &*kind, &name, service)?);
            Ok(())
        }
    }
}

/// The IPAddress object that says who has an address.
fn record(call: &Call, kind: &dyn Kind, ip: &str, service: &Value) -> Result<bytes::Bytes, Status> {
    let owned = tree!({
        "f:metadata": {"f:labels": {
            ".": {}, "f:ipaddress.kubernetes.io/ip-family": {}, "f:ipaddress.kubernetes.io/managed-by": {}
        }},
        "f:spec": {"f:parentRef": {".": {}, "f:name": {}, "f:namespace": {}, "f:resource": {}}}
    });
    let mut object = tree!({
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {
            "name": ip,
            "uid": call.server.ids.uuid(),
            "creationTimestamp": call.now.as_str(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": IPV4,
                "ipaddress.kubernetes.io/managed-by": MANAGED_BY
            },
            "managedFields": [{
                "manager": "kube-apiserver", "operation": "Update", "apiVersion": "networking.k8s.io/v1",
                "time": call.now.as_str(), "fieldsType": "FieldsV1", "fieldsV1": owned
            }]
        },
        "spec": {"parentRef": {
            "resource": "services",
            "namespace": service.str_at(&["metadata", "namespace"]),
            "name": Call::name_of(service)
        }}
    });
    stored::normalise(kind, &kind.info().storage_version, &mut object)?;
    stored::encode(kind, &object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_leaves_its_lower_part_for_those_who_choose() {
        let range = Range::parse(SERVICE_CIDR).unwrap();
        assert_eq!(range.to_string(), SERVICE_CIDR);
        assert_eq!(range.reserved(), 256);
        let first = range.candidates(&|_| 0).next().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 96, 1, 1));
        assert!(!range.contains(Ipv4Addr::new(10, 96, 0, 0).into()));
        assert!(range.contains(Ipv4Addr::new(10, 111, 255, 254).into()));
        assert!(!range.contains(Ipv4Addr::new(10, 111, 255, 255).into()));
    }

    #[test]
    fn every_address_of_a_range_is_tried_once() {
        let range = Range::parse("10.0.0.0/27").unwrap();
        let mut all: Vec<Ipv4Addr> = range.candidates(&|end| end / 2).collect();
        assert_eq!(all[0], Ipv4Addr::new(10, 0, 0, 24));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 30);
    }
}
