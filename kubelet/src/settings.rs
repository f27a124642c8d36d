//! What a kubelet must be told.

use crate::node::EvictionHard;
use std::net::IpAddr;
use std::path::PathBuf;
use stdx::{Clock, Ids};

/// The pods that a node takes unless told otherwise.
pub const MAX_PODS: u32 = 110;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the node, that of the machine in lower case unless told otherwise.
    pub node_name: String,
    /// Where pods keep their volumes, `/var/lib/kubelet`.
    pub root: PathBuf,
    /// Where containers' logs are written, `/var/log/pods`.
    pub log_root: PathBuf,
    /// The socket of containerd.
    pub containerd: PathBuf,
    /// A folder of manifests that the node runs by itself.
    pub static_pods: Option<PathBuf>,
    /// The address of the node; that of the default route unless told.
    pub node_ip: Option<IpAddr>,
    /// The port of the kubelet's server as the node says it, 10250.
    pub port: u16,
    /// The cgroup under which `kubepods` is made: "" is the root.
    pub cgroup_root: String,
    pub max_pods: u32,
    /// Name servers of pods with the policy ClusterFirst; without them, those of the machine.
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    /// The machine's resolver configuration, `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// What is kept free by evicting pods.
    pub eviction_hard: EvictionHard,
    /// When images that nobody uses are removed.
    pub image_gc: ImageGc,
    /// The version that the node says it has, `v1.36.0`.
    pub version: String,
    pub clock: Clock,
    pub ids: Ids,
}

/// Percent of the images' disk that may be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageGc {
    /// From here on images that nobody uses are removed; at 100, never for this reason.
    pub high: u8,
    /// until so little is in use.
    pub low: u8,
}

impl Default for ImageGc {
    /// Upstream's.
    fn default() -> Self {
        ImageGc { high: 85, low: 80 }
    }
}
