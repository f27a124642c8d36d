//! What the process uses, as Linux says it in `/proc/self`; nothing elsewhere.

use super::{head, line};
use crate::Time;
use std::fs;

/// Clock ticks of `/proc` in a second; fixed at this by the kernel's interface.
const TICKS_PER_SEC: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

/// Appends them.
pub fn write(now: Time, out: &mut String) {
    let Some(stat) = fs::read_to_string("/proc/self/stat").ok() else { return };
    // The second field is the command in parentheses and may hold anything.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
    let mut gauge = |name: &str, kind: &str, help: &str, value: f64| {
        head(out, name, kind, help);
        line(out, name, &[], value);
    };
    let cpu = (field(14) + field(15)) / TICKS_PER_SEC;
    gauge("process_cpu_seconds_total", "counter", "CPU time of the process, in seconds.", cpu);
    gauge("process_virtual_memory_bytes", "gauge", "Virtual memory of the process.", field(23));
    gauge(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the process.",
        field(24) * PAGE_BYTES,
    );
    if let Some(start) = start_secs(now, field(22)) {
        gauge("process_start_time_seconds", "gauge", "When the process began, in unix seconds.", start);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = u32::try_from(open.count()).map_or(0.0, f64::from);
        gauge("process_open_fds", "gauge", "Open files of the process.", open);
    }
}

/// The start of the process in unix seconds, from its ticks after the boot.
fn start_secs(now: Time, ticks: f64) -> Option<f64> {
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    let nanos = f64::from(now.nanos) / 1e9;
    let now = f64::from(u32::try_from(now.secs).ok()?) + nanos;
    Some(((now - uptime + ticks / TICKS_PER_SEC) * 100.0).round() / 100.0)
}
