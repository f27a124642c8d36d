//! `pintle up` and `pintle apiserver`: from nothing to the ready line, and from a signal to a clean end.

use crate::data_dir::{DataDir, pki_dir};
use crate::flags::Cluster;
use crate::{logs, serve};
use anyhow::Context;
use certs::{Pki, ServerNames};
use controllers::Parts;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stdx::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Deeply nested bodies are walked by recursion; the memory is only touched when they are.
const THREAD_STACK_BYTES: usize = 16 * 1024 * 1024;
/// The `kubernetes` Service: the first address of the range of Services.
const SERVICE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// How often a running server looks whether its certificates are due.
const RENEWAL_PERIOD: Duration = Duration::from_secs(86_400);

/// Runs a cluster until a signal ends it. `started` is when the process did.
pub fn run(flags: &Cluster, parts: Parts, started: Instant) -> anyhow::Result<()> {
    logs::start(flags.verbosity);
    raise_file_limit();
    let (listener, plan) = Plan::new(flags, parts)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("pintle").thread_stack_size(THREAD_STACK_BYTES);
    if let Some(threads) = flags.threads {
        builder.worker_threads(threads.get());
    }
    let runtime = builder.build().context("cannot start threads")?;
    let done = runtime.block_on(async { tokio::spawn(cluster(listener, plan, started)).await? });
    runtime.shutdown_background();
    done
}

/// What is asked for, with everything that can be refused at once already in hand.
struct Plan {
    address: SocketAddr,
    data: DataDir,
    backend: store::Backend,
    kubeconfig: PathBuf,
    parts: Parts,
    flags: Cluster,
}

impl Plan {
    /// The plan and the listener, bound.
    fn new(flags: &Cluster, parts: Parts) -> anyhow::Result<(TcpListener, Self)> {
        let dir = flags.data.dir()?;
        let data = DataDir::open(&dir)?;
        let listener =
            TcpListener::bind(flags.listen).with_context(|| format!("cannot listen on {}", flags.listen))?;
        let address = listener.local_addr().context("cannot tell where we listen")?;
        let backend = flags.store.backend(&dir);
        let kubeconfig = flags.write_kubeconfig.clone().unwrap_or_else(|| dir.join("admin.kubeconfig"));
        Ok((listener, Plan { address, data, backend, kubeconfig, parts, flags: flags.clone() }))
    }

    /// The server's URL for clients of this machine.
    fn url(&self) -> String {
        format!("https://{}", reachable(self.address))
    }

    /// The keys and certificates, renewed where due, and the administrator's kubeconfig with them.
    fn pki(&self, clock: &Clock) -> anyhow::Result<Pki> {
        let names = ServerNames::for_listener(self.address, SERVICE_IP);
        let pki = Pki::open(&pki_dir(self.data.path()), &names, clock.now())?;
        let path = &self.kubeconfig;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let text =
            certs::kubeconfig::render(&self.url(), pki.ca.certificate_pem(), certs::ADMIN_USER, &pki.admin);
        certs::kubeconfig::write(path, &text)?;
        Ok(pki)
    }
}

async fn cluster(listener: TcpListener, plan: Plan, started: Instant) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let clock = Clock::system();
    let pki = plan.pki(&clock)?;
    plan.data.keep_endpoint(&plan.url())?;
    let order = serve::Order {
        pki: &pki,
        backend: plan.backend.clone(),
        clock: clock.clone(),
        parts: plan.parts,
        flags: &plan.flags,
        data_dir: plan.data.path(),
    };
    let mut server = serve::start(listener, order).await?;
    let (url, file, took) = (plan.url(), plan.kubeconfig.display(), started.elapsed().as_millis());
    announce(&format!("ready {url} kubeconfig={file} in {took} ms"));
    loop {
        tokio::select! {
            () = signals.next() => break,
            ended = server.ended() => return ended,
            () = tokio::time::sleep(RENEWAL_PERIOD) => match plan.pki(&clock).and_then(|pki| server.show(&pki.server)) {
                Ok(()) => tracing::debug!("certificates checked"),
                Err(error) => tracing::error!("cannot renew certificates: {error:#}"),
            },
        }
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

/// Says it on standard output; when nobody listens there, the server runs all the same.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "cannot print: {line}");
    }
}

/// As many open files as the system lets us have: each connection is one.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the server serves fewer connections, and says so when it comes to that.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The signals that end a server.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen to signals");
        Ok(Signals { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
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
