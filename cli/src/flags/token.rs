//! The flags of `pintle token`.

use super::Data;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    pub command: TokenCommand,
    #[command(flatten)]
    pub access: Access,
}

/// How the server is reached.
#[derive(Debug, Args)]
pub struct Access {
    /// The kubeconfig to use [default: $KUBECONFIG, the cluster's admin.kubeconfig, ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token by which nodes join, and print it
    Create(Create),
    /// List the tokens by which nodes join
    List,
    /// Delete tokens, by ID or whole
    Delete {
        /// ID or ID.SECRET
        #[arg(required = true, value_name = "TOKEN")]
        tokens: Vec<String>,
    },
    /// Print a new token without creating it
    Generate,
}

#[derive(Debug, Args)]
pub struct Create {
    /// The token, ID.SECRET [default: a random one]
    pub token: Option<String>,
    /// How long it lives, such as 2h; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "24h0m0s")]
    pub ttl: String,
    /// What it is good for: signing, authentication
    #[arg(long, value_name = "USE,…", value_delimiter = ',', default_value = "signing,authentication")]
    pub usages: Vec<String>,
    /// Groups of who uses it; each begins with system:bootstrappers:
    #[arg(
        long,
        value_name = "GROUP,…",
        value_delimiter = ',',
        default_value = "system:bootstrappers:kubeadm:default-node-token"
    )]
    pub groups: Vec<String>,
    /// What it is for, in words
    #[arg(long, default_value = "")]
    pub description: String,
}
