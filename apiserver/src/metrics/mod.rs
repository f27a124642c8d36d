//! Metrics in upstream's names: requests by what they were, their latencies, and what the server is made of.

mod health;
mod requests;

use crate::address::Address;
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use stdx::Time;
use stdx::prometheus::{head, line, process};
use store::Store;
use tokio::time::Instant;

/// What the server counts.
#[derive(Default)]
pub struct Metrics {
    requests: requests::Requests,
    in_flight: Arc<InFlight>,
    pub health: health::Health,
}

/// Requests that are being answered.
#[derive(Default)]
struct InFlight {
    read_only: AtomicI64,
    mutating: AtomicI64,
}

impl InFlight {
    fn of(&self, mutating: bool) -> &AtomicI64 {
        if mutating { &self.mutating } else { &self.read_only }
    }
}

/// A request that is being answered; it counts as in flight until this is dropped.
pub struct Timer {
    start: Instant,
    mutating: bool,
    in_flight: Arc<InFlight>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.in_flight.of(self.mutating).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A request has come.
    pub fn start(&self, method: &Method) -> Timer {
        let mutating = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        self.in_flight.of(mutating).fetch_add(1, Ordering::Relaxed);
        Timer { start: Instant::now(), mutating, in_flight: self.in_flight.clone() }
    }

    /// Its answer goes out.
    pub fn finish(&self, timer: Timer, place: &Address, method: &str, code: u16) {
        self.requests.count(place, method, code, timer.start.elapsed());
    }

    /// All metrics as Prometheus reads them.
    pub fn text(&self, store: &Store, now: Time) -> String {
        let mut out = String::new();
        self.requests.write(&mut out);
        let kind = "apiserver_current_inflight_requests";
        head(&mut out, kind, "gauge", "Requests that are being answered.");
        for (name, mutating) in [("mutating", true), ("readOnly", false)] {
            let count = self.in_flight.of(mutating).load(Ordering::Relaxed);
            line(&mut out, kind, &[("request_kind", name)], count);
        }
        write_store(store, &mut out);
        process::write(now, &mut out);
        out
    }
}

fn write_store(store: &Store, out: &mut String) {
    let stats = store.stats();
    let mut each = |name: &str, help: &str, value: &dyn Fn(&store::SpaceStats) -> u64| {
        head(out, name, "gauge", help);
        for space in &stats {
            let text = space.space.as_str();
            let resource = text.strip_prefix("/registry/").unwrap_or(text).trim_matches('/');
            line(out, name, &[("resource", resource)], value(space));
        }
    };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    each("apiserver_storage_objects", "Objects stored.", &|s| count(s.keys));
    each("pintle_storage_bytes", "Bytes of the objects stored.", &|s| s.bytes);
    each("pintle_watch_ring_events", "Events kept for watches that begin in the past.", &|s| count(s.events));
    each("pintle_watch_ring_bytes", "Bytes that these events keep in memory.", &|s| s.ring_bytes);
    each("pintle_store_watches", "Watches open on the store.", &|s| count(s.watches));
    let name = "pintle_store_revision";
    head(out, name, "gauge", "The newest revision of the store.");
    line(out, name, &[], store.current_revision());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::address;
    use crate::query::Query;
    use store::HistoryLimits;

    #[test]
    fn requests_are_counted_by_what_they_were() {
        let metrics = Metrics::default();
        for path in ["/api/v1/namespaces/a/pods/p", "/api/v1/namespaces/b/pods/q", "/healthz"] {
            let timer = metrics.start(&Method::GET);
            metrics.finish(timer, &address("GET", path, &Query::default()), "GET", 200);
        }
        let store = Store::memory(HistoryLimits::default(), stdx::Clock::system());
        let text = metrics.text(&store, Time::default());
        let wanted = "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",\
                      resource=\"pods\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 2\n";
        assert!(text.contains(wanted), "{text}");
        assert!(
            text.contains("resource=\"\",scope=\"\",subresource=\"\",verb=\"GET\",version=\"\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 0\n"),
            "{text}"
        );
        assert!(text.contains("apiserver_request_duration_seconds_bucket"), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
