//! Metrics for Prometheus: `/metrics` (the kubelet itself), `/metrics/resource` (what metrics-server reads),
//! `/metrics/cadvisor` (containers, with more labels) and `/metrics/probes`.
//! Source: upstream's `pkg/kubelet/metrics/collectors/resource_metrics.go` and cAdvisor's names.

use super::Server;
use super::readings::{self, PodReading, Readings};
use super::reply::{self, Reply};
use crate::pod::is_running;
use api::Value;
use http::StatusCode;
use stdx::Time;
use stdx::prometheus::{head, line, process};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

pub async fn serve(server: &Server, which: &str) -> Reply {
    let mut out = String::new();
    match which {
        "resource" => resource(&mut out, &readings::read(&server.parts, &server.samples, false).await),
        "cadvisor" => cadvisor(&mut out, &readings::read(&server.parts, &server.samples, false).await),
        "probes" => process::write(server.parts.clock.now(), &mut out),
        _ => own(&mut out, server),
    }
    reply::of(StatusCode::OK, TEXT, reply::whole(out))
}

/// A metric of upstream's with what its values are read from.
struct Metric<'a, T> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    value: fn(&T) -> Option<f64>,
    time: fn(&T) -> Option<Time>,
}

impl<T> Metric<'_, T> {
    fn write<'a>(&self, out: &mut String, all: impl Iterator<Item = (Vec<(&'a str, &'a str)>, &'a T)>)
    where
        T: 'a,
    {
        let mut all =
            all.filter_map(|(labels, one)| Some((labels, (self.value)(one)?, (self.time)(one)))).peekable();
        if all.peek().is_some() {
            head(out, self.name, self.kind, self.help);
        }
        for (labels, value, time) in all {
            let millis =
                time.map(|time| format!(" {}", time.secs * 1000 + i64::from(time.nanos / 1_000_000)));
            line(out, self.name, &labels, format_args!("{}{}", number(value), millis.unwrap_or_default()));
        }
    }
}

/// As Go prints it: what is large or tiny with an exponent.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

fn secs(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn unix(time: Time) -> f64 {
    time.secs as f64 + f64::from(time.nanos) / 1e9
}

type Of = readings::Reading;
const CPU: fn(&Of) -> Option<f64> = |reading| reading.usage.cpu_nanos.map(secs);
const MEMORY: fn(&Of) -> Option<f64> =
    |reading| reading.usage.memory.as_ref().map(|memory| memory.working_set as f64);
const SWAP: fn(&Of) -> Option<f64> = |reading| reading.usage.memory.as_ref().map(|memory| memory.swap as f64);

fn resource(out: &mut String, readings: &Readings) {
    for (thing, what, value, kind) in [
        ("cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the", CPU, "counter"),
        ("memory_working_set_bytes", "[STABLE] Current working set of the", MEMORY, "gauge"),
        ("swap_usage_bytes", "[ALPHA] Current", SWAP, "gauge"),
    ] {
        for of in ["container", "node", "pod"] {
            let name = format!("{of}_{thing}");
            let help = match (thing, of) {
                ("cpu_usage_seconds_total", _) => format!("{what} {of} in core-seconds"),
                ("memory_working_set_bytes", _) => format!("{what} {of} in bytes"),
                (_, "container") => {
                    format!(
                        "{what} amount of the container swap usage in bytes. Reported only on non-windows systems"
                    )
                }
                _ => format!("{what} swap usage of the {of} in bytes. Reported only on non-windows systems"),
            };
            let metric =
                Metric { name: &name, kind, help: &help, value, time: |reading: &Of| Some(reading.time) };
            match of {
                "container" => metric.write(out, containers(readings)),
                "pod" => metric.write(out, readings.each.iter().map(|pod| (labels(pod, None), &pod.reading))),
                _ => metric.write(out, [(Vec::new(), &readings.node)].into_iter()),
            }
        }
    }
    let name = "container_start_time_seconds";
    head(out, name, "gauge", "[STABLE] Start time of the container since unix epoch in seconds");
    for pod in &readings.each {
        for container in &pod.containers {
            line(out, name, &labels(pod, Some(&container.name)), number(unix(container.started)));
        }
    }
    for (name, stability) in [("resource_scrape_error", "STABLE"), ("scrape_error", "ALPHA")] {
        let deprecated = if stability == "ALPHA" { "(Deprecated since 1.29.0) " } else { "" };
        let help = format!(
            "[{stability}] {deprecated}1 if there was an error while getting container metrics, 0 otherwise"
        );
        head(out, name, "gauge", &help);
        line(out, name, &[], i32::from(readings.node.usage.cpu_nanos.is_none()));
    }
}

fn containers(readings: &Readings) -> impl Iterator<Item = (Vec<(&str, &str)>, &Of)> {
    readings.each.iter().flat_map(|pod| {
        pod.containers.iter().map(move |container| (labels(pod, Some(&container.name)), &container.reading))
    })
}

fn labels<'a>(pod: &'a PodReading, container: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let meta = |field: &str| pod.pod.str_at(&["metadata", field]);
    let mut labels: Vec<_> = container.map(|name| ("container", name)).into_iter().collect();
    labels.extend([("namespace", meta("namespace")), ("pod", meta("name"))]);
    labels
}

