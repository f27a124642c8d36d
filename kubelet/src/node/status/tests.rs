//! What a node says, and when it says it again.

use super::*;
use crate::ImageGc;
use stdx::{Clock, Ids};

fn settings() -> Settings {
    Settings {
        node_name: "n1".into(),
        root: "/tmp".into(),
        log_root: "/tmp".into(),
        containerd: "/tmp/none.sock".into(),
        static_pods: None,
        node_ip: None,
        port: 10250,
        cgroup_root: String::new(),
        max_pods: 110,
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".into(),
        resolv_conf: "/etc/resolv.conf".into(),
        eviction_hard: EvictionHard::default(),
        image_gc: ImageGc::default(),
        version: "v1.36.0".into(),
        clock: Clock::system(),
        ids: Ids::seeded(1),
    }
}

fn facts() -> Facts {
    let machine = Machine {
        cpus: 2,
        memory: 8 << 30,
        huge_pages: [(2 << 20, 4 << 20), (1 << 30, 0)].into(),
        ..Machine::default()
    };
    Facts {
        machine: Arc::new(machine),
        address: "10.0.0.1".parse().unwrap(),
        runtime: RuntimeState::default(),
        disk: Disk { capacity: 100 << 30, ..Disk::default() },
        images: Arc::default(),
        under: Pressures::default(),
        errors: Vec::new(),
    }
}

fn condition<'a>(status: &'a Value, ty: &str) -> &'a Value {
    status.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == ty).unwrap()
}

#[test]
fn capacity_and_what_evictions_leave_of_it() {
    let status = status(None, &facts(), &settings(), Time::from_secs(0)).status;
    let amount = |list: &str, name: &str| status.str_at(&[list, name]).to_owned();
    assert_eq!(amount("capacity", "memory"), "8Gi");
    assert_eq!(amount("capacity", "hugepages-2Mi"), "4Mi");
    assert_eq!(amount("capacity", "hugepages-1Gi"), "0");
    assert_eq!(amount("allocatable", "memory"), "8088Mi");
    assert_eq!(amount("allocatable", "ephemeral-storage"), "96636764000");
    assert_eq!(amount("allocatable", "pods"), "110");
    assert_eq!(status.i64_at(&["daemonEndpoints", "kubeletEndpoint", "Port"]), Some(10250));
}

#[test]
fn resources_that_others_advertise_stay_and_can_be_asked_for() {
    let known = tree!({"status": {
        "capacity": {"example.com/dongle": "4", "cpu": "64"}, "allocatable": {"example.com/gone": "1"}
    }});
    let status = status(Some(&known), &facts(), &settings(), Time::from_secs(0)).status;
    assert_eq!(status.str_at(&["capacity", "example.com/dongle"]), "4");
    assert_eq!(status.str_at(&["allocatable", "example.com/dongle"]), "4");
    assert_eq!(status.str_at(&["allocatable", "example.com/gone"]), "");
    assert_eq!(status.str_at(&["capacity", "cpu"]), "2");
}

#[test]
fn conditions_keep_their_time_and_changes_are_told() {
    let (settings, mut facts) = (settings(), facts());
    facts.errors = vec!["a".into(), "b".into()];
    let first = status(None, &facts, &settings, Time::from_secs(10));
    assert_eq!(first.events, ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]);
    let ready = condition(&first.status, "Ready");
    assert_eq!((ready.str_at(&["reason"]), ready.str_at(&["message"])), ("KubeletNotReady", "[a, b]"));
    let known = tree!({"status": (first.status)});
    facts.errors.clear();
    facts.under.memory = true;
    let next = status(Some(&known), &facts, &settings, Time::from_secs(20));
    assert_eq!(next.events, ["NodeHasInsufficientMemory", "NodeReady"]);
    let disk = condition(&next.status, "DiskPressure");
    assert_eq!(disk.str_at(&["lastTransitionTime"]), "1970-01-01T00:00:10Z");
    assert_eq!(disk.str_at(&["lastHeartbeatTime"]), "1970-01-01T00:00:20Z");
    assert_eq!(condition(&next.status, "Ready").str_at(&["lastTransitionTime"]), "1970-01-01T00:00:20Z");
}

#[test]
fn a_heartbeat_alone_is_no_change() {
    let (settings, mut facts) = (settings(), facts());
    let known = tree!({"status": (status(None, &facts, &settings, Time::from_secs(10)).status)});
    let old = known.get("status").unwrap();
    let later = status(Some(&known), &facts, &settings, Time::from_secs(99)).status;
    assert_eq!(changed(old, &later), None);
    facts.address = "10.0.0.2".parse().unwrap();
    let moved = status(Some(&known), &facts, &settings, Time::from_secs(99)).status;
    let fields: Vec<_> =
        changed(old, &moved).unwrap().as_map().unwrap().keys().map(|k| k.to_string()).collect();
    assert_eq!(fields, ["addresses"]);
}

#[test]
fn conditions_of_others_stay() {
    let known = tree!({"status": {"conditions": [{"type": "KernelDeadlock", "status": "False"}]}});
    let said = status(Some(&known), &facts(), &settings(), Time::from_secs(1)).status;
    assert_eq!(condition(&said, "KernelDeadlock").str_at(&["status"]), "False");
    assert_eq!(said.list_at(&["conditions"]).len(), 5);
}

#[test]
fn the_biggest_images_are_told_with_digests_first() {
    let mut facts = facts();
    let image = |id: &str, size| cri::Image {
        id: id.into(),
        size,
        repo_tags: vec![format!("{id}:1")],
        repo_digests: vec![format!("{id}@sha256:0")],
        ..Default::default()
    };
    facts.images = Arc::new((0..60).map(|size| image(&format!("i{size}"), size)).collect());
    let status = status(None, &facts, &settings(), Time::from_secs(0)).status;
    let images = status.list_at(&["images"]);
    assert_eq!((images.len(), images[0].i64_at(&["sizeBytes"])), (50, Some(59)));
    assert_eq!(images[0].list_at(&["names"])[0].as_str(), Some("i59@sha256:0"));
}
