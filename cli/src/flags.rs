//! The command line.

mod admission;
mod audit;
mod authentication;
pub mod authorization;
mod controller_manager;
mod encryption;
mod explain;
mod flow;
mod kubelet;
mod kubelet_client;
mod limits;
mod node;
mod oidc;
mod scheduler;
mod service_accounts;
mod token;

pub use admission::Admission;
pub use audit::Audit;
pub use authentication::Authentication;
pub use authorization::Authorization;
pub use controller_manager::ControllerManager;
pub use encryption::Encryption;
pub use explain::Explain;
pub use flow::Flow;
pub use kubelet::Kubelet;
pub use kubelet_client::KubeletClient;
pub use limits::Limits;
pub use node::Node;
pub use oidc::Oidc;
pub use scheduler::Scheduler;
pub use service_accounts::ServiceAccounts;
pub use token::{Create, Token, TokenCommand};

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use store::Backend;

/// Where a cluster listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:6443";

/// Kubernetes in one binary.
#[derive(Debug, Parser)]
#[command(name = "pintle", disable_version_flag = true)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a cluster in the foreground
    Up(Box<Up>),
    /// Run the API server alone
    Apiserver(Box<Cluster>),
    /// Make this machine a node of an API server elsewhere
    Kubelet(Kubelet),
    /// Print a kubeconfig for a user of the cluster
    Kubeconfig(Kubeconfig),
    /// Say why somebody may do something, or may not
    Explain(Explain),
    /// Manage the tokens by which nodes join
    Token(Token),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    pub cluster: Cluster,
    /// Do not make this machine a node
    #[arg(long, help_heading = "Node", conflicts_with = "containerd")]
    pub no_node: bool,
    /// Simulate so many nodes, which report the pods they are given as running; this machine is then a node only with
    /// --containerd
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Node")]
    pub hollow_nodes: usize,
    #[command(flatten)]
    pub node: Node,
    #[command(flatten)]
    pub scheduler: Scheduler,
    #[command(flatten)]
    pub controller_manager: ControllerManager,
}

impl Up {
    /// The cluster that is asked for.
    pub fn cluster(mut self) -> Cluster {
        let is_node = !self.no_node && (self.hollow_nodes == 0 || self.node.containerd.is_some());
        self.cluster.admission.whole_cluster();
        self.cluster.hollow_nodes = self.hollow_nodes;
        self.cluster.scheduler = self.scheduler;
        self.cluster.controller_manager = self.controller_manager;
        self.cluster.node = is_node.then(|| self.node.on_shared_machine());
        self.cluster
    }
}

#[derive(Clone, Debug, Args)]
pub struct Cluster {
    #[command(flatten)]
    pub data: Data,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// Where to write the administrator's kubeconfig [default: DIR/admin.kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// Where objects are kept: memory, embedded, or etcd=URL[,URL…]
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    pub store: Store,
    /// How much to log: 0 to 10
    #[arg(short, long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
    /// Threads that serve requests
    #[arg(long, hide = true)]
    pub threads: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    pub authentication: Authentication,
    #[command(flatten)]
    pub oidc: Oidc,
    #[command(flatten)]
    pub authorization: Authorization,
    #[command(flatten)]
    pub admission: Admission,
    #[command(flatten)]
    pub flow: Flow,
    #[command(flatten)]
    pub audit: Audit,
    #[command(flatten)]
    pub encryption: Encryption,
    #[command(flatten)]
    pub kubelet_client: KubeletClient,
    #[command(flatten)]
    pub limits: Limits,
    /// Of `pintle up`.
    #[arg(skip)]
    pub hollow_nodes: usize,
    /// Of `pintle up`.
    #[arg(skip)]
    pub controller_manager: ControllerManager,
    /// Of `pintle up`: what this machine is to be as a node.
    #[arg(skip)]
    pub node: Option<Node>,
    /// Of `pintle up`.
    #[arg(skip)]
    pub scheduler: Scheduler,
}

