//! What the machine, its pods and their containers use, read when somebody asks. Nothing is measured meanwhile: rates
//! are those since an earlier question, or over a short while when there was none.

use super::Parts;
use crate::cgroups::Usage;
use crate::cri;
use crate::pod::{container_name, is_running, spec};
use api::Value;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

/// The time over which a first rate is taken.
const FIRST_WINDOW: Duration = Duration::from_millis(200);
/// A rate is over this time at least, once there are readings so old.
const WINDOW: Duration = Duration::from_secs(10);

/// What a group uses.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub time: Time,
    pub usage: Usage,
    /// Nanoseconds of CPU time for each second.
    pub nano_cores: Option<u64>,
}

/// What went over a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_errors: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
}

pub struct ContainerReading {
    pub name: String,
    /// Of the runtime.
    pub id: String,
    pub image: String,
    pub started: Time,
    pub log_path: String,
    pub group: String,
    pub reading: Reading,
}

pub struct PodReading {
    pub pod: Arc<Value>,
    pub started: Time,
    pub group: String,
    pub reading: Reading,
    pub containers: Vec<ContainerReading>,
    /// Nothing for pods in the network of the machine.
    pub network: Vec<Interface>,
}

#[derive(Default)]
pub struct Readings {
    pub node: Reading,
    /// All pods together.
    pub pods: Reading,
    pub each: Vec<PodReading>,
    pub network: Vec<Interface>,
}

/// CPU time of groups at earlier questions: the last, and one before it.
#[derive(Default)]
pub struct Samples(Mutex<HashMap<String, (Sample, Sample)>>);

#[derive(Clone, Copy)]
struct Sample {
    time: Time,
    cpu_nanos: u64,
}

impl Samples {
    /// The rate of a group since an earlier question.
    fn rate(&self, group: &str, now: Sample) -> Option<u64> {
        let mut all = self.0.lock();
        let Some((before, last)) = all.get_mut(group) else {
            all.insert(group.to_owned(), (now, now));
            return None;
        };
        if now.time.since(last.time) >= WINDOW || last.cpu_nanos > now.cpu_nanos {
            (*before, *last) = (*last, now);
        }
        let nanos = now.time.since(before.time).as_nanos();
        let used = u128::from(now.cpu_nanos.saturating_sub(before.cpu_nanos));
        (nanos > 0).then(|| u64::try_from(used * 1_000_000_000 / nanos).unwrap_or(u64::MAX))
    }

    /// Forgets groups that are no more.
    fn keep(&self, groups: &[String]) {
        self.0.lock().retain(|group, _| groups.contains(group));
    }
}

/// A pod and its containers, before anything is read of them.
struct Plan {
    pod: Arc<Value>,
    started: Time,
    group: String,
    sandbox_id: String,
    containers: Vec<cri::ContainerStatus>,
}

/// Reads everything; files are read on a thread for that.
pub async fn read(parts: &Parts, samples: &Arc<Samples>, with_rates: bool) -> Readings {
    let first = once(parts, samples).await;
    let is_missing = |reading: &Reading| reading.usage.cpu_nanos.is_some() && reading.nano_cores.is_none();
    if !with_rates || !(is_missing(&first.node) || first.each.iter().any(|pod| is_missing(&pod.reading))) {
        return first;
    }
    tokio::time::sleep(FIRST_WINDOW).await;
    once(parts, samples).await
}

