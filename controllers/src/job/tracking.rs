//! Counting finished pods exactly once: note their uids, take off the finalizers, then count.

use super::plan::{self, TRACKING, count};
use super::{Controller, ORPHAN, finalizers_patch};
use crate::reconcile::{Outcome, unless_gone};
use crate::{owner, pods, resources, status};
use api::{Str, Value, tree};
use client::{Error, key_of};
use std::collections::BTreeSet;
use std::sync::Arc;
use stdx::Time;

fn is_tracked(pod: &Value) -> bool {
    pod.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(TRACKING))
}

fn uids(job: &Value, list: &str) -> BTreeSet<Str> {
    let found = job.list_at(&["status", "uncountedTerminatedPods", list]);
    found.iter().filter_map(Value::as_str).map(Str::from).collect()
}

/// Succeeded, failed (a pod that was deleted before it finished counts as failed), or still at work.
fn end_of(job: &Value, pod: &Value) -> Option<&'static str> {
    let failed_only = job.str_at(&["spec", "podReplacementPolicy"]) == "Failed";
    match pods::phase(pod) {
        "Succeeded" => Some("succeeded"),
        "Failed" => Some("failed"),
        _ if owner::is_leaving(pod) && !failed_only => Some("failed"),
        // It will never run: no kubelet has it, and nothing else would take the finalizer off.
        _ if owner::is_leaving(pod) && pod.str_at(&["spec", "nodeName"]).is_empty() => Some("failed"),
        _ => None,
    }
}

impl Controller {
    /// Counts what finished since the last time; the job as it is then.
    pub(super) async fn count_finished(&self, job: &Value, pods: &[Arc<Value>]) -> Result<Value, Error> {
        let mut job = job.clone();
        let (mut succeeded, mut failed) = (uids(&job, "succeeded"), uids(&job, "failed"));
        let mut indexes = plan::parse_indexes(job.str_at(&["status", "completedIndexes"]));
        for pod in pods.iter().filter(|p| is_tracked(p)) {
            match end_of(&job, pod) {
                Some("succeeded") => {
                    succeeded.insert(owner::uid(pod).into());
                    indexes.extend(plan::index_of(pod));
                }
                Some(_) => {
                    failed.insert(owner::uid(pod).into());
                }
                None => {}
            }
        }
        if succeeded.is_empty() && failed.is_empty() {
            return Ok(job);
        }
        let list = |set: &BTreeSet<Str>| Value::List(set.iter().map(Value::from).collect());
        let mut noted = job.get("status").cloned().unwrap_or_default();
        noted.set(
            &["uncountedTerminatedPods"],
            tree!({"succeeded": list(&succeeded), "failed": list(&failed)}),
        );
        if plan::is_indexed(&job) {
            noted.set(&["completedIndexes"], plan::format_indexes(&indexes));
        }
        job = self.put(&job, noted).await?;
        for pod in pods.iter().filter(|p| is_tracked(p)) {
            if succeeded.contains(owner::uid(pod)) || failed.contains(owner::uid(pod)) {
                self.release(pod).await?;
            }
        }
        let mut counted = job.get("status").cloned().unwrap_or_default();
        let total = |field: &str, more: usize| job.i64_at(&["status", field]).unwrap_or(0) + count(more);
        let done =
            if plan::is_indexed(&job) { count(indexes.len()) } else { total("succeeded", succeeded.len()) };
        counted.set(&["succeeded"], done);
        counted.set(&["failed"], total("failed", failed.len()));
        counted.set(&["uncountedTerminatedPods"], Value::map());
        self.put(&job, counted).await
    }

    async fn put(&self, job: &Value, wanted: Value) -> Result<Value, Error> {
        match status::write(&self.client, &resources::jobs(), job, wanted).await? {
            Some(written) => {
                self.jobs.caught_up(&written).await;
                Ok(written)
            }
            None => Ok(job.clone()),
        }
    }

    /// Takes the finalizer off a pod.
    async fn release(&self, pod: &Value) -> Outcome {
        let meta = |field: &str| pod.str_at(&["metadata", field]);
        let (namespace, name) = (meta("namespace"), meta("name"));
        let patch = finalizers_patch(pod);
        let written = self.client.merge_patch(&resources::pods(), namespace, name, "", &patch).await;
        if unless_gone(written)?.is_some() {
            let key = key_of(pod);
            self.pods.until(move |cache| cache.get(&key).is_none_or(|p| !is_tracked(&p))).await;
        }
        Ok(())
    }

    /// When the latest pod failed.
    pub(super) fn last_failure(&self, job: &Value) -> Option<Time> {
        let failed = self.pods_of(job).into_iter().filter(|p| pods::phase(p) == "Failed");
        let times = failed.flat_map(|p| {
            let ends = p.list_at(&["status", "containerStatuses"]).iter();
            let ends = ends.map(|c| c.str_at(&["state", "terminated", "finishedAt"]).to_owned());
            ends.filter_map(|t| api::time::parse(&t).ok()).collect::<Vec<_>>()
        });
        times.max()
    }

    /// A pod that waits to be counted by a job that is gone.
    pub(super) fn check_orphan(&self, pod: &Value) {
        if is_tracked(pod) && self.is_orphan(pod) {
            self.queue.add(format!("{ORPHAN}{}", key_of(pod)));
        }
    }

    fn is_orphan(&self, pod: &Value) -> bool {
        match owner::controller_key(pod, super::KIND) {
            Some(key) => {
                self.jobs.cache().get(&key).is_none_or(|job| owner::uid(&job) != owner::controller_uid(pod))
            }
            None => true,
        }
    }

    /// Lets go of such a pod, once the server agrees that the job is gone.
    pub(super) async fn free_orphan(&self, key: &str) -> Outcome {
        let Some(pod) = self.pods.cache().get(key).filter(|p| is_tracked(p)) else { return Ok(()) };
        if let Some(key) = owner::controller_key(&pod, super::KIND) {
            let (namespace, name) = crate::reconcile::split(&key);
            let job = self.client.find(&resources::jobs(), namespace, name).await?;
            if job.is_some_and(|job| owner::uid(&job) == owner::controller_uid(&pod)) {
                return Ok(());
            }
        }
        self.release(&pod).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_deleted_before_it_finished_counts_as_failed_unless_the_job_waits_for_its_end() {
        let leaving = tree!({"metadata": {"deletionTimestamp": "t"}, "spec": {"nodeName": "n"}});
        assert_eq!(end_of(&Value::map(), &leaving), Some("failed"));
        let waits = tree!({"spec": {"podReplacementPolicy": "Failed"}});
        assert_eq!(end_of(&waits, &leaving), None);
        assert_eq!(end_of(&waits, &tree!({"status": {"phase": "Succeeded"}})), Some("succeeded"));
    }
}
