//! The engine: so many requests, so many of them in flight, each one's time taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use crate::connection::{Call, Connection, Dialer};
use crate::figures::Figures;
use crate::server::Server;

/// Which request is to be made next.
pub struct Turn<'a> {
    /// Counts all requests of the round.
    pub index: usize,
    /// The worker that makes it, from 0.
    pub worker: usize,
    /// The worker's previous answer; empty at first, and when the workload does not ask for answers.
    pub last: &'a [u8],
}

/// Makes a worker's next request.
pub type Calls = Arc<dyn Fn(&Turn<'_>) -> Call + Send + Sync>;

/// How to run them.
pub struct Load {
    /// Requests in all.
    pub requests: usize,
    /// Requests in flight at a time.
    pub workers: usize,
    /// Whether a worker needs its previous answer.
    pub keep_answers: bool,
    /// Makes the requests.
    pub calls: Calls,
}

/// Runs a load on a server; the first failing request ends it.
///
/// # Errors
/// When a request fails or a process of the server is gone.
pub async fn run(server: &mut Server, load: Load) -> Result<Figures> {
    let load = Arc::new(load);
    let next = Arc::new(AtomicUsize::new(0));
    let workers = load.workers.clamp(1, server.shares.len());
    let rest = server.shares.split_off(workers);
    let connections = std::mem::replace(&mut server.shares, rest);
    let before = server.processes.cpu_us()?;
    let begin = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(worker, connection)| {
            let worker =
                Worker { worker, connection, dialer: server.dialer.clone(), latencies: Vec::new(), bytes: 0 };
            tokio::spawn(worker.run(load.clone(), next.clone()))
        })
        .collect();
    let mut latencies = Vec::with_capacity(load.requests);
    let mut bytes = 0;
    for task in tasks {
        let done = task.await??;
        latencies.extend(done.latencies);
        bytes += done.bytes;
        server.shares.push(done.connection);
    }
    let took = begin.elapsed();
    let requests = load.requests.max(1) as f64;
    let after = server.processes.cpu_us()?;
    let cpu_us = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / requests);
    let rss_kib = server.processes.rss_kib()?.map(|kib| kib as f64);
    Ok(Figures { cpu_us, rss_kib, bytes: bytes as f64 / requests, ..Figures::of(latencies, took) })
}

struct Worker {
    worker: usize,
    connection: Connection,
    dialer: Arc<Dialer>,
    latencies: Vec<Duration>,
    bytes: usize,
}

impl Worker {
    async fn run(mut self, load: Arc<Load>, next: Arc<AtomicUsize>) -> Result<Self> {
        let mut last = Bytes::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= load.requests {
                return Ok(self);
            }
            let call = (load.calls)(&Turn { index, worker: self.worker, last: &last });
            let begin = Instant::now();
            if load.keep_answers {
                last = self.connection.send(&self.dialer, &call).await?;
                self.bytes += last.len();
            } else {
                self.bytes += self.connection.drain(&self.dialer, &call).await?;
            }
            self.latencies.push(begin.elapsed());
        }
    }
}