async fn once(parts: &Parts, samples: &Arc<Samples>) -> Readings {
    let plans = plans(parts);
    let (cgroups, clock, samples) = (parts.cgroups.clone(), parts.clock.clone(), samples.clone());
    let work = move || {
        let read = |group: &str| {
            let (usage, time) = (cgroups.usage(group), clock.now());
            let sample = usage.cpu_nanos.map(|cpu_nanos| Sample { time, cpu_nanos });
            let nano_cores = sample.and_then(|sample| samples.rate(group, sample));
            Reading { time, usage, nano_cores }
        };
        let mut groups = vec!["/".to_owned(), cgroups.kubepods().to_owned()];
        let (node, pods) = (read("/"), read(cgroups.kubepods()));
        let each: Vec<PodReading> = plans.into_iter().map(|plan| of_pod(plan, &read, &cgroups)).collect();
        for pod in &each {
            groups.push(pod.group.clone());
            groups.extend(pod.containers.iter().map(|container| container.group.clone()));
        }
        samples.keep(&groups);
        Readings { node, pods, each, network: interfaces("/proc/net/dev") }
    };
    // A panic in it is a bug that has been told of.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

fn plans(parts: &Parts) -> Vec<Plan> {
    let plan = |pod: Arc<Value>| {
        let observed = parts.pods.observed(spec::uid(&pod))?;
        let sandbox = observed.sandbox()?;
        let containers = observed.running().cloned().collect();
        let (started, sandbox_id) = (at(sandbox.created_at), sandbox.id.clone());
        let group = parts.cgroups.pod_parent(&pod);
        Some(Plan { pod, started, group, sandbox_id, containers })
    };
    parts.pods.list().into_iter().filter_map(plan).collect()
}

fn of_pod(plan: Plan, read: &dyn Fn(&str) -> Reading, cgroups: &crate::cgroups::Cgroups) -> PodReading {
    let Plan { pod, started, group, sandbox_id, containers } = plan;
    let reading = read(&group);
    let of_container = |container: &cri::ContainerStatus| {
        let group = format!("{group}/{}", container.id);
        ContainerReading {
            name: container_name(container).to_owned(),
            id: container.id.clone(),
            image: container.image.as_ref().map_or_else(String::new, |image| image.image.clone()),
            started: at(container.started_at),
            log_path: container.log_path.clone(),
            reading: read(&group),
            group,
        }
    };
    let running = containers.iter().filter(|container| is_running(container));
    let containers: Vec<ContainerReading> = running.map(of_container).collect();
    let own_network = !pod.bool_at(&["spec", "hostNetwork"]);
    let process = own_network.then(|| cgroups.process_of(&format!("{group}/{sandbox_id}"))).flatten();
    let network = process.map(|id| interfaces(&format!("/proc/{id}/net/dev"))).unwrap_or_default();
    PodReading { pod, started, group, reading, containers, network }
}

/// Unix nanoseconds as the CRI has them.
fn at(nanos: i64) -> Time {
    let (secs, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    Time { secs, nanos: u32::try_from(nanos).unwrap_or(0) }
}

/// The interfaces of `/proc/…/net/dev`, without the loopback.
fn interfaces(file: &str) -> Vec<Interface> {
    std::fs::read_to_string(file).map(|text| text.lines().filter_map(interface).collect()).unwrap_or_default()
}

fn interface(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let name = name.trim().to_owned();
    match (name.as_str(), numbers.as_slice()) {
        ("lo", _) => None,
        (_, [rx_bytes, _, rx_errors, _, _, _, _, _, tx_bytes, _, tx_errors, ..]) => Some(Interface {
            name,
            rx_bytes: *rx_bytes,
            rx_errors: *rx_errors,
            tx_bytes: *tx_bytes,
            tx_errors: *tx_errors,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_time_since_an_earlier_question() {
        let samples = Samples::default();
        let at = |secs, cpu_nanos| Sample { time: Time::from_secs(secs), cpu_nanos };
        assert_eq!(samples.rate("g", at(100, 0)), None);
        assert_eq!(samples.rate("g", at(101, 500_000_000)), Some(500_000_000));
        assert_eq!(samples.rate("g", at(110, 1_000_000_000)), Some(100_000_000));
        assert_eq!(samples.rate("g", at(120, 11_000_000_000)), Some(1_000_000_000));
        samples.keep(&[]);
        assert_eq!(samples.rate("g", at(121, 0)), None);
    }

    #[test]
    fn interfaces_are_read_from_the_kernels_table() {
        let line = "  eth0: 100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16";
        let read = interface(line).unwrap();
        assert_eq!((read.name.as_str(), read.rx_bytes, read.rx_errors), ("eth0", 100, 3));
        assert_eq!((read.tx_bytes, read.tx_errors), (900, 11));
        assert_eq!(interface("    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), None);
        assert_eq!(interface(" face |bytes    packets errs"), None);
    }
}
