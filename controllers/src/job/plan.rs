//! What a job needs next, from its pods. Pure.

use super::backoff::{self, Backoff};
use super::indexes::{self, FAILURES, IGNORED_FAILURES, INDEX, Indexes};
use super::policy;
use crate::{conditions, owner, pods};
use api::{Value, tree};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// How many pods are made or deleted in one go.
const BURST: usize = 500;
/// The longest name to which a random end is added.
const NAME_BYTES: usize = 58;

/// A job and what its pods came to.
pub struct View<'a> {
    pub job: &'a Value,
    pub pods: &'a [Arc<Value>],
    pub active: Vec<Arc<Value>>,
    /// On their way out, but not finished.
    pub terminating: usize,
    /// Finished ones, counted or not.
    pub succeeded: i64,
    pub failed: i64,
    /// Of indexed jobs: done as the status says, done in all, and given up when each index has a limit.
    pub done_before: Indexes,
    pub done: Indexes,
    pub given_up: Option<Indexes>,
    /// Failed pods that stay until they are replaced, by index.
    pub to_replace: BTreeMap<i64, Arc<Value>>,
    pub backoff: Backoff,
    pub now: Time,
}

/// The step to take.
#[derive(Debug, PartialEq)]
pub enum Plan {
    Keep,
    /// These pods more.
    Create(Vec<Value>),
    /// These pods are too many.
    Delete(Vec<Arc<Value>>),
    /// Not before a failed pod's delay is over.
    Wait(Duration),
}

/// How a job ends: the condition that says so first, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub succeeds: bool,
    pub reason: String,
    pub message: String,
    /// The first condition stands already.
    pub is_told: bool,
}

impl End {
    fn new(succeeds: bool, reason: &str, message: &str) -> Self {
        End { succeeds, reason: reason.to_owned(), message: message.to_owned(), is_told: false }
    }
}

pub fn is_finished(job: &Value) -> bool {
    let list = job.list_at(&["status", "conditions"]);
    conditions::is_true(list, "Complete") || conditions::is_true(list, "Failed")
}

pub fn is_suspended(job: &Value) -> bool {
    job.bool_at(&["spec", "suspend"])
}

pub fn is_tracked(pod: &Value) -> bool {
    pod.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(TRACKING))
}

/// On its way out and not finished.
pub fn is_terminating(pod: &Value) -> bool {
    owner::is_leaving(pod) && !pods::is_finished(pod)
}

pub fn completions(job: &Value) -> Option<i64> {
    job.i64_at(&["spec", "completions"])
}

