//! How many replicas a metric asks for. Pure: pods, their values, and what the value should be.

use crate::{conditions, owner, pods};
use api::{Quantity, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

/// For how long a pod's use of CPU says little, and how soon after its start it is told to be unready for the first
/// time.
const CPU_WARM_UP: Duration = Duration::from_secs(300);
const FIRST_READINESS: Duration = Duration::from_secs(30);

/// What was measured of one pod, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub value: i64,
    pub at: Time,
    pub window: Duration,
}

/// Samples by the name of the pod.
pub type Samples = BTreeMap<String, Sample>;

/// How far from its target a metric may be with nothing to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub down: f64,
    pub up: f64,
}

impl Tolerance {
    pub fn of(autoscaler: &Value) -> Self {
        let side = |which: &str| {
            let text = autoscaler.str_at(&["spec", "behavior", which, "tolerance"]);
            Quantity::parse(text).ok().filter(|_| !text.is_empty()).map_or(0.1, |q| q.as_f64())
        };
        Tolerance { down: side("scaleDown"), up: side("scaleUp") }
    }

    pub fn covers(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// What pods should use on average.
pub enum Target {
    /// In percent of what they request: thousandths by the name of the pod.
    Utilization(i64, BTreeMap<String, i64>),
    /// In thousandths.
    Average(i64),
}

/// A number of replicas, and why: what pods use on average, in thousandths and in percent of their requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    pub replicas: i64,
    pub usage: i64,
    pub utilization: Option<i64>,
}

impl Target {
    /// How the samples compare to the target; usage and utilization.
    fn ratio(&self, samples: &Samples) -> Result<(f64, Proposal), String> {
        match self {
            Target::Average(target) => {
                let total: i64 = samples.values().map(|s| s.value).fold(0, i64::saturating_add);
                let usage = total / i64::try_from(samples.len()).unwrap_or(i64::MAX).max(1);
                Ok((ratio(usage, *target), Proposal { usage, ..Proposal::default() }))
            }
            Target::Utilization(target, requests) => {
                let known = samples.iter().filter_map(|(pod, s)| Some((s.value, *requests.get(pod)?)));
                let (mut used, mut requested, mut count) = (0_i64, 0_i64, 0_i64);
                for (value, request) in known {
                    used = used.saturating_add(value);
                    requested = requested.saturating_add(request);
                    count += 1;
                }
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let utilization = used.saturating_mul(100) / requested;
                let told =
                    Proposal { usage: used / count, utilization: Some(utilization), ..Proposal::default() };
                Ok((ratio(utilization, *target), told))
            }
        }
    }

