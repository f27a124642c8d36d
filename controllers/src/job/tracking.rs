//! Counting finished pods exactly once: note their uids, take off the finalizers, then count.

use super::plan::{End, TRACKING, View, count, is_finished, is_tracked};
use super::{Controller, KIND, ORPHAN, indexes, policy};
use crate::reconcile::{self, Outcome, unless_gone};
use crate::{conditions, owner, pod_batch, pods, resources, status};
use api::{Str, Value, tree};
use client::{Cache, Error, key_of};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many pods are noted at once.
const MOST: usize = 500;

type Uids = BTreeSet<Str>;

/// What is to be counted: the status that notes it, and the pods that may go then.
pub(super) struct Tally {
    pub status: Value,
    pub release: Vec<Arc<Value>>,
    /// More wait to be noted.
    pub is_full: bool,
}

fn noted(status: &Value, list: &str) -> Vec<Str> {
    let found = status.list_at(&["uncountedTerminatedPods", list]);
    found.iter().filter_map(Value::as_str).map(Str::from).collect()
}

/// Counts pods that were noted and hold the finalizer no more.
fn count_released(status: &mut Value, tracked: &Uids) {
    for list in ["succeeded", "failed"] {
        let (still, gone): (Vec<Str>, Vec<Str>) =
            noted(status, list).into_iter().partition(|uid| tracked.contains(uid));
        if gone.is_empty() {
            continue;
        }
        let total = status.i64_at(&[list]).unwrap_or(0) + count(gone.len());
        status.set(&[list], total);
        put_noted(status, list, &still);
    }
}

fn put_noted(status: &mut Value, list: &str, uids: &[Str]) {
    match uids {
        [] => drop(status.unset(&["uncountedTerminatedPods", list])),
        uids => {
            let uids: Vec<Value> = uids.iter().map(Value::from).collect();
            status.set(&["uncountedTerminatedPods", list], uids);
        }
    }
}

/// Notes what finished since the last time, in this status.
pub(super) fn tally(view: &View<'_>, end: Option<&End>, mut status: Value) -> Tally {
    let job = view.job;
    let mut pods: Vec<&Arc<Value>> = view.pods.iter().filter(|pod| is_tracked(pod)).collect();
    pods.sort_by_key(|pod| indexes::index_of(pod));
    let tracked: Uids = pods.iter().map(|pod| Str::from(owner::uid(pod))).collect();
    let failed_before: Uids = noted(&status, "failed").into_iter().collect();
    count_released(&mut status, &tracked);
    let (mut succeeded, mut failed) = (noted(&status, "succeeded"), noted(&status, "failed"));
    let (mut done, mut new_indexes) = (view.done.clone(), 0);
    let (mut release, mut is_full) = (Vec::new(), false);
    for pod in pods {
        let has_failed = policy::has_failed(job, pod);
        if !may_go(view, end, pod, has_failed) {
            continue;
        }
        release.push(pod.clone());
        let uid = Str::from(owner::uid(pod));
        let index = indexes::valid_index(job, pod);
        if pods::phase(pod) == "Succeeded" && !failed_before.contains(&uid) {
            if let Some(index) = index.filter(|_| indexes::is_indexed(job)) {
                new_indexes += usize::from(!view.done_before.contains(&index));
                done.insert(index);
            } else if !indexes::is_indexed(job) && !succeeded.contains(&uid) {
                succeeded.push(uid);
            }
        } else if (has_failed || end.is_some_and(|end| !end.succeeds))
            && !failed_before.contains(&uid)
            && (!indexes::is_indexed(job) || index.is_some())
            && policy::judge_failure(job, pod).counts
        {
            failed.push(uid);
        }
        if new_indexes + succeeded.len() + failed.len() >= MOST {
            is_full = true;
            break;
        }
    }
    put_noted(&mut status, "succeeded", &succeeded);
    put_noted(&mut status, "failed", &failed);
    if indexes::is_indexed(job) {
        status.set(&["succeeded"], count(done.len()));
        status.set(&["completedIndexes"], indexes::format(&done));
        if let Some(given_up) = &view.given_up {
            status.set(&["failedIndexes"], indexes::format(given_up));
        }
    }
    Tally { status, release, is_full }
}

/// Whether a pod may lose its finalizer: not while it runs, nor while it stands for its index.
fn may_go(view: &View<'_>, end: Option<&End>, pod: &Value, has_failed: bool) -> bool {
    if owner::is_leaving(view.job) || end.is_some() || pods::phase(pod) == "Succeeded" {
        return true;
    }
    let stands = || {
        let index = indexes::index_of(pod);
        let kept = index.and_then(|index| view.to_replace.get(&index));
        kept.is_some_and(|kept| owner::uid(kept) == owner::uid(pod))
    };
    has_failed && !stands()
}

