//! `--containerd` and its like: the node that this machine is. Names are those of upstream's kubelet.

use clap::Args;
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
    /// How many pods the node takes
    #[arg(long, value_name = "N", default_value_t = kubelet::MAX_PODS)]
    pub max_pods: u32,
    /// The cgroup under which those of pods are made [default: the root]
    #[arg(long, value_name = "CGROUP", default_value = "", hide_default_value = true)]
    pub cgroup_root: String,
}

impl Node {
    /// What the kubelet is to be told, but for its port: that is known when it listens.
    pub fn settings(&self, containerd: PathBuf, version: &str, clock: stdx::Clock) -> kubelet::Settings {
        kubelet::Settings {
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
            version: version.to_owned(),
            clock,
            ids: stdx::Ids::system(),
        }
    }

    /// The node's name, in lower case as all names.
    pub fn name(&self) -> String {
        let given = self.hostname_override.clone();
        let name = given.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
        name.trim().to_ascii_lowercase()
    }
}
