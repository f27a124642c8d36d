//! EventRateLimit: no flood of events, from all together, a namespace, a user or a source about an object.
//!
//! `limits: [{type: Namespace, qps: 50, burst: 100}]`: beyond that 429 `Too many requests: limit reached on type
//! Namespace for key n`. Source: upstream's `plugin/pkg/admission/eventratelimit`.

use super::{Plugin, Settings};
use crate::configuration::{self, join};
use crate::review::{Cluster, Operation, Review};
use api::configuration::Form;
use api::{Fault, Path, Status, Value};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use stdx::{Clock, Time};

const TYPES: [&str; 4] = ["Namespace", "Server", "SourceAndObject", "User"];
const DEFAULT_CACHE_SIZE: usize = 4096;
const FORM: Form = Form {
    kind: "Configuration",
    versions: &["eventratelimit.admission.k8s.io/v1alpha1"],
    table: "v1.Configuration\n\tkind\ts\n\tapiVersion\ts\n\tlimits\t[v1.Limit\n\
            v1.Limit\n\ttype\ts\n\tqps\ti\n\tburst\ti\n\tcacheSize\ti\n",
};

pub struct EventRateLimit {
    limits: Vec<Limit>,
    clock: Clock,
}

struct Limit {
    ty: String,
    /// Events a second, and at once.
    qps: f64,
    burst: f64,
    /// So many keys are remembered; the one that was seen longest ago goes first.
    cache_size: usize,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What is left for a key, and when that was.
struct Bucket {
    tokens: f64,
    at: Time,
}

impl Plugin for EventRateLimit {
    fn handles(&self, review: &Review<'_>) -> bool {
        let is_event = review.group().is_empty() && review.resource() == "events";
        is_event && matches!(review.operation, Operation::Create | Operation::Update) && !review.dry_run
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let now = self.clock.now();
        let faults: Vec<String> = self.limits.iter().filter_map(|limit| limit.refusal(review, now)).collect();
        let outcome = match faults.as_slice() {
            [] => Ok(()),
            faults => {
                Err(Status::new(429, "TooManyRequests", format!("Too many requests: {}", join(faults))))
            }
        };
        Box::pin(std::future::ready(outcome))
    }
}

impl EventRateLimit {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let given = settings.configurations.get("EventRateLimit");
        let read = given.map_or_else(|| Ok(Value::map()), |value| configuration::read(value, &FORM))?;
        let list = read.list_at(&["limits"]);
        api::configuration::check(&faults(list))?;
        let limits = list.iter().map(Limit::read).collect();
        Ok(EventRateLimit { limits, clock: settings.clock.clone() })
    }
}

fn number(limit: &Value, field: &str) -> i64 {
    limit.i64_at(&[field]).unwrap_or(0)
}

fn faults(limits: &[Value]) -> Vec<Fault> {
    let at = Path::new("limits");
    let mut faults = Vec::new();
    if limits.is_empty() {
        faults.push(Fault::invalid(&at, Value::Null, "must not be empty"));
    }
    for (i, limit) in limits.iter().enumerate() {
        let (at, ty) = (at.index(i), limit.str_at(&["type"]));
        if !TYPES.contains(&ty) {
            faults.push(Fault::not_supported(at.child("type"), ty, &TYPES));
        }
        for field in ["burst", "qps"] {
            if number(limit, field) <= 0 {
                faults.push(Fault::invalid(at.child(field), number(limit, field), "must be positive"));
            }
        }
        let size = number(limit, "cacheSize");
        if ty != "Server" && size < 0 {
            faults.push(Fault::invalid(at.child("cacheSize"), size, "must not be negative"));
        }
    }
    faults
}

impl Limit {
    #[allow(clippy::cast_precision_loss)] // upstream counts in floats, too
    fn read(limit: &Value) -> Self {
        let size = usize::try_from(number(limit, "cacheSize")).unwrap_or(0);
        Limit {
            ty: limit.str_at(&["type"]).to_owned(),
            qps: number(limit, "qps") as f64,
            burst: number(limit, "burst") as f64,
            cache_size: if size == 0 { DEFAULT_CACHE_SIZE } else { size },
            buckets: Mutex::default(),
        }
    }

