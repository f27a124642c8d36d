//! What a job needs next, from its pods. Pure.

use crate::{conditions, owner, pods};
use api::{Value, tree};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// How long the first failed pod delays its replacement, and at most.
const FIRST_DELAY: Duration = Duration::from_secs(10);
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// A job and what its pods came to.
pub struct View<'a> {
    pub job: &'a Value,
    pub active: Vec<Arc<Value>>,
    /// On their way out, but not finished.
    pub terminating: usize,
    /// Finished ones, counted or not.
    pub succeeded: i64,
    pub failed: i64,
    pub now: Time,
}

/// The step to take.
#[derive(Debug, PartialEq)]
pub enum Plan {
    Keep,
    /// So many more pods, for these indexes when the job counts them.
    Create {
        count: usize,
        indexes: Vec<i64>,
    },
    /// These pods are too many.
    Delete(Vec<String>),
    /// Not before a failed pod's delay is over.
    Wait(Duration),
    /// The job is over: condition, reason, message.
    Finish {
        complete: bool,
        reason: &'static str,
        message: &'static str,
    },
}

pub fn is_finished(job: &Value) -> bool {
    let list = job.list_at(&["status", "conditions"]);
    conditions::is_true(list, "Complete") || conditions::is_true(list, "Failed")
}

pub fn is_suspended(job: &Value) -> bool {
    job.bool_at(&["spec", "suspend"])
}

pub fn is_indexed(job: &Value) -> bool {
    job.str_at(&["spec", "completionMode"]) == "Indexed"
}

pub fn completions(job: &Value) -> Option<i64> {
    job.i64_at(&["spec", "completions"])
}

/// The index that a pod works on.
pub fn index_of(pod: &Value) -> Option<i64> {
    pod.str_at(&["metadata", "annotations", INDEX]).parse().ok()
}

/// The indexes of a text such as `0-2,5`.
pub fn parse_indexes(text: &str) -> BTreeSet<i64> {
    let part = |part: &str| -> Option<std::ops::RangeInclusive<i64>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(part).flatten().collect()
}