/// cAdvisor's labels: all of them on each value, empty where they say nothing.
fn cadvisor(out: &mut String, readings: &Readings) {
    type Value = fn(&Of) -> Option<f64>;
    let metrics: [(&str, &str, &str, Value); 8] = [
        ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", CPU),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", MEMORY),
        (
            "container_memory_usage_bytes",
            "gauge",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
            |reading| reading.usage.memory.as_ref().map(|memory| memory.usage as f64),
        ),
        ("container_memory_rss", "gauge", "Size of RSS in bytes.", |reading| {
            reading.usage.memory.as_ref().map(|memory| memory.rss as f64)
        }),
        ("container_memory_swap", "gauge", "Container swap usage in bytes.", SWAP),
        ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", |reading| {
            reading.usage.memory.as_ref().map(|memory| memory.limit.unwrap_or(0) as f64)
        }),
        ("container_processes", "gauge", "Number of processes running inside the container.", |reading| {
            reading.usage.processes.map(|count| count as f64)
        }),
        ("container_last_seen", "gauge", "Last time a container was seen by the exporter", |reading| {
            Some(reading.time.secs as f64)
        }),
    ];
    for (name, kind, help, value) in metrics {
        let is_cpu = name == "container_cpu_usage_seconds_total";
        let metric = Metric { name, kind, help, value, time: |reading: &Of| Some(reading.time) };
        let all = groups(readings).map(|(mut labels, reading)| {
            if is_cpu {
                labels.insert(1, ("cpu", "total"));
            }
            (labels, reading)
        });
        metric.write(out, all);
    }
    let name = "container_start_time_seconds";
    head(out, name, "gauge", "Start time of the container since unix epoch in seconds.");
    for pod in &readings.each {
        for container in &pod.containers {
            let labels = full(pod, Some(container));
            line(out, name, &labels, number(container.started.secs as f64));
        }
    }
    networks(out, readings);
    machine(out);
}

/// The machine, all pods, each pod and each container.
fn groups(readings: &Readings) -> impl Iterator<Item = (Vec<(&str, &str)>, &Of)> {
    let node = (of_group("/", "", "", ["", ""], ""), &readings.node);
    let pods = readings.each.iter().flat_map(|pod| {
        let own = (full(pod, None), &pod.reading);
        std::iter::once(own).chain(pod.containers.iter().map(move |one| (full(pod, Some(one)), &one.reading)))
    });
    std::iter::once(node).chain(pods)
}

fn full<'a>(
    pod: &'a PodReading,
    container: Option<&'a readings::ContainerReading>,
) -> Vec<(&'a str, &'a str)> {
    let meta = |field: &str| pod.pod.str_at(&["metadata", field]);
    let place = [meta("namespace"), meta("name")];
    match container {
        Some(one) => of_group(&one.group, &one.image, &one.id, place, &one.name),
        None => of_group(&pod.group, "", "", place, ""),
    }
}

fn of_group<'a>(
    id: &'a str,
    image: &'a str,
    name: &'a str,
    [namespace, pod]: [&'a str; 2],
    container: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("container", container),
        ("id", id),
        ("image", image),
        ("name", name),
        ("namespace", namespace),
        ("pod", pod),
    ]
}

fn networks(out: &mut String, readings: &Readings) {
    type Value = fn(&readings::Interface) -> u64;
    let metrics: [(&str, &str, Value); 4] = [
        ("receive_bytes_total", "bytes received", |one| one.rx_bytes),
        ("receive_errors_total", "errors encountered while receiving", |one| one.rx_errors),
        ("transmit_bytes_total", "bytes transmitted", |one| one.tx_bytes),
        ("transmit_errors_total", "errors encountered while transmitting", |one| one.tx_errors),
    ];
    for (name, what, value) in metrics {
        let name = format!("container_network_{name}");
        head(out, &name, "counter", &format!("Cumulative count of {what}"));
        let node = readings.network.iter().map(|one| (of_group("/", "", "", ["", ""], ""), one));
        let pods =
            readings.each.iter().flat_map(|pod| pod.network.iter().map(move |one| (full(pod, None), one)));
        for (mut labels, one) in node.chain(pods) {
            labels.insert(3, ("interface", &one.name));
            line(out, &name, &labels, number(value(one) as f64));
        }
    }
}

