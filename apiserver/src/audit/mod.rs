//! Audit: who did what, when, and what came of it, by the rules of a policy file; told to a log file, to a webhook, or
//! both.
//!
//! It wraps the corridor from outside: a `Trail` begins with the request, learns on the way who calls and what is
//! asked (`trail`), and writes an event (`event`) at each stage that the policy (`policy`, `policy_file`) wants told.
//! Sinks (`sink`, `log`, `webhook`, `batch`) take events. Without a policy, or without a sink, there are no trails.

mod batch;
mod event;
mod log;
mod policy;
mod policy_file;
mod rotate;
mod sink;
mod trail;
mod webhook;

pub use batch::BatchSettings;
pub use log::{Format, LogSettings};
pub use sink::{Mode, SinkSettings, Truncate};
pub(crate) use trail::{Trail, Unfinished, deprecated, id};
pub use webhook::WebhookSettings;

use api::{Fault, Value};
use policy::Policy;
use sink::Sink;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stdx::Clock;

/// The audit of a server.
pub struct Audit {
    policy: Policy,
    sinks: Vec<Box<dyn Sink>>,
    clock: Clock,
    pub counts: Counts,
}

/// What metrics show.
#[derive(Default)]
pub struct Counts {
    /// Events handed to the sinks.
    pub events: AtomicU64,
    /// Requests refused because their first event could not be kept.
    pub rejected: AtomicU64,
}

/// What is to be audited, and where it is told.
pub struct Settings<'a> {
    /// The policy file; without one nothing is audited.
    pub policy: Option<&'a Path>,
    pub log: Option<LogSettings>,
    pub webhook: Option<WebhookSettings>,
    pub clock: Clock,
}

impl Audit {
    /// Reads the policy and opens the sinks. Nothing when there is nothing to audit, or nobody to tell; one line when
    /// something cannot be used. Must be called within a tokio runtime.
    pub fn open(settings: Settings<'_>) -> Result<Option<Arc<Self>>, String> {
        let Settings { policy, log, webhook, clock } = settings;
        let policy = policy.map(policy_file::load).transpose()?;
        let mut sinks = Vec::new();
        if let Some(log) = log {
            sinks.push(log::open(log, clock.clone())?);
        }
        if let Some(webhook) = webhook {
            sinks.push(webhook::open(webhook)?);
        }
        let Some(policy) = policy.filter(|_| !sinks.is_empty()) else { return Ok(None) };
        Ok(Some(Arc::new(Audit { policy, sinks, clock, counts: Counts::default() })))
    }

    /// Hands an event to every sink; false when one of them says that the request must not go on.
    async fn tell(&self, event: Value) -> bool {
        self.counts.events.fetch_add(1, Ordering::Relaxed);
        let events = [event];
        let mut kept = true;
        for sink in &self.sinks {
            kept &= sink.take(&events).await;
        }
        kept
    }

    /// What was told, as Prometheus reads it.
    pub fn write_metrics(&self, out: &mut String) {
        let counters = [
            ("apiserver_audit_event_total", &self.counts.events, "Audit events that were told."),
            (
                "apiserver_audit_requests_rejected_total",
                &self.counts.rejected,
                "Requests refused because their audit event could not be kept.",
            ),
        ];
        for (name, count, help) in counters {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
        }
    }

    /// Writes what still waits to be written. Events that come later are lost.
    pub async fn close(&self) {
        for sink in &self.sinks {
            sink.close().await;
        }
    }
}

/// All faults in one line: `A`, or `[A, B]`.
pub(crate) fn aggregate(faults: &[Fault]) -> String {
    match faults {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// A sink could not keep events: the log of the server has them instead.
fn lost(plugin: &str, events: &[Value], why: &dyn std::fmt::Display) {
    for event in events {
        let line = event::legacy_line(event);
        tracing::error!("error in audit plugin '{plugin}' affecting 1 audit events: {why}: {line}");
    }
}

#[cfg(test)]
mod tests;
