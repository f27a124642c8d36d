//! `--containerd` and its like: the node that this machine is. Names are those of upstream's kubelet.

use clap::Args;
use kubelet::{EvictionHard, ImageGc};
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Node")]
pub struct Node {
    /// The socket of containerd [default: the system's; where containerd is installed and does not run, one of our
    /// own is started]
    #[arg(long, value_name = "SOCKET")]
    pub containerd: Option<PathBuf>,
    /// The name of the node [default: that of the machine]
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// The address of the node [default: that of the default route]
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// Where the kubelet listens; 0 picks a free port
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    pub kubelet_port: u16,
    /// Where pods keep their volumes
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Where the logs of containers are written
    #[arg(long, value_name = "DIR", default_value = "/var/log/pods")]
    pub pod_logs_dir: PathBuf,
    /// A folder of manifests of pods that the node runs by itself
    #[arg(long, value_name = "DIR")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Name servers of pods; several are separated by commas
    #[arg(long, value_name = "IP,…", value_delimiter = ',')]
    pub cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster's names
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// The resolver configuration that pods are given
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// What is kept free by evicting pods, as upstream's kubelet takes it [default: upstream's; with `up`, 5% of disks
    /// that others fill too]
    #[arg(long, value_name = "SIGNAL<AMOUNT,…")]
    pub eviction_hard: Option<EvictionHard>,
    /// Percent of the images' disk in use from which images that nobody uses are removed [default: 85; with `up`, 95]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    pub image_gc_high_threshold: Option<u8>,
    /// Percent of the images' disk in use down to which they are [default: 5 less]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    pub image_gc_low_threshold: Option<u8>,
    /// How many pods the node takes
    #[arg(long, value_name = "N", default_value_t = kubelet::MAX_PODS)]
    pub max_pods: u32,
    /// The cgroup under which those of pods are made [default: the root]
    #[arg(long, value_name = "CGROUP", default_value = "", hide_default_value = true)]
    pub cgroup_root: String,
}

impl Node {
    /// With the defaults of a machine that does more than run pods.
    pub fn on_shared_machine(mut self) -> Self {
        self.eviction_hard = self.eviction_hard.or_else(|| EvictionHard::SHARED_MACHINE.parse().ok());
        self.image_gc_high_threshold = self.image_gc_high_threshold.or(Some(95));
        self
    }

    /// # Errors
    /// When images would be removed down to more than from where they are.
    fn image_gc(&self) -> anyhow::Result<ImageGc> {
        let default = ImageGc::default();
        let high = self.image_gc_high_threshold.unwrap_or(default.high);
        let low = self.image_gc_low_threshold.unwrap_or(high.saturating_sub(default.high - default.low));
        anyhow::ensure!(
            low < high,
            "--image-gc-low-threshold {low} must be lower than --image-gc-high-threshold {high}"
        );
        Ok(ImageGc { high, low })
    }

    /// What the kubelet is to be told, but for its port: that is known when it listens.
    ///
    /// # Errors
    /// When flags contradict each other.
    pub fn settings(
        &self,
        containerd: PathBuf,
        version: &str,
        clock: stdx::Clock,
    ) -> anyhow::Result<kubelet::Settings> {
        Ok(kubelet::Settings {
            node_name: self.name(),
            root: self.root_dir.clone(),
            log_root: self.pod_logs_dir.clone(),
            containerd,
            static_pods: self.pod_manifest_path.clone(),
            node_ip: self.node_ip,
            port: self.kubelet_port,
            cgroup_root: self.cgroup_root.clone(),
            max_pods: self.max_pods,
            cluster_dns: self.cluster_dns.clone(),
            cluster_domain: self.cluster_domain.clone(),
            resolv_conf: self.resolv_conf.clone(),
            eviction_hard: self.eviction_hard.clone().unwrap_or_default(),
            image_gc: self.image_gc()?,
            version: version.to_owned(),
            clock,
            ids: stdx::Ids::system(),
        })
    }

    /// The node's name, in lower case as all names.
    pub fn name(&self) -> String {
        let given = self.hostname_override.clone();
        let name = given.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
        name.trim().to_ascii_lowercase()
    }
}