pub fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl<'a> View<'a> {
    /// `before` is what was known of failures when the job was last looked at.
    pub fn new(job: &'a Value, pods: &'a [Arc<Value>], before: Backoff, now: Time) -> Self {
        let tracked: Vec<Arc<Value>> = pods.iter().filter(|pod| is_tracked(pod)).cloned().collect();
        let uncounted = |list: &str| job.list_at(&["status", "uncountedTerminatedPods", list]);
        let is_new = |pod: &Arc<Value>, list: &str| {
            let known = uncounted(list).iter().any(|uid| uid.as_str() == Some(owner::uid(pod)));
            !known && (!indexes::is_indexed(job) || indexes::valid_index(job, pod).is_some())
        };
        let new = |list: &str, is_it: &dyn Fn(&Arc<Value>) -> bool| -> Vec<Arc<Value>> {
            tracked.iter().filter(|pod| is_new(pod, list) && is_it(pod)).cloned().collect()
        };
        let succeeded = new("succeeded", &|pod| pods::phase(pod) == "Succeeded");
        let failed = new("failed", &|pod| policy::has_failed(job, pod));
        let counted =
            |field: &str| job.i64_at(&["status", field]).unwrap_or(0) + count(uncounted(field).len());
        let counting = failed.iter().filter(|pod| policy::judge_failure(job, pod).counts).count();
        let mut view = View {
            job,
            pods,
            active: pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect(),
            terminating: pods.iter().filter(|pod| is_terminating(pod)).count(),
            succeeded: counted("succeeded") + count(succeeded.len()),
            failed: counted("failed") + count(counting),
            done_before: Indexes::new(),
            done: Indexes::new(),
            given_up: None,
            to_replace: BTreeMap::new(),
            backoff: before.with(&succeeded, &failed),
            now,
        };
        if indexes::is_indexed(job) {
            view.index(&tracked);
        }
        view
    }

    fn index(&mut self, tracked: &[Arc<Value>]) {
        let job = self.job;
        self.done_before = indexes::done_before(job);
        let succeeded = tracked.iter().filter(|pod| pods::phase(pod) == "Succeeded");
        self.done = succeeded.filter_map(|pod| indexes::valid_index(job, pod)).collect();
        self.done.extend(self.done_before.iter().copied());
        self.succeeded = count(self.done.len());
        if !indexes::limits_each(job) {
            return;
        }
        let given_up = indexes::given_up(job, tracked);
        let active: Indexes = self.active.iter().filter_map(|pod| indexes::index_of(pod)).collect();
        let settled =
            |index: i64| self.done.contains(&index) || given_up.contains(&index) || active.contains(&index);
        self.to_replace = indexes::to_replace(job, tracked, settled);
        self.given_up = Some(given_up);
    }

    /// Whether the job is over before all of it is done.
    pub fn end(&self) -> Option<End> {
        let job = self.job;
        let list = job.list_at(&["status", "conditions"]);
        for (ty, succeeds) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(told) = conditions::find(list, ty).filter(|c| c.str_at(&["status"]) == "True") {
                let end = End::new(succeeds, told.str_at(&["reason"]), told.str_at(&["message"]));
                return Some(End { is_told: true, ..end });
            }
        }
        let failed = self.pods.iter().filter(|pod| policy::has_failed(job, pod));
        let by_policy = failed.filter_map(|pod| policy::judge_failure(job, pod).fails_job).next();
        if let Some(message) = by_policy {
            return Some(End::new(false, "PodFailurePolicy", &message));
        }
        if self.failed > job.i64_at(&["spec", "backoffLimit"]).unwrap_or(6) || self.restarts_too_often() {
            let message = "Job has reached the specified backoff limit";
            return Some(End::new(false, "BackoffLimitExceeded", message));
        }
        if until_deadline(job, self.now).is_some_and(|left| left.is_zero()) {
            let message = "Job was active longer than specified deadline";
            return Some(End::new(false, "DeadlineExceeded", message));
        }
        if indexes::is_indexed(job) { self.end_of_indexes() } else { None }
    }

    fn end_of_indexes(&self) -> Option<End> {
        let job = self.job;
        if let Some(given_up) = &self.given_up {
            let lost = count(given_up.len());
            if job.i64_at(&["spec", "maxFailedIndexes"]).is_some_and(|most| lost > most) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return Some(End::new(false, "MaxFailedIndexesExceeded", message));
            }
            if lost > 0 && lost + count(self.done.len()) >= completions(job).unwrap_or(0) {
                return Some(End::new(false, "FailedIndexes", "Job has failed indexes"));
            }
        }
        policy::success(job, &self.done).map(|message| End::new(true, "SuccessPolicy", &message))
    }

    /// Containers that are started again in place count towards the limit, too.
    fn restarts_too_often(&self) -> bool {
        let job = self.job;
        if job.str_at(&["spec", "template", "spec", "restartPolicy"]) != "OnFailure" {
            return false;
        }
        let running = self.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
        let restarts = running.flat_map(|pod| {
            let of = |field: &'static str| pod.list_at(&["status", field]).iter();
            of("initContainerStatuses").chain(of("containerStatuses"))
        });
        let restarts: i64 = restarts.filter_map(|status| status.i64_at(&["restartCount"])).sum();
        match job.i64_at(&["spec", "backoffLimit"]).unwrap_or(6) {
            0 => restarts > 0,
            limit => restarts >= limit,
        }
    }

    /// All is done that was to be done, with so many pods still active.
    pub fn is_complete(&self, active: usize) -> bool {
        let enough = match completions(self.job) {
            None => self.succeeded > 0,
            Some(completions) => self.succeeded >= completions,
        };
        enough && active == 0
    }

    /// Which pods to make or delete.
    pub fn plan(&self) -> Plan {
        let job = self.job;
        let have = count(self.active.len());
        let wanted = self.wanted();
        let too_many = if is_suspended(job) { have } else { (have - wanted).max(0) };
        let doomed = self.doomed(usize::try_from(too_many).unwrap_or(0));
        if !doomed.is_empty() {
            return Plan::Delete(doomed);
        }
        if is_suspended(job) {
            return Plan::Keep;
        }
        let leaving = if policy::waits_for_end(job) { count(self.terminating) } else { 0 };
        let missing = usize::try_from(wanted - leaving - have).unwrap_or(0).min(BURST);
        if missing == 0 {
            return Plan::Keep;
        }
        if indexes::is_indexed(job) {
            return self.create_indexes(missing);
        }
        match self.backoff.left(self.now) {
            Duration::ZERO => Plan::Create((0..missing).map(|_| new_pod(job, None, None)).collect()),
            left => Plan::Wait(left),
        }
    }

    fn wanted(&self) -> i64 {
        let parallelism = self.job.i64_at(&["spec", "parallelism"]).unwrap_or(1);
        match completions(self.job) {
            None if self.succeeded > 0 => count(self.active.len()),
            None => parallelism,
            Some(completions) => parallelism.min(completions - self.succeeded).max(0),
        }
    }

    fn create_indexes(&self, missing: usize) -> Plan {
        let job = self.job;
        let mut taken: Indexes = self.active.iter().filter_map(|pod| indexes::index_of(pod)).collect();
        if policy::waits_for_end(job) {
            taken.extend(indexes::leaving_indexes(self.pods));
        }
        let is_free = |index: &i64| {
            let given_up = self.given_up.as_ref().is_some_and(|given_up| given_up.contains(index));
            !taken.contains(index) && !self.done.contains(index) && !given_up
        };
        let free = (0..completions(job).unwrap_or(0)).filter(is_free).take(missing);
        let left = |index: i64| match self.to_replace.get(&index) {
            Some(pod) => {
                let failures = usize::try_from(indexes::all_failures(pod) + 1).unwrap_or(1);
                backoff::left(failures, backoff::finished_at(pod), self.now)
            }
            None if indexes::limits_each(job) => Duration::ZERO,
            None => self.backoff.left(self.now),
        };
        let (now, later): (Vec<_>, Vec<_>) =
            free.map(|index| (index, left(index))).partition(|(_, left)| left.is_zero());
        if now.is_empty() {
            return later.into_iter().map(|(_, left)| left).min().map_or(Plan::Keep, Plan::Wait);
        }
        let pod = |(index, _)| new_pod(job, Some(index), self.to_replace.get(&index));
        Plan::Create(now.into_iter().map(pod).collect())
    }

    /// So many active pods at least that have to go; those first that cost least.
    fn doomed(&self, least: usize) -> Vec<Arc<Value>> {
        let mut left = self.active.clone();
        let mut doomed = Vec::new();
        if indexes::is_indexed(self.job) {
            doomed = indexes::take_superfluous(self.job, &mut left, pods::sort_for_deletion);
        }
        pods::sort_for_deletion(&mut left);
        let more = least.saturating_sub(doomed.len()).min(left.len());
        doomed.extend(left.drain(..more));
        doomed.truncate(BURST);
        doomed
    }
}