    /// What a pod without a sample counts as when there are too many replicas.
    fn full(&self, pod: &str) -> i64 {
        match self {
            Target::Average(target) => *target,
            Target::Utilization(target, requests) => {
                requests.get(pod).copied().unwrap_or(0).saturating_mul((*target).max(100)) / 100
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
pub fn ratio(usage: i64, target: i64) -> f64 {
    usage as f64 / target as f64
}

/// So many times a count, rounded up; within the numbers that replicas may have.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "clamped before")]
pub fn times(ratio: f64, count: usize) -> i64 {
    (ratio * count as f64).ceil().clamp(0.0, f64::from(i32::MAX)) as i64
}

/// Pods by what their samples are worth.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups {
    ready: usize,
    unready: Vec<String>,
    missing: Vec<String>,
    ignored: Vec<String>,
}

fn group(pods: &[Arc<Value>], samples: &Samples, is_cpu: bool, now: Time) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        let name = pod.str_at(&["metadata", "name"]).to_owned();
        if owner::is_leaving(pod) || pods::phase(pod) == "Failed" {
            groups.ignored.push(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.push(name);
        } else if let Some(sample) = samples.get(&name) {
            if is_cpu && !is_warm(pod, sample, now) {
                groups.unready.push(name);
            } else {
                groups.ready += 1;
            }
        } else {
            groups.missing.push(name);
        }
    }
    groups
}

/// Whether a sample of a pod's use of CPU says something: not while it starts.
fn is_warm(pod: &Value, sample: &Sample, now: Time) -> bool {
    let started = api::time::parse(pod.str_at(&["status", "startTime"])).ok();
    let ready = conditions::find(pod.list_at(&["status", "conditions"]), "Ready");
    let (Some(started), Some(ready)) = (started, ready) else { return false };
    let is_unready = ready.str_at(&["status"]) == "False";
    let since = api::time::parse(ready.str_at(&["lastTransitionTime"])).unwrap_or_default();
    if started.plus(CPU_WARM_UP) > now {
        return !is_unready && sample.at >= since.plus(sample.window);
    }
    !(is_unready && started.plus(FIRST_READINESS) > since)
}

/// The replicas by which pods would use what they should on average.
///
/// # Errors
/// When nothing can be said, in upstream's words.
pub fn replicas(
    pods: &[Arc<Value>],
    mut samples: Samples,
    current: i64,
    target: &Target,
    tolerance: Tolerance,
    (is_cpu, now): (bool, Time),
) -> Result<Proposal, String> {
    let groups = group(pods, &samples, is_cpu, now);
    samples.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
    if samples.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let (ratio, told) = target.ratio(&samples)?;
    let as_it_is = Proposal { replicas: current, ..told };
    let counts_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !counts_unready && groups.missing.is_empty() {
        if tolerance.covers(ratio) {
            return Ok(as_it_is);
        }
        return Ok(Proposal { replicas: times(ratio, groups.ready), ..told });
    }
    // Those that are not known count against the change.
    for pod in groups.missing.iter().filter(|_| (ratio - 1.0).abs() > f64::EPSILON) {
        let value = if ratio < 1.0 { target.full(pod) } else { 0 };
        samples.insert(pod.clone(), Sample { value, ..Sample::default() });
    }
    for pod in groups.unready.iter().filter(|_| counts_unready) {
        samples.insert(pod.clone(), Sample::default());
    }
    let (corrected, _) = target.ratio(&samples)?;
    let turns = (ratio < 1.0 && corrected > 1.0) || (ratio > 1.0 && corrected < 1.0);
    let wanted = times(corrected, samples.len());
    let contradicts = (corrected < 1.0 && wanted > current) || (corrected > 1.0 && wanted < current);
    if tolerance.covers(corrected) || turns || contradicts {
        return Ok(as_it_is);
    }
    Ok(Proposal { replicas: wanted, ..told })
}

/// What pods request of a resource, in thousandths, or one container of theirs.
pub fn requests(
    pods: &[Arc<Value>],
    container: &str,
    resource: &str,
) -> Result<BTreeMap<String, i64>, String> {
    let milli = |value: &Value| api::resources::quantity(value).map_or(0, |q| q.milli());
    let of = |pod: &Arc<Value>| {
        let name = pod.str_at(&["metadata", "name"]);
        let whole = pod.map_at(&["spec", "resources", "requests"]);
        if container.is_empty() && whole.is_some_and(|requests| !requests.is_empty()) {
            let sum = api::resources::requests(pod, false);
            let request = sum.get(resource).map(api::Quantity::milli);
            let request =
                request.ok_or_else(|| format!("missing pod-level request for {resource} in Pod {name}"))?;
            return Ok((name.to_owned(), request));
        }
        let sidecar = |c: &&Value| c.str_at(&["restartPolicy"]) == "Always";
        let sidecars = pod.list_at(&["spec", "initContainers"]).iter().filter(sidecar);
        let all = pod.list_at(&["spec", "containers"]).iter().chain(sidecars);
        let (mut sum, mut found) = (0_i64, container.is_empty());
        for one in all.filter(|c| container.is_empty() || c.str_at(&["name"]) == container) {
            let request = one.at(&["resources", "requests", resource]).ok_or_else(|| {
                let which = one.str_at(&["name"]);
                format!("missing request for {resource} in container {which} of Pod {name}")
            })?;
            sum = sum.saturating_add(milli(request));
            found = true;
        }
        if !found {
            return Err(format!("container {container} not found in Pod {name}"));
        }
        Ok((name.to_owned(), sum))
    };
    pods.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const NOW: Time = Time::from_secs(1_800_000_000);
    const TENTH: Tolerance = Tolerance { down: 0.1, up: 0.1 };

    fn pod(name: &str, phase: &str) -> Arc<Value> {
        Arc::new(tree!({
            "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": phase, "startTime": "2026-01-01T00:00:00Z",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}]}
        }))
    }

