//! `apiserver_flowcontrol_*`, under upstream's names.

use super::schema::Schema;
use super::tally::{BOUNDS_MS, Reason, Times};
use super::{Flow, Mode};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stdx::prometheus::{head, line};

const PREFIX: &str = "apiserver_flowcontrol_";

/// What a gauge or counter reads of a schema.
type Read = fn(&Schema) -> i64;

/// Appends the metrics.
pub fn write(flow: &Flow, out: &mut String) {
    let Mode::Fair(fair, _) = &flow.mode else { return };
    let config = fair.config();
    let mut each_level = |name: &str, help: &str, read: &dyn Fn(&super::level::Level) -> f64| {
        let name = format!("{PREFIX}{name}");
        head(out, &name, "gauge", help);
        for level in config.levels.values() {
            line(out, &name, &[("priority_level", &level.name)], read(level));
        }
    };
    each_level("nominal_limit_seats", "Seats by the shares of a level.", &|l| l.limits().nominal.into());
    each_level("lower_limit_seats", "Seats that a level always has.", &|l| l.limits().min.into());
    each_level("upper_limit_seats", "Seats that a level can have at most.", &|l| l.limits().max.into());
    each_level("current_limit_seats", "Seats that a level has now.", &|l| l.limit().into());
    each_level("demand_seats_high_watermark", "Most seats wanted in the last period.", &|l| {
        l.demand.lock().peak
    });
    each_level("demand_seats_average", "Seats wanted in the last period.", &|l| l.demand.lock().average);
    each_level("demand_seats_stdev", "How much that varied, at most.", &|l| l.demand.lock().deviation);
    each_level("demand_seats_smoothed", "Seats wanted, smoothed.", &|l| l.demand.lock().smoothed);
    each_level("current_r", "The virtual time, in seat-seconds.", &|l| l.queues.lock().now);
    let gauges: [(&str, &str, &str, Read); 5] = [
        ("dispatched_requests_total", "counter", "Requests that began.", |s| {
            i64::try_from(s.tally.dispatched.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
        }),
        ("current_inqueue_requests", "gauge", "Requests that wait.", |s| {
            s.tally.waiting.load(Ordering::Relaxed)
        }),
        ("current_inqueue_seats", "gauge", "Seats that requests wait for.", |s| {
            s.tally.waiting_seats.load(Ordering::Relaxed)
        }),
        ("current_executing_requests", "gauge", "Requests at work; watches until they are under way.", |s| {
            s.tally.executing.load(Ordering::Relaxed)
        }),
        ("current_executing_seats", "gauge", "Seats in use.", |s| {
            s.tally.executing_seats.load(Ordering::Relaxed)
        }),
    ];
    for (name, kind, help, read) in gauges {
        let name = format!("{PREFIX}{name}");
        head(out, &name, kind, help);
        for schema in &config.schemas {
            line(out, &name, &labels(schema), read(schema));
        }
    }
    rejected(&config.schemas, out);
    times(&config.schemas, out);
}

fn labels(schema: &Schema) -> Vec<(&'static str, &str)> {
    vec![("flow_schema", &schema.spec.name), ("priority_level", &schema.spec.level)]
}

fn rejected(schemas: &[Arc<Schema>], out: &mut String) {
    let name = format!("{PREFIX}rejected_requests_total");
    head(out, &name, "counter", "Requests that were sent away.");
    for schema in schemas {
        for reason in Reason::ALL {
            let count = schema.tally.rejected(reason);
            if count > 0 {
                let mut labels = labels(schema);
                labels.push(("reason", reason.as_str()));
                line(out, &name, &labels, count);
            }
        }
    }
}

fn times(schemas: &[Arc<Schema>], out: &mut String) {
    let name = format!("{PREFIX}request_wait_duration_seconds");
    head(out, &name, "histogram", "How long requests waited, in seconds.");
    for schema in schemas.iter().filter(|schema| !schema.level.is_exempt()) {
        let (tally, mut labels) = (&schema.tally, labels(schema));
        let begun = tally.dispatched.load(Ordering::Relaxed);
        labels.push(("execute", "true"));
        let waited = tally.waited.read().0.iter().sum();
        histogram(out, &name, &labels, &tally.waited, begun.saturating_sub(waited));
        if tally.waited_in_vain.read().0.iter().any(|count| *count > 0) {
            labels.pop();
            labels.push(("execute", "false"));
            histogram(out, &name, &labels, &tally.waited_in_vain, 0);
        }
    }
    let name = format!("{PREFIX}request_execution_seconds");
    head(
        out,
        &name,
        "histogram",
        "How long requests were at work, in seconds; watches until they are under way.",
    );
    for schema in schemas {
        histogram(out, &name, &labels(schema), &schema.tally.executed, 0);
    }
}

/// `at_once` more took no time at all. Nothing is written of what never happened.
fn histogram(out: &mut String, name: &str, labels: &[(&str, &str)], times: &Times, at_once: u64) {
    let (counts, micros) = times.read();
    let total = counts.iter().sum::<u64>() + at_once;
    if total == 0 {
        return;
    }
    let mut seen = at_once;
    let mut bucket = |bound: &str, seen: u64| {
        let mut labels = labels.to_vec();
        labels.push(("le", bound));
        line(out, &format!("{name}_bucket"), &labels, seen);
    };
    for (count, bound) in counts.iter().zip(BOUNDS_MS) {
        seen += count;
        bucket(&(bound as f64 / 1_000.0).to_string(), seen);
    }
    bucket("+Inf", total);
    let mut sum = |suffix: &str, value: &dyn Display| line(out, &format!("{name}_{suffix}"), labels, value);
    sum("sum", &(micros as f64 / 1_000_000.0));
    sum("count", &total);
}
