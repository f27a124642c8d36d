//! What was allocated to a claim, for whom it is reserved, and what drivers say of the devices.

use super::device_claim::RequestNames;
use super::{device, device_config, sized};
use crate::core::pod_spec;
use crate::{conditions, validation};
use api::{Fault, Path, Value};
use std::collections::HashSet;

const MAX_RESERVED: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_CONFIGS: usize = 64;
const MAX_CONDITIONS: usize = 8;
const MAX_DATA: usize = 10 * 1024;
const MAX_INTERFACE_NAME: usize = 256;
const MAX_HARDWARE_ADDRESS: usize = 128;
const MAX_IPS: usize = 16;
const RESULTS: [&str; 4] = ["status", "allocation", "devices", "results"];

/// A device of a driver's pool, and which share of it.
fn device_id(v: &Value) -> [String; 4] {
    ["driver", "pool", "device", "shareID"].map(|field| v.str_at(&[field]).to_owned())
}

fn allocated(claim: &Value) -> HashSet<[String; 4]> {
    claim.list_at(&RESULTS).iter().map(device_id).collect()
}

/// Drops what drivers said of devices that are allocated no longer.
pub fn drop_deallocated(new: &mut Value, old: &Value) {
    let (before, now) = (allocated(old), allocated(new));
    let Some(devices) = new.at_mut(&["status", "devices"]).and_then(Value::as_list_mut) else { return };
    devices.retain(|d| now.contains(&device_id(d)) || !before.contains(&device_id(d)));
    if devices.is_empty() {
        new.unset(&["status", "devices"]);
    }
}

/// Faults of a change of a claim's status.
pub fn faults(new: &Value, old: &Value) -> Vec<Fault> {
    let at = Path::new("status");
    let reserved = new.list_at(&["status", "reservedFor"]);
    let mut faults =
        sized::set(reserved, MAX_RESERVED, &at.child("reservedFor"), sized::by("uid"), |consumer, at| {
            let fields = ["resource", "name", "uid"].into_iter();
            fields.flat_map(|f| validation::required(consumer.str_at(&[f]), &at.child(f))).collect()
        });
    let devices = new.list_at(&["status", "devices"]);
    let known = allocated(new);
    let key = |d: &Value| device_id(d).join("/");
    faults.extend(sized::set(devices, usize::MAX, &at.child("devices"), key, |device, at| {
        device_faults(device, &known, at)
    }));
    let path = ["status", "allocation"];
    let (allocation, before) = (new.at(&path), old.at(&path));
    faults.extend(reservation_fault(new, old, allocation.is_some_and(|a| !a.is_null())));
    let path = at.child("allocation");
    match (allocation.filter(|a| !a.is_null()), before.filter(|b| !b.is_null())) {
        (Some(now), Some(before)) if !validation::same(Some(now), Some(before)) => {
            let shown =
                crate::internal_form::internal_form(Some(now), "io.k8s.api.resource.v1.AllocationResult");
            faults.push(Fault::invalid(path, shown, validation::IMMUTABLE));
        }
        (Some(now), None) => faults.extend(allocation_faults(now, &RequestNames::of(new.get("spec")), &path)),
        _ => {}
    }
    faults
}

fn reservation_fault(new: &Value, old: &Value, is_allocated: bool) -> Option<Fault> {
    let path = ["status", "reservedFor"];
    let reserved = new.list_at(&path);
    let text = match () {
        () if reserved.is_empty() => return None,
        () if !is_allocated => "may not be specified when `allocated` is not set",
        () if new.at(&["metadata", "deletionTimestamp"]).is_none_or(Value::is_null) => return None,
        () if reserved.iter().all(|r| old.list_at(&path).contains(r)) => return None,
        () => "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
    };
    Some(Fault::forbidden("status.reservedFor", text))
}

fn allocation_faults(allocation: &Value, names: &RequestNames, at: &Path) -> Vec<Fault> {
    let path = at.child("devices");
    let results = allocation.list_at(&["devices", "results"]);
    let mut faults = sized::list(results, MAX_RESULTS, &path.child("results"), |result, at| {
        let mut faults = names.reference_faults(result.str_at(&["request"]), &at.child("request"));
        faults.extend(identity_faults(result, at));
        faults.extend(device::binding_faults(result, at));
        faults.extend(share_faults(result, at));
        faults
    });
    let configs = allocation.list_at(&["devices", "config"]);
    faults.extend(sized::list(configs, MAX_CONFIGS, &path.child("config"), |config, at| {
        let source = config.str_at(&["source"]);
        let mut faults = match source {
            "" => vec![Fault::required(at.child("source"), "")],
            _ => validation::one_of(source, &["FromClaim", "FromClass"], &at.child("source")),
        };
        faults.extend(names.list_faults(config.list_at(&["requests"]), &at.child("requests")));
        faults.extend(device_config::config_faults(config, false, at));
        faults
    }));
    if let Some(selector) = allocation.get("nodeSelector").filter(|s| !s.is_null()) {
        faults.extend(pod_spec::node_selector(selector, &at.child("nodeSelector")));
    }
    faults
}

