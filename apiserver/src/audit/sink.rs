//! Where events go, and how: at once (`blocking`), at once or the request fails (`blocking-strict`), or in batches
//! later (`batch`); events that are too large go without their bodies.

use super::batch::{Batch, BatchSettings};
use super::{event, lost};
use api::{Later, Value, json};
use std::sync::Arc;

/// Takes events.
pub trait Sink: Send + Sync {
    /// False when they were not kept and the request must not go on.
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool>;

    /// Writes what still waits.
    fn close(&self) -> Later<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Upstream's `--audit-*-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Batch,
    Blocking,
    BlockingStrict,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Batch, Mode::Blocking, Mode::BlockingStrict];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Batch => "batch",
            Mode::Blocking => "blocking",
            Mode::BlockingStrict => "blocking-strict",
        }
    }
}

/// Sizes in bytes after which events lose their bodies, and batches are split.
#[derive(Clone, Copy, Debug)]
pub struct Truncate {
    pub max_event_bytes: usize,
    pub max_batch_bytes: usize,
}

/// How events reach a sink.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    pub mode: Mode,
    pub batch: BatchSettings,
    pub truncate: Option<Truncate>,
}

/// A sink in the mode that was asked for.
pub fn wrapped(sink: Arc<dyn Sink>, settings: SinkSettings) -> Box<dyn Sink> {
    let SinkSettings { mode, batch, truncate } = settings;
    let sink: Arc<dyn Sink> = match mode {
        Mode::BlockingStrict => sink,
        Mode::Blocking => Arc::new(Lenient(sink)),
        Mode::Batch => Arc::new(Batch::start(sink, batch)),
    };
    Box::new(Limited { sink, truncate })
}

/// Lets requests go on whatever becomes of their events.
struct Lenient(Arc<dyn Sink>);

impl Sink for Lenient {
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
        Box::pin(async {
            self.0.take(events).await;
            true
        })
    }

    fn close(&self) -> Later<'_, ()> {
        self.0.close()
    }
}

/// Keeps events and batches small.
struct Limited {
    sink: Arc<dyn Sink>,
    truncate: Option<Truncate>,
}

impl Sink for Limited {
    fn take<'a>(&'a self, events: &'a [Value]) -> Later<'a, bool> {
        let Some(limits) = self.truncate else { return self.sink.take(events) };
        Box::pin(async move {
            let mut kept = true;
            for batch in split(events, limits) {
                kept &= self.sink.take(&batch).await;
            }
            kept
        })
    }

    fn close(&self) -> Later<'_, ()> {
        self.sink.close()
    }
}

/// Events small enough, in batches small enough. What is too large even without its bodies is lost.
fn split(events: &[Value], limits: Truncate) -> Vec<Vec<Value>> {
    let mut batches = vec![Vec::new()];
    let mut filled = 0;
    for event in events {
        let Some((event, size)) = shortened(event, limits.max_event_bytes) else { continue };
        if filled > 0 && filled + size > limits.max_batch_bytes {
            batches.push(Vec::new());
            filled = 0;
        }
        filled += size;
        if let Some(last) = batches.last_mut() {
            last.push(event);
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

fn shortened(event: &Value, max: usize) -> Option<(Value, usize)> {
    let size = |event: &Value| json::to_vec(event).len() + 1;
    let whole = size(event);
    if whole <= max {
        return Some((event.clone(), whole));
    }
    let short = match event.str_at(&["level"]) {
        "Request" | "RequestResponse" => event::truncated(event),
        _ => event.clone(),
    };
    let left = size(&short);
    if left > max {
        lost("truncate", &[short], &"event is too large even after truncating");
        return None;
    }
    Some((short, left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn large_events_lose_their_bodies_and_batches_are_split() {
        let limits = Truncate { max_event_bytes: 200, max_batch_bytes: 300 };
        let body = "x".repeat(500);
        let large = tree!({"level": "Request", "auditID": "1", "requestObject": body.as_str()});
        let small = tree!({"level": "Metadata", "auditID": "2", "verb": "y".repeat(130)});
        let hopeless = tree!({"level": "Metadata", "auditID": "3", "verb": body.as_str()});
        let batches = split(&[large, small.clone(), hopeless, small.clone()], limits);
        assert_eq!(batches.len(), 2, "{batches:?}");
        assert_eq!(batches[0].len(), 2);
        assert!(batches[0][0].get("requestObject").is_none());
        assert_eq!(batches[0][0].str_at(&["annotations", "audit.k8s.io/truncated"]), "true");
        assert_eq!(batches[1], [small]);
    }
}
