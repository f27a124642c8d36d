//! `/stats/summary`: what the node, its pods and their containers use. Source: upstream's `stats/v1alpha1`.

use super::Server;
use super::query::Query;
use super::readings::{self, Interface, PodReading, Reading, Readings};
use super::reply::{self, Reply};
use super::volumes::{PodDisk, PodDisks, VolumeUse};
use crate::cri;
use crate::node::Disk;
use api::{Value, tree};
use std::collections::HashMap;
use stdx::Time;

/// The interface that stands for all of a network, by upstream's choice.
const DEFAULT_INTERFACE: &str = "eth0";

pub async fn serve(server: &Server, query: &Query) -> Reply {
    let only_cpu_and_memory = query.flag("only_cpu_and_memory");
    let readings = readings::read(&server.parts, &server.samples, true).await;
    let disks = if only_cpu_and_memory { None } else { Some(disks(server).await) };
    let pods = readings.each.iter().map(|pod| of_pod(pod, disks.as_ref())).collect();
    let node = node(server, &readings, disks.as_ref());
    reply::json(&tree!({"node": (node), "pods": (Value::List(pods))}))
}

/// What is written on disks.
struct Disks {
    time: Time,
    node: Disk,
    images: Option<(Disk, u64, u64)>,
    /// Bytes and inodes that each container has written, by its id.
    written: HashMap<String, (u64, u64)>,
    pods: PodDisks,
}

async fn disks(server: &Server) -> Disks {
    let node = Disk::of(&server.parts.root).unwrap_or_default();
    let mut images = server.parts.runtime.images();
    let images = images.image_fs_info(cri::ImageFsInfoRequest {}).await.ok().and_then(|answer| {
        let usage = answer.into_inner().image_filesystems.into_iter().next()?;
        let disk = Disk::of(usage.fs_id.as_ref()?.mountpoint.as_ref()).ok()?;
        Some((disk, usage.used_bytes?.value, usage.inodes_used.map_or(0, |inodes| inodes.value)))
    });
    let mut containers = server.parts.runtime.containers();
    let asked = cri::ListContainerStatsRequest { filter: None };
    let listed = containers.list_container_stats(asked).await;
    let written = listed.map(|answer| answer.into_inner().stats).unwrap_or_default();
    let written = written.into_iter().filter_map(|stats| {
        let layer = stats.writable_layer?;
        Some((stats.attributes?.id, (layer.used_bytes?.value, layer.inodes_used.map_or(0, |n| n.value))))
    });
    let (time, pods) = (server.parts.clock.now(), server.on_disk.read(&server.parts).await);
    Disks { time, node, images, written: written.collect(), pods }
}

fn node(server: &Server, readings: &Readings, disks: Option<&Disks>) -> Value {
    let mut node = tree!({
        "nodeName": (server.parts.node_name.as_str()),
        "systemContainers": [{"name": "pods", "startTime": (boot_time().rfc3339())}],
        "startTime": (boot_time().rfc3339())
    });
    let mut pods = tree!({"name": "pods", "startTime": (boot_time().rfc3339())});
    put_usage(&mut pods, &readings.pods, Some(u64::try_from(crate::cgroups::memory_capacity()).unwrap_or(0)));
    node.set(&["systemContainers"], Value::List(vec![pods]));
    put_usage(&mut node, &readings.node, Some(u64::try_from(crate::cgroups::memory_capacity()).unwrap_or(0)));
    let Some(disks) = disks else { return node };
    node.set(&["network"], network(disks.time, &readings.network));
    let taken = |disk: &Disk| (disk.used, disk.inodes.saturating_sub(disk.inodes_free));
    node.set(&["fs"], filesystem(disks.time, &disks.node, taken(&disks.node)));
    if let Some((disk, bytes, inodes)) = &disks.images {
        node.set(&["runtime", "imageFs"], filesystem(disks.time, disk, (*bytes, *inodes)));
        node.set(&["runtime", "containerFs"], filesystem(disks.time, disk, (*bytes, *inodes)));
    }
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    node.set(&["rlimit"], tree!({"time": (disks.time.rfc3339())}));
    if let Ok(most) = most.trim().parse::<i64>() {
        node.set(&["rlimit", "maxpid"], most);
    }
    if let Some(processes) = readings.node.usage.processes {
        node.set(&["rlimit", "curproc"], number(processes));
    }
    node
}

