//! What the node says of itself, made of what is known of the machine, the runtime and pressures.

use super::eviction::{EvictionHard, Signal};
use super::{Disk, Machine, RuntimeState, architecture};
use crate::{Settings, cri};
use api::quantity::Format;
use api::{Map, Quantity, Value, resources, tree};
use std::net::IpAddr;
use std::sync::Arc;
use stdx::Time;

/// The images that a node tells of, and the names of each.
const MAX_IMAGES: usize = 50;
const MAX_NAMES: usize = 5;

/// What is known at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    pub machine: Arc<Machine>,
    pub address: IpAddr,
    pub runtime: RuntimeState,
    /// The file system of pods' volumes and logs.
    pub disk: Disk,
    pub images: Arc<Vec<cri::Image>>,
    pub under: Pressures,
    /// Why the node is not ready.
    pub errors: Vec<String>,
}

/// What the node has too little of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressures {
    pub memory: bool,
    pub disk: bool,
}

/// A status, and the reasons of events that go with it.
pub struct Said {
    pub status: Value,
    pub events: Vec<&'static str>,
}

/// What pods can rely on here that not every kubelet has, in order.
const DECLARED: [&str; 4] = [
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
];

/// The status of a node that was last seen as `known`; what others wrote stays.
pub fn status(known: Option<&Value>, facts: &Facts, settings: &Settings, now: Time) -> Said {
    let mut capacity = of_others(known, "capacity");
    capacity.extend(capacity_of(facts, settings));
    let mut allocatable: resources::Amounts = of_others(known, "allocatable");
    allocatable.retain(|name, _| capacity.contains_key(name));
    allocatable.extend(allocatable_of(&capacity, &settings.eviction_hard));
    let (conditions, events) = conditions(known, facts, now);
    let mut status = tree!({
        "capacity": (list(&capacity)), "allocatable": (list(&allocatable)), "conditions": (conditions),
        "addresses": [
            {"type": "InternalIP", "address": (facts.address.to_string())},
            {"type": "Hostname", "address": (settings.node_name.clone())}
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": (i64::from(settings.port))}},
        "nodeInfo": (node_info(facts, settings)), "images": (images(&facts.images)),
        "declaredFeatures": (Value::List(DECLARED.map(Value::from).to_vec()))
    });
    let handlers = facts.runtime.handlers.iter().map(|(name, recursive, user)| {
        let mut handler =
            tree!({"features": {"recursiveReadOnlyMounts": (*recursive), "userNamespaces": (*user)}});
        if !name.is_empty() {
            handler.set(&["name"], name.clone());
        }
        handler
    });
    let handlers: Vec<Value> = handlers.collect();
    if !handlers.is_empty() {
        status.set(&["runtimeHandlers"], Value::List(handlers));
    }
    if let Some(policy) = facts.runtime.supplemental_groups_policy {
        status.set(&["features"], tree!({"supplementalGroupsPolicy": policy}));
    }
    Said { status, events }
}

/// Resources that somebody else advertises on the node.
fn of_others(known: Option<&Value>, field: &str) -> resources::Amounts {
    let mut amounts = resources::amounts(known.and_then(|node| node.at(&["status", field])));
    amounts.retain(|name, _| resources::is_extended(name));
    amounts
}

fn capacity_of(facts: &Facts, settings: &Settings) -> resources::Amounts {
    let storage = i64::try_from(facts.disk.capacity).unwrap_or(i64::MAX);
    let mut capacity = resources::Amounts::from([
        ("cpu".to_owned(), Quantity::new(facts.machine.cpus, Format::DecimalSI)),
        ("memory".to_owned(), Quantity::new(facts.machine.memory, Format::BinarySI)),
        ("pods".to_owned(), Quantity::new(settings.max_pods.into(), Format::DecimalSI)),
    ]);
    if storage > 0 {
        capacity.insert("ephemeral-storage".to_owned(), Quantity::new(storage, Format::BinarySI));
    }
    for (size, bytes) in &facts.machine.huge_pages {
        let name = format!("hugepages-{}", Quantity::new(*size, Format::BinarySI));
        capacity.insert(name, Quantity::new(*bytes, Format::BinarySI));
    }
    capacity
}

/// Capacity without what evictions keep free; memory also without huge pages.
fn allocatable_of(capacity: &resources::Amounts, hard: &EvictionHard) -> resources::Amounts {
    let pages = capacity.iter().filter(|(name, _)| resources::is_huge_page(name));
    let pages: i64 = pages.map(|(_, amount)| amount.value()).sum();
    let allocatable = |(name, amount): (&String, &Quantity)| {
        let kept = match name.as_str() {
            "memory" => hard.least(Signal::Memory, amount.value()) + pages,
            "ephemeral-storage" => hard.least(Signal::NodeFs, amount.value()),
            _ => return (name.clone(), amount.clone()),
        };
        (name.clone(), Quantity::new((amount.value() - kept).max(0), Format::BinarySI))
    };
    capacity.iter().map(allocatable).collect()
}

fn list(amounts: &resources::Amounts) -> Value {
    Value::Map(amounts.iter().map(|(name, amount)| (name.as_str(), amount.to_string())).collect::<Map>())
}

fn node_info(facts: &Facts, settings: &Settings) -> Value {
    let machine = &facts.machine;
    let runtime = match facts.runtime.version.as_str() {
        "" => "containerd://Unknown",
        version => version,
    };
    let mut info = tree!({
        "machineID": (machine.machine_id.clone()), "systemUUID": (machine.system_uuid.clone()),
        "bootID": (machine.boot_id.clone()), "kernelVersion": (machine.kernel_version.clone()),
        "osImage": (machine.os_image.clone()), "containerRuntimeVersion": runtime,
        "kubeletVersion": (settings.version.clone()), "kubeProxyVersion": "",
        "operatingSystem": "linux", "architecture": (architecture())
    });
    if machine.swap > 0 {
        info.set(&["swap"], tree!({"capacity": (machine.swap)}));
    }
    info
}

/// The biggest first.
fn images(images: &[cri::Image]) -> Value {
    let mut images: Vec<&cri::Image> = images.iter().collect();
    images.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
    let told = images.into_iter().take(MAX_IMAGES).map(|image| {
        let names = image.repo_digests.iter().chain(&image.repo_tags).take(MAX_NAMES);
        let names: Vec<Value> = names.map(|name| Value::from(name.as_str())).collect();
        tree!({"names": (Value::List(names)), "sizeBytes": (i64::try_from(image.size).unwrap_or(i64::MAX))})
    });
    Value::List(told.collect())
}

/// One condition: whether it holds, and what is said then.
struct Condition {
    ty: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
    /// What an event of its change says.
    event: &'static str,
}

fn conditions(known: Option<&Value>, facts: &Facts, now: Time) -> (Value, Vec<&'static str>) {
    let before = known.map(|node| node.list_at(&["status", "conditions"])).unwrap_or_default();
    let (mut list, mut events) = (Vec::new(), Vec::new());
    for condition in said(facts) {
        let status = if condition.holds { "True" } else { "False" };
        let old = before.iter().find(|c| c.str_at(&["type"]) == condition.ty);
        let same = old.filter(|c| c.str_at(&["status"]) == status);
        // A node says at once how it is; that it is ready, only when it was not.
        if same.is_none() && (old.is_some() || condition.ty != "Ready") {
            events.push(condition.event);
        }
        let now = now.rfc3339();
        let since = same.map_or(now.as_str(), |c| c.str_at(&["lastTransitionTime"])).to_owned();
        list.push(tree!({
            "type": (condition.ty), "status": status, "lastHeartbeatTime": now, "lastTransitionTime": since,
            "reason": (condition.reason), "message": (condition.message)
        }));
    }
    let others =
        before.iter().filter(|c| !list.iter().any(|own| own.str_at(&["type"]) == c.str_at(&["type"])));
    let all = others.cloned().chain(list.iter().cloned()).collect();
    (Value::List(all), events)
}

/// Ready comes last.
fn said(facts: &Facts) -> [Condition; 4] {
    let condition = |ty, holds: bool, of: [[&'static str; 3]; 2]| {
        let [reason, message, event] = of[usize::from(holds)];
        Condition { ty, holds, reason, message: message.to_owned(), event }
    };
    let ready = match facts.errors.as_slice() {
        [] => Condition {
            ty: "Ready",
            holds: true,
            reason: "KubeletReady",
            message: "kubelet is posting ready status".to_owned(),
            event: "NodeReady",
        },
        errors => Condition {
            ty: "Ready",
            holds: false,
            reason: "KubeletNotReady",
            message: if errors.len() == 1 { errors.concat() } else { format!("[{}]", errors.join(", ")) },
            event: "NodeNotReady",
        },
    };
    [
        condition(
            "MemoryPressure",
            facts.under.memory,
            [
                [
                    "KubeletHasSufficientMemory",
                    "kubelet has sufficient memory available",
                    "NodeHasSufficientMemory",
                ],
                [
                    "KubeletHasInsufficientMemory",
                    "kubelet has insufficient memory available",
                    "NodeHasInsufficientMemory",
                ],
            ],
        ),
        condition(
            "DiskPressure",
            facts.under.disk,
            [
                ["KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"],
                ["KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure"],
            ],
        ),
        // The original has no threshold for processes unless it is told one.
        condition(
            "PIDPressure",
            false,
            [["KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID"]; 2],
        ),
        ready,
    ]
}

/// The part of `new` that is not as in `old`, without regard to heartbeats; nothing when all is.
pub fn changed(old: &Value, new: &Value) -> Option<Value> {
    let mut changed = Map::new();
    for (field, value) in new.as_map().into_iter().flat_map(Map::iter) {
        let same = match field.as_str() {
            "conditions" => without_heartbeats(old.get(field)) == without_heartbeats(Some(value)),
            _ => {
                old.get(field) == Some(value)
                    || (value.is_empty() && old.get(field).is_none_or(Value::is_empty))
            }
        };
        if !same {
            changed.insert(field.clone(), value.clone());
        }
    }
    (!changed.is_empty()).then_some(Value::Map(changed))
}

fn without_heartbeats(conditions: Option<&Value>) -> Vec<Value> {
    let mut list = conditions.and_then(Value::as_list).unwrap_or_default().to_vec();
    for condition in &mut list {
        condition.unset(&["lastHeartbeatTime"]);
    }
    list.sort_by(|one, other| one.str_at(&["type"]).cmp(other.str_at(&["type"])));
    list
}

#[cfg(test)]
mod tests;
