//! Load on any API server by kubeconfig, so that two servers are measured in one run and in turns.
//!
//! `cargo run --release -p bench -- --kubeconfig A --pid 1 --kubeconfig B --pid 2,3` runs each workload on A, B, A, B …
//! with the same bytes over the same kind of connections, and prints medians of throughput, latency, server CPU for each
//! request, and memory, with the ratio of the two. Figures count only when both are as durable and answer the same.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;

mod connection;
mod figures;
mod flood;
mod load;
mod objects;
mod pods;
mod process;
mod protobuf;
mod report;
mod scheduling;
mod server;
mod watchers;
mod workloads;

/// What to measure, where and how hard.
#[derive(Parser)]
#[command(name = "bench", about = "Measure one Kubernetes API server, or two in turns")]
pub struct Args {
    /// A server's kubeconfig; given twice, the two are measured in turns.
    #[arg(long, required = true)]
    kubeconfig: Vec<PathBuf>,
    /// The process ids of a server, comma-separated (API server and etcd); once for each kubeconfig.
    #[arg(long)]
    pid: Vec<String>,
    /// Only workloads whose name contains one of these words, comma-separated; `scheduling` and `pods` run only when they
    /// are named, for they need nodes and a scheduler.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each workload runs on each server; medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests of a workload in one round (lists take a hundredth).
    #[arg(long, default_value_t = 5_000)]
    requests: usize,
    /// Requests in flight at a time.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// HTTP/2 connections that share the requests in flight.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// HTTP/1.1 instead: one connection for each request in flight.
    #[arg(long)]
    http1: bool,
    /// Objects that gets, updates and patches choose from.
    #[arg(long, default_value_t = 1_000)]
    objects: usize,
    /// Pods that the list workloads read.
    #[arg(long, default_value_t = 10_000)]
    list_objects: usize,
    /// Watchers of the fan-out workload.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// HTTP/2 connections that the watchers share.
    #[arg(long, default_value_t = 20)]
    watch_connections: usize,
    /// Events of the fan-out workload in one round.
    #[arg(long, default_value_t = 100)]
    watch_events: usize,
    /// Writes a second of the fan-out workload.
    #[arg(long, default_value_t = 20)]
    watch_rate: u64,
    /// Connections of the flood workload.
    #[arg(long, default_value_t = 200)]
    flood_connections: usize,
    /// Gets of the calm user in one round of the flood workload, quiet and flooded.
    #[arg(long, default_value_t = 500)]
    flood_gets: usize,
    /// Pods of the workload `pods` in one round, one after another.
    #[arg(long, default_value_t = 50)]
    pods: usize,
    /// The image of these pods, which the node must have; it must know `sleep`.
    #[arg(long, default_value = "busybox:1")]
    image: String,
    /// Where to write all figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Leave the namespaces of the run on the servers.
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.kubeconfig.len() <= 2, "one or two kubeconfigs");
    ensure!(args.pid.len() <= args.kubeconfig.len(), "one --pid for each --kubeconfig");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&args))
}

async fn measure(args: &Args) -> Result<()> {
    let mut servers = Vec::new();
    for (index, path) in args.kubeconfig.iter().enumerate() {
        let pids = args.pid.get(index).map(String::as_str).unwrap_or_default();
        let server = server::Server::open(args, path, pids).await;
        servers.push(server.with_context(|| format!("server of {}", path.display()))?);
    }
    let figures = workloads::run_all(args, &mut servers).await;
    if !args.keep {
        for server in &servers {
            server.clean_up().await?;
        }
    }
    let figures = figures?;
    print!("{}", report::table(&figures));
    if let Some(path) = &args.json {
        std::fs::write(path, report::json(&figures))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
