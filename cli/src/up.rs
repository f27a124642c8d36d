//! `pintle up` and `pintle apiserver`: from nothing to the ready line, and from a signal to a clean end.

use crate::data_dir::{DataDir, pki_dir};
use crate::flags::Cluster;
use crate::{logs, serve};
use anyhow::Context;
use certs::{Pki, ServerNames};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Instant;
use stdx::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Deeply nested bodies are walked by recursion; the memory is only touched when they are.
const THREAD_STACK_BYTES: usize = 16 * 1024 * 1024;
/// The `kubernetes` Service: the first address of the range of Services.
const SERVICE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// Runs a cluster until a signal ends it. `started` is when the process did.
pub fn run(flags: &Cluster, started: Instant) -> anyhow::Result<()> {
    logs::start(flags.verbosity);
    raise_file_limit();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("pintle").thread_stack_size(THREAD_STACK_BYTES);
    if let Some(threads) = flags.threads {
        builder.worker_threads(threads.get());
    }
    let runtime = builder.build().context("cannot start threads")?;
    let done = runtime.block_on(async { tokio::spawn(cluster(Plan::new(flags)?, started)).await? });
    runtime.shutdown_background();
    done
}

/// What is asked for, with everything that can be refused at once already in hand.
struct Plan {
    listener: TcpListener,
    address: SocketAddr,
    data: DataDir,
    backend: store::Backend,
    kubeconfig: PathBuf,
}

impl Plan {
    fn new(flags: &Cluster) -> anyhow::Result<Self> {
        let dir = flags.data.dir()?;
        let data = DataDir::open(&dir)?;
        let listener =
            TcpListener::bind(flags.listen).with_context(|| format!("cannot listen on {}", flags.listen))?;
        let address = listener.local_addr().context("cannot tell where we listen")?;
        let backend = flags.store.backend(&dir);
        let kubeconfig = flags.write_kubeconfig.clone().unwrap_or_else(|| dir.join("admin.kubeconfig"));
        Ok(Plan { listener, address, data, backend, kubeconfig })
    }
}

async fn cluster(plan: Plan, started: Instant) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let clock = Clock::system();
    let names = ServerNames::for_listener(plan.address, SERVICE_IP);
    let pki = Pki::open(&pki_dir(plan.data.path()), &names, clock.now())?;
    let url = format!("https://{}", reachable(plan.address));
    write_kubeconfig(&plan.kubeconfig, &url, &pki)?;
    plan.data.keep_endpoint(&url)?;
    let mut server = serve::start(plan.listener, pki, plan.backend, clock).await?;
    announce(&format!(
        "ready {url} kubeconfig={} in {} ms",
        plan.kubeconfig.display(),
        started.elapsed().as_millis()
    ));
    tokio::select! {
        () = signals.next() => {}
        ended = server.ended() => ended?,
    }
    tracing::info!("draining");
    tokio::select! {
        () = server.stop() => Ok(()),
        () = signals.next() => anyhow::bail!("cut off by a second signal"),
    }
}

/// Where a client of this machine reaches a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn write_kubeconfig(path: &Path, url: &str, pki: &Pki) -> anyhow::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let text = certs::kubeconfig::render(url, pki.ca.certificate_pem(), certs::ADMIN_USER, &pki.admin);
    Ok(certs::kubeconfig::write(path, &text)?)
}

/// Says it on standard output; when nobody listens there, the server runs all the same.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "cannot print: {line}");
    }
}

/// As many open files as the system lets us have: each connection is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the server serves fewer connections, and says so when it comes to that.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen to signals");
        Ok(Signals { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_this_machine_are_sent_where_they_can_go() {
        for (listens, reached) in
            [("0.0.0.0:6443", "127.0.0.1:6443"), ("[::]:6443", "[::1]:6443"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
