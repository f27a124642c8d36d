//! Events: what a controller did and why, as `kubectl describe` shows it.
//!
//! Recording never holds up a controller and never fails it. An event that repeats is counted, and an object that
//! causes many gets no more than `BURST` for a while.

use crate::resources;
use api::{Value, tree};
use client::Client;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stdx::{Clock, Time};

/// How many events an object causes at once, and how soon another may follow.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);
/// How many objects and events are remembered.
const REMEMBERED: usize = 1024;

/// Records under the name of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    component: &'static str,
    clock: Clock,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// Events seen: their name and count.
    seen: HashMap<String, (String, i64)>,
    /// By object: how many events are left, and since when.
    left: HashMap<String, (u32, Time)>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Create(String),
    /// The name of the one that repeats, and the new count.
    Count(String, i64),
    Drop,
}

impl Recorder {
    pub fn new(client: Client, component: &'static str, clock: Clock) -> Self {
        Recorder { client, component, clock, memory: Arc::default() }
    }

    pub fn normal(&self, kind: (&str, &str), object: &Value, reason: &str, message: &str) {
        self.record("Normal", kind, object, reason, message);
    }

    pub fn warning(&self, kind: (&str, &str), object: &Value, reason: &str, message: &str) {
        self.record("Warning", kind, object, reason, message);
    }

    /// `kind` is the object's `apiVersion` and `kind`.
    fn record(&self, ty: &str, kind: (&str, &str), object: &Value, reason: &str, message: &str) {
        let now = self.clock.now();
        let uid = object.str_at(&["metadata", "uid"]);
        let name = object.str_at(&["metadata", "name"]);
        let key = format!("{uid}/{ty}/{reason}/{message}");
        let plan = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.plan(uid, name, key, now)
        };
        let (recorder, namespace) = (self.clone(), namespace_of(object).to_owned());
        match plan {
            Plan::Drop => {}
            Plan::Count(name, count) => {
                let patch = tree!({"count": count, "lastTimestamp": now.rfc3339()});
                tokio::spawn(async move {
                    let events = resources::events();
                    let _ = recorder.client.merge_patch(&events, &namespace, &name, "", &patch).await;
                });
            }
            Plan::Create(name) => {
                let event = self.event(&name, ty, kind, object, reason, message, now);
                tokio::spawn(async move {
                    let created = recorder.client.create(&resources::events(), &namespace, &event).await;
                    if let Err(error) = created {
                        tracing::debug!(%error, "an event is not recorded");
                    }
                });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an event has that many sides")]
    fn event(
        &self,
        name: &str,
        ty: &str,
        (api_version, kind): (&str, &str),
        object: &Value,
        reason: &str,
        message: &str,
        now: Time,
    ) -> Value {
        let mut about = tree!({"kind": kind});
        for field in ["namespace", "name", "uid"] {
            if !object.str_at(&["metadata", field]).is_empty() {
                about.set(&[field], object.str_at(&["metadata", field]));
            }
        }
        about.set(&["apiVersion"], api_version);
        about.set(&["resourceVersion"], object.str_at(&["metadata", "resourceVersion"]));
        tree!({
            "metadata": {"name": name, "namespace": namespace_of(object)},
            "involvedObject": about, "reason": reason, "message": message,
            "source": {"component": self.component},
            "firstTimestamp": now.rfc3339(), "lastTimestamp": now.rfc3339(), "count": 1, "type": ty,
            "eventTime": null, "reportingComponent": self.component, "reportingInstance": ""
        })
    }
}

fn namespace_of(object: &Value) -> &str {
    match object.str_at(&["metadata", "namespace"]) {
        "" => "default",
        namespace => namespace,
    }
}

impl Memory {
    fn plan(&mut self, uid: &str, name: &str, key: String, now: Time) -> Plan {
        if self.left.len() >= REMEMBERED {
            self.left.clear();
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        let (left, since) = self.left.entry(uid.to_owned()).or_insert((BURST, now));
        let refilled = now.since(*since).as_secs() / REFILL.as_secs();
        if refilled > 0 {
            *left = BURST.min(left.saturating_add(u32::try_from(refilled).unwrap_or(BURST)));
            *since = now;
        }
        if *left == 0 {
            return Plan::Drop;
        }
        *left -= 1;
        if let Some((name, count)) = self.seen.get_mut(&key) {
            *count += 1;
            return Plan::Count(name.clone(), *count);
        }
        let nanos = now.secs.wrapping_mul(1_000_000_000).wrapping_add(i64::from(now.nanos));
        let name = format!("{name}.{:x}", nanos.wrapping_add(i64::try_from(self.seen.len()).unwrap_or(0)));
        self.seen.insert(key, (name.clone(), 1));
        Plan::Create(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_event_is_counted_and_many_are_dropped() {
        let mut memory = Memory::default();
        let now = Time::from_secs(1_000_000);
        let Plan::Create(name) = memory.plan("u", "p", "k".into(), now) else {
            panic!("the first is created")
        };
        assert!(name.starts_with("p."));
        assert_eq!(memory.plan("u", "p", "k".into(), now), Plan::Count(name, 2));
        for i in 2..BURST {
            assert!(matches!(memory.plan("u", "p", i.to_string(), now), Plan::Create(_)));
        }
        assert_eq!(memory.plan("u", "p", "x".into(), now), Plan::Drop);
        assert!(matches!(memory.plan("u", "p", "x".into(), now.plus(REFILL)), Plan::Create(_)));
        assert!(matches!(memory.plan("v", "q", "y".into(), now), Plan::Create(_)));
    }
}