fn machine(out: &mut String) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, help, value) in [
        ("machine_cpu_cores", "Number of logical CPU cores.", cores as f64),
        (
            "machine_memory_bytes",
            "Amount of memory installed on the machine.",
            crate::cgroups::memory_capacity() as f64,
        ),
    ] {
        head(out, name, "gauge", help);
        line(out, name, &[], number(value));
    }
}

/// The kubelet itself.
fn own(out: &mut String, server: &Server) {
    let pods = server.parts.pods.list();
    let observed: Vec<_> =
        pods.iter().filter_map(|pod| server.parts.pods.observed(pod.str_at(&["metadata", "uid"]))).collect();
    let name = "kubelet_node_name";
    head(out, name, "gauge", "[ALPHA] The node's name. The count is always 1.");
    line(out, name, &[("node", &server.parts.node_name)], 1);
    let name = "kubelet_running_pods";
    head(out, name, "gauge", "[BETA] Number of pods that have a running pod sandbox");
    line(out, name, &[], observed.iter().filter(|observed| observed.sandbox().is_some()).count());
    let name = "kubelet_running_containers";
    head(out, name, "gauge", "[BETA] Number of containers currently running");
    let containers = || observed.iter().flat_map(|observed| &observed.containers);
    for (state, count) in [
        ("exited", containers().filter(|one| crate::pod::has_exited(one)).count()),
        ("running", containers().filter(|one| is_running(one)).count()),
    ] {
        line(out, name, &[("container_state", state)], count);
    }
    let name = "kubelet_desired_pods";
    head(
        out,
        name,
        "gauge",
        "[ALPHA] The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.",
    );
    let is_static = |pod: &&std::sync::Arc<Value>| {
        !pod.str_at(&["metadata", "annotations", "kubernetes.io/config.source"]).is_empty()
    };
    let from_folder = pods.iter().filter(is_static).count();
    for (text, count) in [("", pods.len() - from_folder), ("true", from_folder)] {
        line(out, name, &[("static", text)], count);
    }
    let ended = server.parts.pods.terminations();
    let name = "kubelet_terminated_containers_total";
    if !ended.is_empty() {
        head(out, name, "counter", "[ALPHA] Cumulative number of container terminations.");
    }
    for ([ty, code, reason], count) in &ended {
        line(out, name, &[("container_type", ty), ("exit_code", code), ("reason", reason)], count);
    }
    process::write(server.parts.clock.now(), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::{Memory, Usage};
    use crate::server::readings::{ContainerReading, Reading};
    use api::tree;
    use std::sync::Arc;

    fn reading(cpu_nanos: u64) -> Reading {
        let memory = Memory { working_set: 12_345_678, ..Memory::default() };
        let usage = Usage { cpu_nanos: Some(cpu_nanos), memory: Some(memory), processes: Some(3) };
        Reading { time: Time { secs: 1_700_000_000, nanos: 5_000_000 }, usage, nano_cores: None }
    }

    fn readings() -> Readings {
        let container = ContainerReading {
            name: "c".to_owned(),
            id: "abc".to_owned(),
            image: "i".to_owned(),
            started: Time { secs: 1_700_000_000, nanos: 500_000_000 },
            log_path: String::new(),
            group: "/kubepods/podu/abc".to_owned(),
            reading: reading(1_500_000_000),
        };
        let pod = PodReading {
            pod: Arc::new(tree!({"metadata": {"name": "p", "namespace": "ns"}})),
            started: Time::from_secs(0),
            group: "/kubepods/podu".to_owned(),
            reading: reading(2_000_000_000),
            containers: vec![container],
            network: Vec::new(),
        };
        Readings { node: reading(9_000_000_000), pods: reading(0), each: vec![pod], network: Vec::new() }
    }

    #[test]
    fn resources_have_upstreams_names_labels_and_times() {
        let mut out = String::new();
        resource(&mut out, &readings());
        for expected in [
            "# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds",
            "container_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.5 1700000000005",
            "node_cpu_usage_seconds_total 9 1700000000005",
            "pod_cpu_usage_seconds_total{namespace=\"ns\",pod=\"p\"} 2 1700000000005",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.2345678e+07 1700000000005",
            "container_start_time_seconds{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.7000000005e+09",
            "resource_scrape_error 0",
            "scrape_error 0",
        ] {
            assert!(out.lines().any(|line| line == expected), "{expected} in\n{out}");
        }
    }

    #[test]
    fn cadvisors_metrics_carry_all_its_labels() {
        let mut out = String::new();
        cadvisor(&mut out, &readings());
        let expected = "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",id=\"/kubepods/podu/abc\",\
                        image=\"i\",name=\"abc\",namespace=\"ns\",pod=\"p\"} 1.5 1700000000005";
        assert!(out.lines().any(|line| line == expected), "{out}");
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        for (value, text) in
            [(0.0, "0"), (1.5, "1.5"), (999_999.0, "999999"), (1e6, "1e+06"), (0.00005, "5e-05")]
        {
            assert_eq!(number(value), text);
        }
    }
}