impl Controller {
    /// Writes what the tally notes, lets the pods go, counts them, and says that the job is over when it is.
    pub(super) async fn track(
        &self,
        view: &View<'_>,
        end: Option<&End>,
        tally: Tally,
        terminating: usize,
    ) -> Outcome {
        let mut status = tally.status;
        if let Some(end) = end.filter(|end| !end.is_told) {
            let ty = if end.succeeds { "SuccessCriteriaMet" } else { "FailureTarget" };
            self.put_condition(&mut status, ty, &end.reason, &end.message);
        }
        let job = self.put(view.job, status).await?;
        self.remember(&key_of(&job), view.backoff);
        let released = self.release(&tally.release).await;
        let mut tracked: Uids =
            view.pods.iter().filter(|p| is_tracked(p)).map(|p| owner::uid(p).into()).collect();
        let mut status = job.get("status").cloned().unwrap_or_default();
        if released.is_ok() {
            tracked.retain(|uid| !tally.release.iter().any(|pod| owner::uid(pod) == uid.as_str()));
            count_released(&mut status, &tracked);
        }
        let none_waits = ["succeeded", "failed"].iter().all(|list| noted(&status, list).is_empty());
        let over = end.filter(|_| !tally.is_full && none_waits && terminating == 0 && released.is_ok());
        if let Some(end) = over {
            let ty = if end.succeeds { "Complete" } else { "Failed" };
            self.put_condition(&mut status, ty, &end.reason, &end.message);
            if end.succeeds {
                status.set(&["completionTime"], self.clock.now().rfc3339());
            }
        }
        let job = self.put(&job, status).await?;
        if let Some(end) = over {
            self.tell_end(&job, end);
        }
        released
    }

    fn put_condition(&self, status: &mut Value, ty: &str, reason: &str, message: &str) {
        let mut list = status.list_at(&["conditions"]).to_vec();
        let now = self.clock.now().rfc3339();
        let mut condition = conditions::new(ty, "True", &now, reason, message);
        condition.set(&["lastProbeTime"], now);
        conditions::set(&mut list, condition);
        status.set(&["conditions"], list);
    }

    fn tell_end(&self, job: &Value, end: &End) {
        if !end.succeeds {
            return self.recorder.warning(KIND, job, &end.reason, &end.message);
        }
        let done = job.i64_at(&["status", "succeeded"]).unwrap_or(0);
        if super::plan::completions(job).is_some_and(|wanted| done > wanted) {
            let message = "Too many succeeded pods running after completion count reached";
            self.recorder.warning(KIND, job, "TooManySucceededPods", message);
        }
        self.recorder.normal(KIND, job, "Completed", "Job completed");
    }

    /// The job with this status, as the server then has it.
    async fn put(&self, job: &Value, wanted: Value) -> Result<Value, Error> {
        let is_told = job.at(&["status", "uncountedTerminatedPods"]).is_some();
        if is_told && status::says_the_same(job.get("status"), Some(&wanted)) {
            return Ok(job.clone());
        }
        let mut changed = job.clone();
        changed.set(&["status"], wanted);
        if changed.at(&["status", "uncountedTerminatedPods"]).is_none() {
            changed.set(&["status", "uncountedTerminatedPods"], Value::map());
        }
        let namespace = job.str_at(&["metadata", "namespace"]);
        let written = self.client.update_lens(&resources::jobs(), namespace, "status", &changed).await?;
        self.jobs.caught_up(&written).await;
        Ok(written)
    }

    /// Takes the finalizer off pods. An error as well while the copy still shows it: counted with that copy, the pods
    /// would count again.
    pub(super) async fn release(&self, pods: &[Arc<Value>]) -> Outcome {
        let mut keys = Vec::new();
        for pod in pods.iter().filter(|pod| is_tracked(pod)) {
            let meta = |field: &str| pod.str_at(&["metadata", field]);
            let (namespace, name) = (meta("namespace"), meta("name"));
            let patch = tree!({"metadata": {
                "uid": (meta("uid")), ("$deleteFromPrimitiveList/finalizers"): [TRACKING]
            }});
            let written = self.client.strategic_patch(&resources::pods(), namespace, name, &patch).await;
            match written {
                // Another pod has its name.
                Err(error) if error.is_conflict() => {}
                written => drop(unless_gone(written)?),
            }
            keys.push((key_of(pod), meta("uid").to_owned()));
        }
        let is_free = |pod: &Value, uid: &str| owner::uid(pod) != uid || !is_tracked(pod);
        let all_free =
            |cache: &Cache| keys.iter().all(|(key, uid)| cache.get(key).is_none_or(|pod| is_free(&pod, uid)));
        if self.pods.until_within(all_free, pod_batch::PATIENCE).await {
            return Ok(());
        }
        Err(Error::Broken("the copy of the pods still shows them uncounted".to_owned()))
    }

