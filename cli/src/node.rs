//! The node that this machine is: in the process of `pintle up`, or alone as `pintle kubelet`.

use crate::containerd::{self, Containerd};
use crate::flags::{self, Node};
use crate::{logs, remote, up};
use anyhow::Context;
use client::Client;
use std::path::Path;
use stdx::Clock;

/// Starts the node in the background of a cluster, where this machine can be one.
pub async fn start(flags: &Node, data_dir: &Path, client: Client, clock: Clock) -> anyhow::Result<()> {
    let given = flags.containerd.clone().map(Containerd::At);
    let found = match given {
        Some(given) => Some(given),
        None => containerd::find().await,
    };
    let Some(found) = found else {
        tracing::info!("no node on this machine: it takes root and an installed containerd");
        return Ok(());
    };
    let socket = found.socket(data_dir).await?;
    let settings = flags.settings(socket, apiserver::VERSION, clock);
    kubelet::start(settings, client).await.context("cannot start the node")?;
    Ok(())
}

/// `pintle kubelet`, until a signal ends it. Containers go on.
pub fn run(flags: &flags::Kubelet) -> anyhow::Result<()> {
    logs::start(flags.verbosity);
    up::raise_file_limit();
    let remote = remote::find(flags.kubeconfig.as_deref(), &flags.data)?;
    let client = Client::connect(&remote, &format!("kubelet/{}", env!("CARGO_PKG_VERSION")))?;
    let data_dir = flags.data.dir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kubelet").build();
    runtime.context("cannot start threads")?.block_on(async {
        let mut signals = up::Signals::new()?;
        start(&flags.node, &data_dir, client, Clock::system()).await?;
        signals.next().await;
        Ok(())
    })
}
