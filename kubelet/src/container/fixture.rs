//! Settings for tests: everything in a folder of the test's own.

use crate::{EvictionHard, ImageGc, Settings};
use std::path::Path;
use stdx::{Clock, Ids};

pub fn settings(root: &Path) -> Settings {
    Settings {
        node_name: "n".to_owned(),
        root: root.to_owned(),
        log_root: root.join("logs"),
        containerd: root.join("containerd.sock"),
        static_pods: None,
        node_ip: None,
        port: 10250,
        cgroup_root: String::new(),
        max_pods: 110,
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf: root.join("resolv.conf"),
        eviction_hard: EvictionHard::default(),
        image_gc: ImageGc::default(),
        version: "v1.36.0".to_owned(),
        clock: Clock::system(),
        ids: Ids::seeded(1),
    }
}