/// How long a job may still run.
pub fn until_deadline(job: &Value, now: Time) -> Option<Duration> {
    let most = job.i64_at(&["spec", "activeDeadlineSeconds"]).filter(|_| !is_suspended(job))?;
    let since = api::time::parse(job.str_at(&["status", "startTime"])).ok()?;
    Some(Duration::from_secs(u64::try_from(most).unwrap_or(0)).saturating_sub(now.since(since)))
}

/// A pod of a job; of an index, when it counts them, perhaps instead of one that failed.
fn new_pod(job: &Value, index: Option<i64>, replaced: Option<&Arc<Value>>) -> Value {
    let template = job.at(&["spec", "template"]).cloned().unwrap_or_default();
    let mut pod = pods::from_template(&template, owner::controller_ref(job, super::KIND));
    let mut finalizers = pod.list_at(&["metadata", "finalizers"]).to_vec();
    if !is_tracked(&pod) {
        finalizers.push(TRACKING.into());
    }
    pod.set(&["metadata", "finalizers"], Value::List(finalizers));
    let name = job.str_at(&["metadata", "name"]);
    let Some(index) = index else {
        pod.set(&["metadata", "generateName"], format!("{name}-"));
        return pod;
    };
    let end = format!("-{index}-");
    let start = name.get(..NAME_BYTES.saturating_sub(end.len()).min(name.len())).unwrap_or(name);
    pod.set(&["metadata", "generateName"], format!("{start}{end}"));
    pod.set(&["metadata", "annotations", INDEX], index.to_string());
    pod.set(&["metadata", "labels", INDEX], index.to_string());
    pod.set(&["spec", "hostname"], format!("{name}-{index}"));
    if indexes::limits_each(job) {
        let (counted, ignored) = indexes::failures_after(job, replaced);
        pod.set(&["metadata", "annotations", FAILURES], counted.to_string());
        if ignored > 0 {
            pod.set(&["metadata", "annotations", IGNORED_FAILURES], ignored.to_string());
        }
    }
    for list in ["initContainers", "containers"] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        containers.into_iter().flatten().for_each(tell_index);
    }
    pod
}

fn tell_index(container: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let mut env = container.list_at(&["env"]).to_vec();
    if env.iter().all(|variable| variable.str_at(&["name"]) != NAME) {
        let path = format!("metadata.labels['{INDEX}']");
        env.push(tree!({"name": NAME, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    }
    container.set(&["env"], Value::List(env));
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
