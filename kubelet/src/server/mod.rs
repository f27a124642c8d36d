//! The kubelet's server on port 10250: logs, exec, attach, port-forward, readings and pods of this node, over HTTPS,
//! for those whom the API server knows and allows. `access` asks who and may they, `routes` leads to what is asked for.

mod access;
mod attributes;
mod configuration;
mod connection;
mod container_logs;
mod machine_logs;
mod metrics;
mod pods;
mod query;
mod readings;
pub mod reply;
mod reviews;
mod routes;
mod run;
mod summary;
mod volumes;

#[cfg(test)]
mod tests;

use crate::cgroups::Cgroups;
use crate::streams::Streams;
use crate::volumes::Volumes;
use crate::{Kubelet, Pods, Runtime};
use access::Access;
use api::Value;
use certs::ServerTls;
use client::Client;
use readings::Samples;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
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
    /// `/var/lib/kubelet`: its file system is the node's.
    pub root: PathBuf,
    pub pods: Pods,
    pub runtime: Runtime,
    pub cgroups: Arc<Cgroups>,
    pub volumes: Volumes,
    pub streams: Streams,
}

impl Kubelet {
    /// Serves the node's clients, as `serve`. `client_cas` sign their certificates (DER).
    ///
    /// # Errors
    /// As those of `serve`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: ServerTls,
        client_cas: Vec<Vec<u8>>,
    ) -> io::Result<()> {
        let (parts, settings) = (&self.parts, &self.parts.settings);
        let parts = Parts {
            node_name: settings.node_name.clone(),
            client: parts.client.clone(),
            client_cas,
            clock: settings.clock.clone(),
            configuration: configuration::of(settings),
            machine_logs: "/var/log".into(),
            root: settings.root.clone(),
            pods: self.pods.clone(),
            runtime: self.runtime.clone(),
            cgroups: parts.context.cgroups.clone(),
            volumes: parts.context.volumes.clone(),
            streams: Streams::new(
                self.runtime.clone(),
                &crate::streams::folder(&settings.root),
                settings.ids.clone(),
            ),
        };
        serve(listener, tls, parts).await
    }
}

struct Server {
    parts: Parts,
    access: Access,
    samples: Arc<Samples>,
    on_disk: Arc<volumes::Found>,
}

/// Serves until the listener fails; the caller drops it to end it. Connections that became streams go on.
///
/// # Errors
/// When the listener cannot be used at all, or a CA certificate is none.
pub async fn serve(listener: TcpListener, tls: ServerTls, parts: Parts) -> io::Result<()> {
    let Parts { node_name, client, client_cas, clock, .. } = &parts;
    let access = Access::new(node_name, client, client_cas, clock).map_err(io::Error::other)?;
    let server = Server { parts, access, samples: Arc::default(), on_disk: Arc::default() };
    connection::accept(listener, tls, Arc::new(server)).await
}
