//! What came of health checks, for `/metrics/slis`: one by one as they were asked for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use stdx::Time;
use stdx::prometheus::{head, line, process};

/// Results of checks by the check's name and the endpoint that ran it.
#[derive(Default)]
pub struct Health {
    checks: Mutex<BTreeMap<(String, String), Results>>,
}

#[derive(Clone, Copy, Default)]
struct Results {
    last: bool,
    passed: u64,
    failed: u64,
}

impl Health {
    /// A check was run for an endpoint (`livez`).
    pub fn observe(&self, name: &str, endpoint: &str, passed: bool) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let results = checks.entry((name.to_owned(), endpoint.to_owned())).or_default();
        results.last = passed;
        *(if passed { &mut results.passed } else { &mut results.failed }) += 1;
    }

    /// As Prometheus reads them.
    pub fn text(&self, now: Time) -> String {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut out = String::new();
        if !checks.is_empty() {
            let gauge = "kubernetes_healthcheck";
            head(
                &mut out,
                gauge,
                "gauge",
                "[STABLE] This metric records the result of a single healthcheck.",
            );
            for ((name, endpoint), results) in &checks {
                line(&mut out, gauge, &[("name", name), ("type", endpoint)], u8::from(results.last));
            }
            let total = "kubernetes_healthchecks_total";
            head(&mut out, total, "counter", "[STABLE] This metric records the results of all healthcheck.");
            for ((name, endpoint), results) in &checks {
                for (status, count) in [("error", results.failed), ("success", results.passed)] {
                    if count > 0 {
                        let labels = [("name", name.as_str()), ("status", status), ("type", endpoint)];
                        line(&mut out, total, &labels, count);
                    }
                }
            }
        }
        let mut process = String::new();
        process::write(now, &mut process);
        let start = process.lines().filter(|line| line.contains("process_start_time_seconds"));
        out.extend(start.flat_map(|line| [line, "\n"]));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_by_endpoint_and_result() {
        let health = Health::default();
        health.observe("ping", "livez", true);
        health.observe("ping", "livez", true);
        health.observe("etcd", "readyz", false);
        let text = health.text(Time::default());
        assert!(text.contains("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 0\n"), "{text}");
        let passed = "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"livez\"} 2\n";
        assert!(text.contains(passed), "{text}");
        assert!(!text.contains("status=\"error\",type=\"livez\""), "{text}");
    }
}
