//! Counts and latencies of requests, by what they were.
//!
//! A request finds its counters by a hash of its labels, so that counting allocates nothing; two different requests
//! with one hash (one in 2^64) would be counted as one.

use crate::address::{Address, Target, Verb};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stdx::prometheus::{head, line};

/// Upper bounds of the latencies' buckets, in seconds.
const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Names that clients make up must not fill the memory: from here on they are counted together.
const MAX_SERIES: usize = 4096;

#[derive(Default)]
pub struct Requests {
    counts: RwLock<HashMap<u64, Arc<Count>>>,
    latencies: RwLock<HashMap<u64, Arc<Latency>>>,
}

struct Count {
    labels: Labels,
    code: u16,
    total: AtomicU64,
}

struct Latency {
    labels: Labels,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What a request was.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

impl Labels {
    fn new(place: &Address, method: &str) -> Self {
        match place {
            Address::Resource(target) => Labels {
                verb: verb(target, method).to_owned(),
                group: target.group.clone(),
                version: target.version.clone(),
                resource: target.resource.clone(),
                subresource: target.subresource.clone(),
                scope: scope(target),
            },
            Address::Other => Labels { verb: method_of(method).to_owned(), ..Labels::default() },
        }
    }
}

fn verb<'a>(target: &Target, method: &'a str) -> &'a str {
    match target.verb {
        Some(Verb::List) => "LIST",
        Some(Verb::Watch) => "WATCH",
        Some(Verb::DeleteCollection) => "DELETECOLLECTION",
        Some(_) => method_of(method),
        None => "other",
    }
}

/// Methods that clients make up are one.
fn method_of(method: &str) -> &str {
    match method {
        "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" | "CONNECT" => method,
        _ => "other",
    }
}

fn scope(target: &Target) -> &'static str {
    if !target.name.is_empty() {
        "resource"
    } else if target.in_namespace {
        "namespace"
    } else {
        "cluster"
    }
}

fn key(place: &Address, method: &str, code: u16) -> u64 {
    let mut hasher = DefaultHasher::new();
    code.hash(&mut hasher);
    match place {
        Address::Resource(t) => {
            (verb(t, method), &t.group, &t.version, &t.resource, &t.subresource, scope(t)).hash(&mut hasher);
        }
        Address::Other => method_of(method).hash(&mut hasher),
    }
    hasher.finish()
}

/// The series of a key, made when it is new; `None` when there are too many.
fn series<T>(map: &RwLock<HashMap<u64, Arc<T>>>, key: u64, make: impl FnOnce() -> T) -> Option<Arc<T>> {
    if let Some(found) = map.read().get(&key) {
        return Some(found.clone());
    }
    let mut map = map.write();
    if map.len() >= MAX_SERIES {
        return None;
    }
    Some(map.entry(key).or_insert_with(|| Arc::new(make())).clone())
}

impl Requests {
    pub fn count(&self, place: &Address, method: &str, code: u16, took: Duration) {
        let count = series(&self.counts, key(place, method, code), || Count {
            labels: Labels::new(place, method),
            code,
            total: AtomicU64::new(0),
        });
        if let Some(count) = count {
            count.total.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(place, Address::Resource(Target { verb: Some(Verb::Watch), .. })) {
            return;
        }
        let latency = series(&self.latencies, key(place, method, 0), || Latency {
            labels: Labels::new(place, method),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            micros: AtomicU64::new(0),
        });
        if let Some(latency) = latency {
            let secs = took.as_secs_f64();
            let at = BOUNDS.iter().position(|bound| secs <= *bound).unwrap_or(BOUNDS.len());
            latency.buckets[at].fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            latency.micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    pub fn write(&self, out: &mut String) {
        self.write_counts(out);
        self.write_latencies(out);
    }

    fn write_counts(&self, out: &mut String) {
        const NAME: &str = "apiserver_request_total";
        head(out, NAME, "counter", "Requests answered, by what they were and how they ended.");
        let mut counts: Vec<Arc<Count>> = self.counts.read().values().cloned().collect();
        counts.sort_by(|a, b| (&a.labels, a.code).cmp(&(&b.labels, b.code)));
        for count in counts {
            let code = count.code.to_string();
            let mut labels = vec![("code", code.as_str())];
            labels.extend(count.labels.pairs());
            line(out, NAME, &labels, count.total.load(Ordering::Relaxed));
        }
    }

    fn write_latencies(&self, out: &mut String) {
        const NAME: &str = "apiserver_request_duration_seconds";
        head(out, NAME, "histogram", "How long answers took, in seconds; without watches.");
        let mut latencies: Vec<Arc<Latency>> = self.latencies.read().values().cloned().collect();
        latencies.sort_by(|a, b| a.labels.cmp(&b.labels));
        for latency in latencies {
            let pairs = latency.labels.pairs();
            let mut seen = 0;
            for (at, bucket) in latency.buckets.iter().enumerate() {
                seen += bucket.load(Ordering::Relaxed);
                let bound = BOUNDS.get(at).map_or("+Inf".to_owned(), f64::to_string);
                let mut labels = pairs.clone();
                labels.push(("le", &bound));
                line(out, &format!("{NAME}_bucket"), &labels, seen);
            }
            let micros = latency.micros.load(Ordering::Relaxed);
            let mut secs = String::new();
            let _ = write!(secs, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            line(out, &format!("{NAME}_sum"), &pairs, secs);
            line(out, &format!("{NAME}_count"), &pairs, seen);
        }
    }
}

impl Labels {
    /// In the order of their names.
    fn pairs(&self) -> Vec<(&str, &str)> {
        vec![
            ("component", "apiserver"),
            ("dry_run", ""),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", &self.subresource),
            ("verb", &self.verb),
            ("version", &self.version),
        ]
    }
}