fn of_pod(pod: &PodReading, disks: Option<&Disks>) -> Value {
    let meta = |field: &str| pod.pod.str_at(&["metadata", field]).to_owned();
    let mut shown = tree!({
        "podRef": {"name": (meta("name")), "namespace": (meta("namespace")), "uid": (meta("uid"))},
        "startTime": (pod.started.rfc3339()),
        "containers": []
    });
    let (mut containers, mut ephemeral) = (Vec::new(), (0, 0));
    for container in &pod.containers {
        let mut one = tree!({"name": (container.name.as_str()), "startTime": (container.started.rfc3339())});
        put_usage(&mut one, &container.reading, None);
        if let Some(disks) = disks {
            let (bytes, inodes) = disks.written.get(&container.id).copied().unwrap_or_default();
            let (logs, files) = size_of_logs(&container.log_path);
            let images = disks.images.as_ref().map_or(&disks.node, |(disk, ..)| disk);
            one.set(&["rootfs"], filesystem(disks.time, images, (bytes, inodes)));
            one.set(&["logs"], filesystem(disks.time, &disks.node, (logs, files)));
            ephemeral = (ephemeral.0 + bytes + logs, ephemeral.1 + inodes + files);
        }
        containers.push(one);
    }
    shown.set(&["containers"], Value::List(containers));
    put_usage(&mut shown, &pod.reading, None);
    if let Some(processes) = pod.reading.usage.processes {
        shown.set(&["process_stats", "process_count"], number(processes));
    }
    if let Some(disks) = disks {
        if !pod.network.is_empty() {
            shown.set(&["network"], network(disks.time, &pod.network));
        }
        if let Some(found) = disks.pods.get(&meta("uid")) {
            let own = found.ephemeral();
            ephemeral = (ephemeral.0 + own.bytes, ephemeral.1 + own.inodes);
            if !found.volumes.is_empty() {
                shown.set(&["volume"], volumes(found));
            }
        }
        shown.set(&["ephemeral-storage"], filesystem(disks.time, &disks.node, ephemeral));
    }
    shown
}

/// CPU and memory; `capacity` is what there is where there is no limit.
fn put_usage(shown: &mut Value, reading: &Reading, capacity: Option<u64>) {
    let time = reading.time.rfc3339();
    if let Some(cpu) = reading.usage.cpu_nanos {
        shown.set(&["cpu"], tree!({"time": (time.as_str())}));
        if let Some(rate) = reading.nano_cores {
            shown.set(&["cpu", "usageNanoCores"], number(rate));
        }
        shown.set(&["cpu", "usageCoreNanoSeconds"], number(cpu));
    }
    if let Some(memory) = &reading.usage.memory {
        shown.set(&["memory"], tree!({"time": (time.as_str())}));
        if let Some(limit) = memory.limit.or(capacity) {
            shown.set(&["memory", "availableBytes"], number(limit.saturating_sub(memory.working_set)));
        }
        for (field, value) in [
            ("usageBytes", memory.usage),
            ("workingSetBytes", memory.working_set),
            ("rssBytes", memory.rss),
            ("pageFaults", memory.page_faults),
            ("majorPageFaults", memory.major_page_faults),
        ] {
            shown.set(&["memory", field], number(value));
        }
        shown.set(&["swap"], tree!({"time": (time), "swapUsageBytes": (number(memory.swap))}));
    }
}

fn network(time: Time, all: &[Interface]) -> Value {
    let fields = |one: &Interface| {
        tree!({
            "name": (one.name.as_str()), "rxBytes": (number(one.rx_bytes)), "rxErrors": (number(one.rx_errors)),
            "txBytes": (number(one.tx_bytes)), "txErrors": (number(one.tx_errors))
        })
    };
    let main = all.iter().find(|one| one.name == DEFAULT_INTERFACE);
    let mut network = main.map_or_else(|| tree!({"name": ""}), fields);
    network.set(&["time"], time.rfc3339());
    network.set(&["interfaces"], Value::List(all.iter().map(fields).collect()));
    network
}

fn filesystem(time: Time, disk: &Disk, (bytes, inodes): (u64, u64)) -> Value {
    tree!({
        "time": (time.rfc3339()),
        "availableBytes": (number(disk.available)),
        "capacityBytes": (number(disk.capacity)),
        "usedBytes": (number(bytes)),
        "inodesFree": (number(disk.inodes_free)),
        "inodes": (number(disk.inodes)),
        "inodesUsed": (number(inodes))
    })
}

fn volumes(found: &PodDisk) -> Value {
    let of_volume = |volume: &VolumeUse| {
        let mut one = filesystem(found.time, &volume.disk, (volume.space.bytes, volume.space.inodes));
        one.set(&["name"], volume.name.as_str());
        if let Some(claim) = &volume.claim {
            one.set(&["pvcRef"], claim.clone());
        }
        one
    };
    Value::List(found.volumes.iter().map(of_volume).collect())
}

/// Bytes and files of a container's logs, of earlier starts too.
fn size_of_logs(path: &str) -> (u64, u64) {
    let Some(folder) = std::path::Path::new(path).parent().filter(|_| !path.is_empty()) else {
        return (0, 0);
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .fold((0, 0), |all, file| (all.0 + file.len(), all.1 + 1))
}

fn number(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// When the machine was started.
fn boot_time() -> Time {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let secs = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    Time::from_secs(secs.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::{Memory, Usage};

    #[test]
    fn usage_is_shown_in_upstreams_fields() {
        let memory = Memory { usage: 100, working_set: 80, limit: Some(200), ..Memory::default() };
        let usage = Usage { cpu_nanos: Some(5), memory: Some(memory), processes: None };
        let reading = Reading { time: Time::from_secs(0), usage, nano_cores: Some(7) };
        let mut shown = tree!({});
        put_usage(&mut shown, &reading, None);
        let int = |path: &[&str]| shown.i64_at(path);
        assert_eq!(int(&["cpu", "usageNanoCores"]), Some(7));
        assert_eq!(int(&["cpu", "usageCoreNanoSeconds"]), Some(5));
        assert_eq!(int(&["memory", "availableBytes"]), Some(120));
        assert_eq!(int(&["memory", "workingSetBytes"]), Some(80));
        assert_eq!(shown.str_at(&["cpu", "time"]), "1970-01-01T00:00:00Z");
    }
}
