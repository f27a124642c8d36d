//! Scheduling: so many pods are created at once in a cluster with nodes and a scheduler (`pintle up --hollow-nodes N`),
//! and the server's watch tells when each has its node. The latency is from just before a pod's create is sent until
//! its binding is seen; the rate counts from the first create to the last binding. Pods of earlier rounds stay, so that
//! later rounds show what idle pods cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::Args;
use crate::connection::{Call, Connection};
use crate::figures::Figures;
use crate::objects;
use crate::server::Server;

/// How long nothing may be bound before the round has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// When each pod of the round was sent, by number.
type Sent = Arc<Mutex<Vec<Option<Instant>>>>;

/// Runs one round.
///
/// # Errors
/// When a create is refused, or pods get no nodes for a minute.
pub async fn run(args: &Args, server: &mut Server, round: usize) -> Result<Figures> {
    let collection = format!("/api/v1/namespaces/{}/pods", server.namespace);
    let list = server.one(&Call::get(format!("{collection}?limit=1"))).await?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list has no version")?;
    let path = format!("{collection}?watch=true&resourceVersion={version}");
    let mut watcher = server.dialer.dial().await?;
    // The form that the server's own parts watch in, so that it is encoded once for all.
    let events = watcher.open(&server.dialer, &Call::get(path)).await?.into_body();
    let sent: Sent = Arc::new(Mutex::new(vec![None; args.requests]));
    let prefix = format!("\"name\":\"bound-{round}-");
    let follower = tokio::spawn(follow(events, prefix, sent.clone()));
    let before = server.processes.cpu_us()?;
    let start = Instant::now();
    create(args, server, &collection, round, &sent).await?;
    let (latencies, last) = follower.await??;
    drop(watcher);
    let after = server.processes.cpu_us()?;
    let count = args.requests.max(1) as f64;
    let cpu_us = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / count);
    let rss_kib = server.processes.rss_kib()?.map(|kib| kib as f64);
    Ok(Figures { cpu_us, rss_kib, ..Figures::of(latencies, last.duration_since(start)) })
}

async fn create(args: &Args, server: &Server, path: &str, round: usize, sent: &Sent) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for mut connection in server.dialer.shares(args.connections, args.concurrency).await? {
        let (dialer, sent, next) = (server.dialer.clone(), sent.clone(), next.clone());
        let (path, requests) = (path.to_owned(), args.requests);
        tasks.push(tokio::spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= requests {
                    return Ok::<Connection, anyhow::Error>(connection);
                }
                let body = objects::unbound_pod(&format!("bound-{round}-{index}"), index).to_string();
                let call = Call::with_body("POST", path.clone(), "application/json", body);
                sent.lock()[index] = Some(Instant::now());
                connection.drain(&dialer, &call).await?;
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Reads events, one a line, until every pod is bound; gives how long each took, and when the last was.
async fn follow(mut body: Incoming, prefix: String, sent: Sent) -> Result<(Vec<Duration>, Instant)> {
    let total = sent.lock().len();
    let (mut latencies, mut last) = (Vec::with_capacity(total), Instant::now());
    let mut line: Vec<u8> = Vec::new();
    while latencies.len() < total {
        let Ok(frame) = tokio::time::timeout(PATIENCE, body.frame()).await else {
            bail!("{} of {total} pods have a node, and no more get one", latencies.len());
        };
        let frame = frame.context("the watch ended early")??;
        let now = Instant::now();
        let mut data: &[u8] = frame.data_ref().map_or(&[], |data| data.as_ref());
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&data[..end]);
            data = &data[end + 1..];
            // Taken out, for a pod shows with its node more than once.
            let first = |index: usize| sent.lock().get_mut(index)?.take();
            if let Some(at) = bound(&line, prefix.as_bytes()).and_then(first) {
                latencies.push(now.duration_since(at));
                last = now;
            }
            line.clear();
        }
        line.extend_from_slice(data);
    }
    Ok((latencies, last))
}

/// The number of the pod that an event shows with a node.
fn bound(line: &[u8], prefix: &[u8]) -> Option<usize> {
    let find = |what: &[u8]| line.windows(what.len()).position(|window| window == what);
    let at = find(prefix)? + prefix.len();
    find(b"\"nodeName\":\"")?;
    let digits = line[at..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_when_it_shows_with_a_node() {
        let number = |spec: &str, prefix: &[u8]| {
            let line = format!("{{\"metadata\":{{\"name\":\"bound-2-17\"}},\"spec\":{{{spec}}}}}");
            bound(line.as_bytes(), prefix)
        };
        assert_eq!(number("\"nodeName\":\"n\"", b"\"name\":\"bound-2-"), Some(17));
        assert_eq!(number("", b"\"name\":\"bound-2-"), None);
        assert_eq!(number("\"nodeName\":\"n\"", b"\"name\":\"bound-1-"), None);
    }
}
