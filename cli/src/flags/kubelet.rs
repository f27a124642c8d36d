//! `pintle kubelet`: the node alone, for an API server elsewhere.

use super::{Data, Node};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Kubelet {
    #[command(flatten)]
    pub data: Data,
    /// How the API server is reached, as system:node:NAME of the group system:nodes
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The authority of those who may ask the kubelet by certificate [default: that of the kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// How much to log: 0 to 10
    #[arg(short, long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
    #[command(flatten)]
    pub node: Node,
}