    fn samples(values: &[(&str, i64)]) -> Samples {
        let sample = |value| Sample { value, at: NOW, window: Duration::from_secs(30) };
        values.iter().map(|(pod, value)| ((*pod).to_owned(), sample(*value))).collect()
    }

    fn asked(pods: &[Arc<Value>], values: &[(&str, i64)], percent: i64) -> Result<Proposal, String> {
        let target = Target::Utilization(percent, requests(pods, "", "cpu")?);
        let current = i64::try_from(pods.len()).unwrap_or(0);
        replicas(pods, samples(values), current, &target, TENTH, (true, NOW))
    }

    #[test]
    fn replicas_grow_and_shrink_with_use_beyond_the_tolerance() {
        let pods = [pod("a", "Running"), pod("b", "Running")];
        let up = asked(&pods, &[("a", 900), ("b", 700)], 40).unwrap();
        assert_eq!(up, Proposal { replicas: 4, usage: 800, utilization: Some(80) });
        assert_eq!(asked(&pods, &[("a", 100), ("b", 100)], 40).unwrap().replicas, 1);
        assert_eq!(asked(&pods, &[("a", 430), ("b", 440)], 40).unwrap().replicas, 2);
    }

    #[test]
    fn pods_that_are_not_known_count_against_the_change() {
        let pods = [pod("a", "Running"), pod("b", "Running"), pod("c", "Pending")];
        assert_eq!(asked(&pods, &[("a", 1000), ("b", 1000)], 50).unwrap().replicas, 4, "one starts: 2000/3");
        let missing = [pod("a", "Running"), pod("b", "Running")];
        assert_eq!(
            asked(&missing, &[("a", 100)], 50).unwrap().replicas,
            2,
            "perhaps it uses all it asked for"
        );
        assert_eq!(asked(&missing, &[("a", 900)], 50).unwrap().replicas, 2, "perhaps it uses nothing");
    }

    #[test]
    fn samples_of_pods_that_start_say_nothing_of_cpu() {
        let mut young = (*pod("a", "Running")).clone();
        young.set(&["status", "startTime"], NOW.rfc3339());
        young.set(
            &["status", "conditions"],
            tree!([{"type": "Ready", "status": "True", "lastTransitionTime": (NOW.rfc3339())}]),
        );
        let none = asked(&[Arc::new(young)], &[("a", 900)], 50);
        assert_eq!(none.unwrap_err(), "did not receive metrics for targeted pods (pods might be unready)");
    }

    #[test]
    fn a_missing_request_is_told() {
        let bare = Arc::new(tree!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}));
        let error = requests(std::slice::from_ref(&bare), "", "cpu").unwrap_err();
        assert_eq!(error, "missing request for cpu in container c of Pod a");
        assert_eq!(requests(&[bare], "d", "cpu").unwrap_err(), "container d not found in Pod a");
    }

    #[test]
    fn an_average_is_reached_by_more_replicas() {
        let pods = [pod("a", "Running"), pod("b", "Running")];
        let target = Target::Average(1000);
        let proposal = replicas(&pods, samples(&[("a", 3000), ("b", 2000)]), 2, &target, TENTH, (false, NOW));
        assert_eq!(proposal.unwrap(), Proposal { replicas: 5, usage: 2500, utilization: None });
    }
}