    /// A pod that waits to be counted by a job that is gone, or over.
    pub(super) fn check_orphan(&self, pod: &Value) {
        if is_tracked(pod) && self.is_orphan(pod) {
            self.queue.add(format!("{ORPHAN}{}", key_of(pod)));
        }
    }

    fn is_orphan(&self, pod: &Value) -> bool {
        let Some(key) = owner::controller_key(pod, KIND) else { return owner::controller_of(pod).is_none() };
        let is_its = |job: &Arc<Value>| owner::uid(job) == owner::controller_uid(pod);
        self.jobs
            .cache()
            .get(&key)
            .filter(is_its)
            .is_none_or(|job| is_finished(&job) && !super::is_foreign(&job))
    }

    /// Lets go of such a pod, once the server agrees that the job is gone.
    pub(super) async fn free_orphan(&self, key: &str) -> Outcome {
        let Some(pod) = self.pods.cache().get(key).filter(|p| is_tracked(p)) else { return Ok(()) };
        if let Some(key) = owner::controller_key(&pod, KIND) {
            let (namespace, name) = reconcile::split(&key);
            let job = self.client.find(&resources::jobs(), namespace, name).await?;
            let job = job.filter(|job| owner::uid(job) == owner::controller_uid(&pod));
            if job.is_some_and(|job| !is_finished(&job)) {
                return Ok(());
            }
        }
        self.release(&[pod]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::backoff::Backoff;
    use stdx::Time;

    fn pod(uid: &str, phase: &str, finalizer: &str) -> Arc<Value> {
        Arc::new(
            tree!({"metadata": {"name": uid, "uid": uid, "finalizers": [finalizer]}, "status": {"phase": phase}}),
        )
    }

    fn tallied(job: &Value, pods: &[Arc<Value>], end: Option<&End>) -> Tally {
        let view = View::new(job, pods, Backoff::default(), Time::from_secs(0));
        tally(&view, end, job.get("status").cloned().unwrap_or_default())
    }

    #[test]
    fn finished_pods_are_noted_first_and_counted_when_they_are_free() {
        let mut job = tree!({"spec": {"completions": 2}, "status": {"succeeded": 1}});
        let first = tallied(&job, &[pod("a", "Succeeded", TRACKING), pod("b", "Running", TRACKING)], None);
        assert_eq!(first.release.len(), 1);
        assert_eq!(first.status.at(&["uncountedTerminatedPods", "succeeded"]), Some(&tree!(["a"])));
        assert_eq!(first.status.i64_at(&["succeeded"]), Some(1));
        job.set(&["status"], first.status);
        let second = tallied(&job, &[pod("a", "Succeeded", "other"), pod("b", "Running", TRACKING)], None);
        assert_eq!(second.status.i64_at(&["succeeded"]), Some(2));
        assert!(noted(&second.status, "succeeded").is_empty() && second.release.is_empty());
    }

    #[test]
    fn what_still_runs_when_a_job_fails_counts_as_failed() {
        let job = tree!({"spec": {"completions": 2}});
        let end = End { succeeds: false, reason: "R".into(), message: "M".into(), is_told: false };
        let tally = tallied(&job, &[pod("a", "Running", TRACKING)], Some(&end));
        assert_eq!(noted(&tally.status, "failed"), [Str::from("a")]);
        let end = End { succeeds: true, ..end };
        assert!(
            noted(&tallied(&job, &[pod("a", "Running", TRACKING)], Some(&end)).status, "failed").is_empty()
        );
    }

    #[test]
    fn ignored_failures_are_not_counted() {
        let mut job = tree!({"spec": {"completions": 1, "podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}}});
        let mut gone = (*pod("a", "Failed", TRACKING)).clone();
        gone.set(&["status", "conditions"], tree!([{"type": "DisruptionTarget", "status": "True"}]));
        let gone = Arc::new(gone);
        let tally = tallied(&job, std::slice::from_ref(&gone), None);
        assert!(noted(&tally.status, "failed").is_empty() && tally.release.len() == 1);
        job.unset(&["spec", "podFailurePolicy"]);
        assert_eq!(noted(&tallied(&job, &[gone], None).status, "failed").len(), 1);
    }
}