/// The same, as a text.
pub fn format_indexes(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let text = |(first, last): &(i64, i64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Decides.
pub fn plan(view: &View<'_>, last_failure: Option<Time>) -> Plan {
    let job = view.job;
    if let Some(end) = end(view) {
        return end;
    }
    if is_suspended(job) {
        return if view.active.is_empty() { Plan::Keep } else { Plan::Delete(names(&view.active)) };
    }
    let parallelism = job.i64_at(&["spec", "parallelism"]).unwrap_or(1);
    let wanted = match completions(job) {
        None if view.succeeded > 0 => count(view.active.len()).min(parallelism),
        None => parallelism,
        Some(completions) => parallelism.min(completions - view.succeeded).max(0),
    };
    let have = count(view.active.len());
    if have > wanted {
        let mut ranked = view.active.clone();
        pods::sort_for_deletion(&mut ranked);
        ranked.truncate(usize::try_from(have - wanted).unwrap_or(0));
        return Plan::Delete(names(&ranked));
    }
    let replaces_failed_only = job.str_at(&["spec", "podReplacementPolicy"]) == "Failed";
    let leaving = if replaces_failed_only { count(view.terminating) } else { 0 };
    let missing = usize::try_from(wanted - have - leaving).unwrap_or(0);
    if missing == 0 {
        return Plan::Keep;
    }
    if let Some(wait) = delay(view, last_failure) {
        return Plan::Wait(wait);
    }
    let indexes = if is_indexed(job) { free_indexes(view, missing) } else { Vec::new() };
    let count = if is_indexed(job) { indexes.len() } else { missing };
    if count == 0 { Plan::Keep } else { Plan::Create { count, indexes } }
}

/// Whether the job is over.
fn end(view: &View<'_>) -> Option<Plan> {
    let job = view.job;
    let over = |reason, message| Some(Plan::Finish { complete: false, reason, message });
    if view.failed > job.i64_at(&["spec", "backoffLimit"]).unwrap_or(6) {
        return over("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    if until_deadline(job, view.now).is_some_and(|left| left.is_zero()) {
        return over("DeadlineExceeded", "Job was active longer than specified deadline");
    }
    let complete = match completions(job) {
        None => view.succeeded > 0 && view.active.is_empty(),
        Some(completions) => view.succeeded >= completions && view.active.is_empty(),
    };
    let message = "Reached expected number of succeeded pods";
    (complete && !is_suspended(job)).then_some(Plan::Finish {
        complete,
        reason: "CompletionsReached",
        message,
    })
}

/// How long a job may still run.
pub fn until_deadline(job: &Value, now: Time) -> Option<Duration> {
    let most = job.i64_at(&["spec", "activeDeadlineSeconds"]).filter(|_| !is_suspended(job))?;
    let since = api::time::parse(job.str_at(&["status", "startTime"])).ok()?;
    Some(Duration::from_secs(u64::try_from(most).unwrap_or(0)).saturating_sub(now.since(since)))
}

/// How long the next pod must wait because of failed ones.
fn delay(view: &View<'_>, last_failure: Option<Time>) -> Option<Duration> {
    let doublings = u32::try_from(view.failed - 1).ok()?.min(16);
    let delay = (FIRST_DELAY * 2_u32.pow(doublings)).min(LONGEST_DELAY);
    let left = delay.saturating_sub(view.now.since(last_failure?));
    (!left.is_zero()).then_some(left)
}

fn free_indexes(view: &View<'_>, most: usize) -> Vec<i64> {
    let mut taken = parse_indexes(view.job.str_at(&["status", "completedIndexes"]));
    taken.extend(view.active.iter().filter_map(|p| index_of(p)));
    (0..completions(view.job).unwrap_or(0)).filter(|i| !taken.contains(i)).take(most).collect()
}

fn names(pods: &[Arc<Value>]) -> Vec<String> {
    pods.iter().map(|p| p.str_at(&["metadata", "name"]).to_owned()).collect()
}

pub fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A pod of a job; of an index, when it counts them.
pub fn new_pod(job: &Value, index: Option<i64>) -> Value {
    let template = job.at(&["spec", "template"]).cloned().unwrap_or_default();
    let mut pod = pods::from_template(&template, owner::controller_ref(job, super::KIND));
    let mut finalizers = pod.list_at(&["metadata", "finalizers"]).to_vec();
    finalizers.push(TRACKING.into());
    pod.set(&["metadata", "finalizers"], Value::List(finalizers));
    let name = job.str_at(&["metadata", "name"]);
    let Some(index) = index else {
        pod.set(&["metadata", "generateName"], format!("{name}-"));
        return pod;
    };
    pod.set(&["metadata", "generateName"], format!("{name}-{index}-"));
    pod.set(&["metadata", "annotations", INDEX], index.to_string());
    pod.set(&["metadata", "labels", INDEX], index.to_string());
    if pod.str_at(&["spec", "hostname"]).is_empty() {
        pod.set(&["spec", "hostname"], format!("{name}-{index}"));
    }
    for list in ["initContainers", "containers"] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            let mut env = container.list_at(&["env"]).to_vec();
            if env.iter().all(|e| e.str_at(&["name"]) != "JOB_COMPLETION_INDEX") {
                let path = format!("metadata.labels['{INDEX}']");
                env.push(
                    tree!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}),
                );
            }
            container.set(&["env"], Value::List(env));
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: Value) -> Value {
        tree!({"metadata": {"name": "j", "uid": "u"}, "spec": spec})
    }

    fn pod(name: &str) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"name": name}}))
    }

    fn view(job: &Value, active: Vec<Arc<Value>>, succeeded: i64, failed: i64) -> View<'_> {
        View { job, active, terminating: 0, succeeded, failed, now: Time::from_secs(1000) }
    }

    #[test]
    fn a_job_runs_as_many_pods_as_it_may_and_still_needs() {
        let job = job(tree!({"parallelism": 3, "completions": 4, "backoffLimit": 6}));
        assert_eq!(plan(&view(&job, vec![], 0, 0), None), Plan::Create { count: 3, indexes: vec![] });
        assert_eq!(plan(&view(&job, vec![pod("a")], 3, 0), None), Plan::Keep);
        assert_eq!(plan(&view(&job, vec![pod("a"), pod("b")], 3, 0), None), Plan::Delete(vec!["a".into()]));
        let done = plan(&view(&job, vec![], 4, 0), None);
        assert!(matches!(done, Plan::Finish { complete: true, .. }));
    }

    #[test]
    fn failures_delay_and_end_a_job() {
        let job = job(tree!({"parallelism": 1, "completions": 1, "backoffLimit": 1}));
        let one = view(&job, vec![], 0, 1);
        assert_eq!(plan(&one, Some(Time::from_secs(995))), Plan::Wait(Duration::from_secs(5)));
        assert!(matches!(plan(&one, Some(Time::from_secs(980))), Plan::Create { .. }));
        let two = plan(&view(&job, vec![], 0, 2), None);
        assert!(matches!(two, Plan::Finish { complete: false, reason: "BackoffLimitExceeded", .. }));
    }

    #[test]
    fn a_suspended_job_has_no_pods() {
        let job = job(tree!({"parallelism": 1, "completions": 1, "suspend": true}));
        assert_eq!(plan(&view(&job, vec![], 0, 0), None), Plan::Keep);
        assert_eq!(plan(&view(&job, vec![pod("a")], 0, 0), None), Plan::Delete(vec!["a".into()]));
    }

    #[test]
    fn indexes_are_given_out_in_order_and_written_as_runs() {
        let mut job = job(tree!({"parallelism": 3, "completions": 6, "completionMode": "Indexed"}));
        job.set(&["status", "completedIndexes"], "0-1,4");
        let taken = Arc::new(tree!({"metadata": {"name": "a", "annotations": {INDEX: "2"}}}));
        let plan = plan(&view(&job, vec![taken], 3, 0), None);
        assert_eq!(plan, Plan::Create { count: 2, indexes: vec![3, 5] });
        assert_eq!(format_indexes(&parse_indexes("0,1,2,4,5,9")), "0-2,4,5,9");
        assert_eq!(new_pod(&job, Some(3)).str_at(&["metadata", "generateName"]), "j-3-");
    }
}
