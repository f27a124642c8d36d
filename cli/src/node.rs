//! The node that this machine is: in the process of `pintle up`, or alone as `pintle kubelet`.

use crate::containerd::{self, Containerd};
use crate::flags::{self, Node};
use crate::pod_rules::PodRules;
use crate::{logs, remote, up};
use anyhow::Context;
use certs::{Authority, ServerNames, ServerTls, certificates_from_pem};
use client::Client;
use kubelet::Kubelet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

/// How often the certificate of the kubelet's server is made anew.
const RENEWAL_PERIOD: Duration = Duration::from_secs(30 * 86_400);

/// Who signs what the kubelet shows to its clients, and what they show to it.
#[derive(Clone)]
pub struct Trust {
    pub authority: Arc<Authority>,
    /// In DER.
    pub client_cas: Vec<Vec<u8>>,
}

/// Starts the node in the background of a cluster, where this machine can be one.
pub async fn start(
    flags: &Node,
    data_dir: &Path,
    client: Client,
    clock: Clock,
    trust: Trust,
) -> anyhow::Result<()> {
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
    let mut settings = flags.settings(socket, apiserver::VERSION, clock.clone())?;
    let place = (Ipv4Addr::UNSPECIFIED, flags.kubelet_port);
    let listener = TcpListener::bind(place).with_context(|| format!("cannot listen on port {}", place.1))?;
    settings.port = listener.local_addr().context("cannot tell where we listen")?.port();
    let address = kubelet::address(&settings);
    let kubelet = kubelet::start(settings, client).await.context("cannot start the node")?;
    if let Some(rules) = PodRules::new() {
        kubelet.run_folder(Arc::new(rules));
    }
    tokio::spawn(serve(kubelet, listener, trust, (flags.name(), address), clock));
    Ok(())
}

/// Serves the node's clients, with a certificate for its name and address that is renewed in time.
async fn serve(
    kubelet: Kubelet,
    listener: TcpListener,
    trust: Trust,
    (name, address): (String, IpAddr),
    clock: Clock,
) {
    let names = ServerNames::new(
        vec![name.clone(), "localhost".to_owned()],
        vec![address, Ipv4Addr::LOCALHOST.into()],
    );
    let issue = || trust.authority.issue_node_server(&name, &names, clock.now());
    let hints: Vec<&[u8]> = trust.client_cas.iter().map(Vec::as_slice).collect();
    let tls = match issue().map_err(anyhow::Error::from).and_then(|own| Ok(ServerTls::new(&own, &hints)?)) {
        Ok(tls) => tls,
        Err(error) => return tracing::error!("no certificate for the kubelet's server: {error:#}"),
    };
    let renew = async {
        loop {
            tokio::time::sleep(RENEWAL_PERIOD).await;
            if let Err(error) = issue().map_err(anyhow::Error::from).and_then(|own| Ok(tls.replace(&own)?)) {
                tracing::error!("cannot renew the certificate of the kubelet's server: {error:#}");
            }
        }
    };
    tokio::select! {
        ended = kubelet.serve(listener, tls.clone(), trust.client_cas.clone()) => {
            if let Err(error) = ended {
                tracing::error!(%error, "the kubelet's server ended");
            }
        }
        () = renew => {}
    }
}

/// `pintle kubelet`, until a signal ends it. Containers go on.
pub fn run(flags: &flags::Kubelet) -> anyhow::Result<()> {
    logs::start(flags.verbosity);
    up::raise_file_limit();
    let remote = remote::find(flags.kubeconfig.as_deref(), &flags.data)?;
    let client = Client::connect(&remote, &format!("kubelet/{}", env!("CARGO_PKG_VERSION")))?;
    let data_dir = flags.data.dir()?;
    let trust = trust(flags, &remote)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kubelet").build();
    runtime.context("cannot start threads")?.block_on(async {
        let mut signals = up::Signals::new()?;
        start(&flags.node, &data_dir, client, Clock::system(), trust).await?;
        signals.next().await;
        Ok(())
    })
}

/// A node alone signs for itself, as upstream's does; its clients' authority is the file given, or that of the cluster.
fn trust(flags: &flags::Kubelet, remote: &api::Remote) -> anyhow::Result<Trust> {
    let pem = match &flags.client_ca_file {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => remote.ca.clone().unwrap_or_default(),
    };
    let cas = certificates_from_pem(&String::from_utf8_lossy(&pem));
    let authority = Authority::new(&format!("{}-ca", flags.node.name()), Clock::system().now())?;
    Ok(Trust { authority: Arc::new(authority), client_cas: cas.map_err(anyhow::Error::msg)? })
}