#[derive(Clone, Debug, Args)]
pub struct Data {
    /// Where the cluster keeps its keys and objects [default: /var/lib/pintle for root,
    /// ~/.local/share/pintle for others]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Kubeconfig {
    #[command(flatten)]
    pub data: Data,
    /// The user's name
    #[arg(long, default_value = certs::ADMIN_USER)]
    pub user: String,
    /// A group of the user; may be given several times [default: system:masters for the default user]
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// The server's URL [default: where the cluster was last seen]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

/// The value of `--store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    Memory,
    Embedded,
    Etcd(Vec<String>),
}

/// Go's form of a duration, such as `1m30s`; not a negative one.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let nanos = api::time::parse_duration(text)?;
    u64::try_from(nanos)
        .map(std::time::Duration::from_nanos)
        .map_err(|_| "it must not be negative".to_owned())
}

impl std::str::FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(urls) = text.strip_prefix("etcd=") {
            let urls: Vec<String> = urls.split(',').map(ToOwned::to_owned).collect();
            let http = |url: &String| {
                ["http://", "https://"]
                    .iter()
                    .any(|scheme| url.strip_prefix(scheme).is_some_and(|host| !host.is_empty()))
            };
            return if urls.iter().all(http) {
                Ok(Store::Etcd(urls))
            } else {
                Err(format!("no URLs in {text}"))
            };
        }
        match text {
            "memory" => Ok(Store::Memory),
            "embedded" => Ok(Store::Embedded),
            _ => Err("it is memory, embedded or etcd=URL[,URL…]".to_owned()),
        }
    }
}

impl Store {
    /// The engine, for a cluster with its data in `dir`.
    pub fn backend(&self, dir: &Path) -> Backend {
        match self {
            Store::Memory => Backend::Memory,
            Store::Embedded => Backend::Embedded(dir.join("store")),
            Store::Etcd(urls) => Backend::Etcd(urls.clone()),
        }
    }
}

impl Data {
    /// The directory given, or the place that is usual for this user.
    pub fn dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        let root = rustix::process::geteuid().is_root();
        usual_dir(root, std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"))
            .ok_or_else(|| anyhow::anyhow!("HOME is not set: say --data-dir DIR"))
    }
}

fn usual_dir(root: bool, xdg_data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some("/var/lib/pintle".into());
    }
    let given = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let base = xdg_data_home.and_then(given).or_else(|| Some(home.and_then(given)?.join(".local/share")))?;
    Some(base.join("pintle"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_read_as_they_are_written() {
        assert_eq!("memory".parse(), Ok(Store::Memory));
        assert_eq!("embedded".parse(), Ok(Store::Embedded));
        let two = vec!["http://a:2379".to_owned(), "https://b:2379".to_owned()];
        assert_eq!("etcd=http://a:2379,https://b:2379".parse(), Ok(Store::Etcd(two)));
        for wrong in ["", "paper", "etcd", "etcd=", "etcd=a:2379", "etcd=http://a,", "etcd=http://", "Memory"]
        {
            assert!(wrong.parse::<Store>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn data_has_a_usual_place() {
        let path = |text: &str| Some(OsString::from(text));
        assert_eq!(usual_dir(true, path("/x"), path("/root")), Some("/var/lib/pintle".into()));
        assert_eq!(usual_dir(false, path("/x"), path("/home/a")), Some("/x/pintle".into()));
        assert_eq!(usual_dir(false, path("x"), path("/home/a")), Some("/home/a/.local/share/pintle".into()));
        assert_eq!(usual_dir(false, None, None), None);
    }

    #[test]
    fn the_flags_agree_with_each_other() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
        let flags =
            Flags::try_parse_from(["pintle", "up", "--listen", "[::1]:0", "--v=4", "--no-node"]).unwrap();
        let Command::Up(up) = flags.command else { panic!("{flags:?}") };
        assert!(up.no_node && up.cluster.listen.is_ipv6() && up.cluster.verbosity == 4);
    }
}
