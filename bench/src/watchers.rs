//! Watch fan-out: one object changes at a steady rate, many watchers on few connections see each change. The lag is from
//! just before the write is sent until a watcher has read its event; an operation is one event delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;

use crate::Args;
use crate::connection::{Call, Connection, Dialer};
use crate::figures::Figures;
use crate::server::Server;

/// Filler that makes an event 0.8 KB.
const FILLER: usize = 500;
/// Marks the time of a write inside its event, in microseconds since the round began.
const SENT: &[u8] = b"\"sent\":\"";

/// Runs one round.
///
/// # Errors
/// When a watch ends early or a write fails.
pub async fn run(args: &Args, server: &mut Server) -> Result<Figures> {
    let collection = format!("/api/v1/namespaces/{}/configmaps", server.namespace);
    let list = server.one(&Call::get(format!("{collection}?limit=1"))).await?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list has no version")?;
    let watch =
        format!("{collection}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3Dbeat");
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for mut connection in server.dialer.shares(args.watch_connections, args.watchers).await? {
        let body = connection.open(&server.dialer, &Call::get(watch.clone())).await?.into_body();
        let events = args.watch_events;
        // The connection is held as long as its watch.
        tasks.push(tokio::spawn(async move { (follow(body, events, begin).await, connection).0 }));
    }
    let before = server.processes.cpu_us()?;
    let start = Instant::now();
    let writer = server.dialer.dial().await?;
    write(args, server.dialer.clone(), writer, &collection, begin).await?;
    let mut lags = Vec::with_capacity(args.watchers * args.watch_events);
    for task in tasks {
        lags.extend(task.await??);
    }
    let took = start.elapsed();
    let delivered = lags.len().max(1) as f64;
    let after = server.processes.cpu_us()?;
    let cpu_us = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / delivered);
    let rss_kib = server.processes.rss_kib()?.map(|kib| kib as f64);
    Ok(Figures { cpu_us, rss_kib, ..Figures::of(lags, took) })
}

/// Creates the object and changes it, so many times in all, then deletes it.
async fn write(
    args: &Args,
    dialer: Arc<Dialer>,
    mut connection: Connection,
    path: &str,
    begin: Instant,
) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / args.watch_rate.max(1)));
    for turn in 0..args.watch_events {
        ticks.tick().await;
        let data = json!({"sent": begin.elapsed().as_micros().to_string(), "filler": "x".repeat(FILLER)});
        let body =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beat"}, "data": data});
        let call = match turn {
            0 => Call::with_body("POST", path.to_owned(), "application/json", body.to_string()),
            _ => Call::with_body("PUT", format!("{path}/beat"), "application/json", body.to_string()),
        };
        connection.drain(&dialer, &call).await?;
    }
    let call = Call { method: "DELETE", ..Call::get(format!("{path}/beat")) };
    connection.drain(&dialer, &call).await?;
    Ok(())
}

/// Reads events, one a line, until there were enough of them; gives the lag of each.
async fn follow(mut body: hyper::body::Incoming, events: usize, begin: Instant) -> Result<Vec<Duration>> {
    let mut lags = Vec::with_capacity(events);
    let mut line: Vec<u8> = Vec::new();
    while lags.len() < events {
        let frame = body.frame().await.context("a watch ended early")??;
        let now = begin.elapsed();
        let mut data: &[u8] = frame.data_ref().map_or(&[], Bytes::as_ref);
        // The deletion that follows the last write may come in the same piece.
        while lags.len() < events
            && let Some(end) = data.iter().position(|byte| *byte == b'\n')
        {
            line.extend_from_slice(&data[..end]);
            data = &data[end + 1..];
            let sent =
                sent(&line).with_context(|| format!("an event: {}", String::from_utf8_lossy(&line)))?;
            lags.push(now.saturating_sub(sent));
            line.clear();
        }
        line.extend_from_slice(data);
    }
    ensure!(lags.len() == events, "{} events, {events} writes", lags.len());
    Ok(lags)
}

fn sent(line: &[u8]) -> Option<Duration> {
    let at = line.windows(SENT.len()).position(|window| window == SENT)? + SENT.len();
    let digits = line[at..].split(|byte| *byte == b'"').next()?;
    Some(Duration::from_micros(std::str::from_utf8(digits).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_write_is_found_in_its_event() {
        let line = br#"{"type":"ADDED","object":{"data":{"filler":"x","sent":"1500"}}}"#;
        assert_eq!(sent(line), Some(Duration::from_micros(1_500)));
        assert_eq!(sent(b"{}"), None);
    }
}
