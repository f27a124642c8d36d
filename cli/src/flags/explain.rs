//! The flags of `pintle explain`.

use super::Data;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Explain {
    /// What is to be done: get, list, create, …; for a path the method in small letters
    pub verb: String,
    /// To what: pods, deployments.apps, pods/log, or a path such as /healthz
    pub resource: String,
    /// The object's name
    pub name: Option<String>,
    /// The namespace [default: the kubeconfig's, or default]
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Everywhere, at the scope of the cluster
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Ask as this user
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Ask as a member of this group; may be given several times
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    pub groups: Vec<String>,
    /// The kubeconfig to use [default: $KUBECONFIG, the cluster's admin.kubeconfig, ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
}