fn identity_faults(v: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = pod_spec::csi_driver_name(v.str_at(&["driver"]), &at.child("driver"));
    faults.extend(device::pool_name_faults(v.str_at(&["pool"]), &at.child("pool")));
    faults.extend(validation::dns_label(v.str_at(&["device"]), &at.child("device")));
    faults
}

fn share_faults(v: &Value, at: &Path) -> Vec<Fault> {
    let Some(id) = v.get("shareID").and_then(Value::as_str) else { return Vec::new() };
    let groups: Vec<&str> = id.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    let hex = |g: &str| g.bytes().all(|b| b.is_ascii_hexdigit());
    let well_formed =
        groups.len() == 5 && groups.iter().zip(lengths).all(|(g, len)| g.len() == len && hex(g));
    let text = match () {
        () if !well_formed => "error validating uid: invalid UUID format",
        () if id.bytes().any(|b| b.is_ascii_uppercase()) => {
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
             characters"
        }
        () => return Vec::new(),
    };
    vec![Fault::invalid(at.child("shareID"), id, text)]
}

fn device_faults(device: &Value, known: &HashSet<[String; 4]>, at: &Path) -> Vec<Fault> {
    let mut faults = identity_faults(device, at);
    faults.extend(share_faults(device, at));
    if !known.contains(&device_id(device)) {
        let shown = device_id(device)[..3].join("/");
        faults.push(Fault::invalid(at, shown, "must be an allocated device in the claim"));
    }
    let list = device.list_at(&["conditions"]);
    if list.len() > MAX_CONDITIONS {
        faults.push(Fault::too_many(at.child("conditions"), list.len(), MAX_CONDITIONS));
    }
    faults.extend(conditions::faults(list, &at.child("conditions")));
    if let Some(data) = device.get("data").filter(|d| !d.is_null()) {
        faults.extend(device_config::raw_fault(Some(data), MAX_DATA, &at.child("data")));
    }
    let path = at.child("networkData");
    let limits = [("interfaceName", MAX_INTERFACE_NAME), ("hardwareAddress", MAX_HARDWARE_ADDRESS)];
    for (field, max) in limits {
        if device.str_at(&["networkData", field]).len() > max {
            faults.push(Fault::too_long(path.child(field), max));
        }
    }
    let ips = device.list_at(&["networkData", "ips"]);
    faults.extend(sized::set(ips, MAX_IPS, &path.child("ips"), sized::text, |ip, at| {
        interface_fault(ip.as_str().unwrap_or_default(), at).into_iter().collect()
    }));
    faults
}

/// The fault of an address with its prefix: `10.9.8.7/24`.
fn interface_fault(text: &str, at: &Path) -> Option<Fault> {
    let Some((ip, bits)) = validation::parse_cidr_sloppy(text) else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return Some(Fault::invalid(at, text, detail));
    };
    let canonical = format!("{ip}/{bits}");
    (canonical != text)
        .then(|| Fault::invalid(at, text, format!("must be in canonical form ({})", api::quote(&canonical))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn devices_that_are_gone_are_forgotten() {
        let device = tree!({"driver": "d", "pool": "p", "device": "x"});
        let old = tree!({"status": {"allocation": {"devices": {"results": [(device.clone())]}}}});
        let mut new = tree!({"status": {"devices": [device]}});
        drop_deallocated(&mut new, &old);
        assert_eq!(new, tree!({"status": {}}));
    }

    #[test]
    fn only_allocated_claims_are_reserved() {
        let consumer = tree!({"resource": "pods", "name": "p", "uid": "u"});
        let new = tree!({"status": {"reservedFor": [consumer]}});
        assert_eq!(
            faults(&new, &tree!({}))[0].to_string(),
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
        );
    }

    #[test]
    fn interfaces_have_an_address_and_a_prefix() {
        assert!(interface_fault("10.9.8.7/24", &Path::new("i")).is_none());
        assert!(interface_fault("10.9.8.7", &Path::new("i")).is_some());
        assert!(interface_fault("2001:DB8::1/64", &Path::new("i")).is_some());
    }
}