    fn refusal(&self, review: &Review<'_>, now: Time) -> Option<String> {
        let key = match self.ty.as_str() {
            "Namespace" => review.namespace.to_owned(),
            "User" => review.user.to_owned(),
            "SourceAndObject" => review.object.as_deref().map(source_and_object).unwrap_or_default(),
            _ => String::new(),
        };
        if self.take(&key, now) {
            return None;
        }
        Some(format!("limit reached on type {} for key {key}", self.ty))
    }

    fn take(&self, key: &str, now: Time) -> bool {
        let mut buckets = self.buckets.lock();
        if !buckets.contains_key(key) {
            if buckets.len() >= self.cache_size {
                let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
                oldest.and_then(|key| buckets.remove(&key));
            }
            buckets.insert(key.to_owned(), Bucket { tokens: self.burst, at: now });
        }
        let Some(bucket) = buckets.get_mut(key) else { return true };
        let grown = now.since(bucket.at).as_secs_f64() * self.qps;
        bucket.tokens = (bucket.tokens + grown).min(self.burst);
        bucket.at = now;
        let has_one = bucket.tokens >= 1.0;
        if has_one {
            bucket.tokens -= 1.0;
        }
        has_one
    }
}

fn source_and_object(event: &Value) -> String {
    let about = |field: &'static str| event.str_at(&["involvedObject", field]);
    let source = |field: &'static str| event.str_at(&["source", field]);
    let ends = ["kind", "namespace", "name", "uid", "apiVersion"].map(about);
    [&["component", "host"].map(source)[..], &ends[..]].concat().concat()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, Request};
    use super::*;
    use api::tree;
    use std::time::Duration;

    fn plugin(limits: Value, clock: &Clock) -> Result<EventRateLimit, String> {
        let mut settings = Settings::new(clock.clone());
        let value = tree!({"kind": "Configuration", "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "limits": limits});
        settings.configurations.insert("EventRateLimit".to_owned(), value);
        EventRateLimit::new(&settings)
    }

    async fn send(plugin: &EventRateLimit, user: &str) -> Option<String> {
        let event =
            tree!({"metadata": {"name": "e"}, "source": {"component": "c"}, "involvedObject": {"name": "o"}});
        let request = Request { user, ..Request::new(("", "events"), event, None) };
        request.run(plugin, &Cluster::new()).await.result.err().map(|status| status.message)
    }

    #[tokio::test]
    async fn beyond_the_burst_events_come_at_their_rate() {
        let clock = Clock::manual(Time::default());
        let plugin = plugin(tree!([{"type": "User", "qps": 1, "burst": 2}]), &clock).unwrap();
        assert_eq!(send(&plugin, "a").await, None);
        assert_eq!(send(&plugin, "a").await, None);
        assert_eq!(
            send(&plugin, "a").await.as_deref(),
            Some("Too many requests: limit reached on type User for key a")
        );
        assert_eq!(send(&plugin, "b").await, None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(send(&plugin, "a").await, None);
        assert!(send(&plugin, "a").await.is_some());
    }

    #[tokio::test]
    async fn all_limits_reached_are_told() {
        let clock = Clock::manual(Time::default());
        let limits = tree!([
            {"type": "Server", "qps": 1, "burst": 1}, {"type": "SourceAndObject", "qps": 1, "burst": 1, "cacheSize": 1}
        ]);
        let plugin = plugin(limits, &clock).unwrap();
        assert_eq!(send(&plugin, "a").await, None);
        assert_eq!(
            send(&plugin, "a").await.as_deref(),
            Some(
                "Too many requests: [limit reached on type Server for key , limit reached on type SourceAndObject for key co]"
            )
        );
    }

    #[test]
    fn wrong_limits_are_refused() {
        let clock = Clock::system();
        assert_eq!(
            EventRateLimit::new(&Settings::new(clock.clone())).err().unwrap(),
            "limits: Invalid value: null: must not be empty"
        );
        let why =
            plugin(tree!([{"type": "User", "qps": 0, "burst": 1, "cacheSize": -1}]), &clock).err().unwrap();
        assert_eq!(
            why,
            "[limits[0].qps: Invalid value: 0: must be positive, limits[0].cacheSize: Invalid value: -1: must not be negative]"
        );
    }
}
