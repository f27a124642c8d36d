//! job-controller: pods that run to completion, counted once each.
//!
//! A pod holds a finalizer until it is counted: its uid is first written to the status as not counted yet, then the
//! finalizer goes, then the counters grow. Policies on failing pods, limits for each index and success policies are
//! not evaluated yet.

mod plan;
mod tracking;

use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, conditions, pod_batch, pods, resources, status};
use api::selector::LabelSelector;
use api::{Value, tree};
use client::{Client, Error, Informer, WorkQueue};
use plan::{Plan, View, count};
use std::sync::Arc;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("batch/v1", "Job");
const WORKERS: usize = 5;
/// Begins keys that name a pod whose job is gone.
const ORPHAN: &str = "orphan ";
/// How many pods are made or deleted in one go.
const BURST: usize = 500;

struct Controller {
    client: Client,
    jobs: Informer,
    pods: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        jobs: context.informer(&resources::jobs()),
        pods: context.informer(&resources::pods()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
    });
    let follower = controller.clone();
    controller.jobs.on_change(Arc::new(move |old, new| follower.job_changed(old, new)));
    let follower = controller.clone();
    controller.pods.on_change(Arc::new(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            if let Some(job) = owner::controller_key(pod, KIND) {
                follower.queue.add(job);
            }
        }
        if let Some(pod) = new {
            follower.check_orphan(pod);
        }
    }));
    let copies = [&controller.jobs, &controller.pods];
    let worker = controller.clone();
    reconcile::run_on("job", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move {
            match key.strip_prefix(ORPHAN) {
                Some(pod) => controller.free_orphan(pod).await,
                None => controller.sync(&key).await,
            }
        }
    });
}

impl Controller {
    fn job_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let Some(job) = new.or(old) else { return };
        self.queue.add(client::key_of(job));
        if new.is_none() {
            let namespace = job.str_at(&["metadata", "namespace"]);
            for pod in self.pods.cache().list(namespace) {
                if owner::controller_uid(&pod) == owner::uid(job) {
                    self.check_orphan(&pod);
                }
            }
        }
    }

    async fn sync(&self, key: &str) -> Outcome {
        let Some(job) = self.jobs.cache().get(key) else { return Ok(()) };
        let foreign = !matches!(job.str_at(&["spec", "managedBy"]), "" | "kubernetes.io/job-controller");
        if foreign || owner::is_leaving(&job) {
            return Ok(());
        }
        let pods = self.claim(&job).await?;
        let job = self.count_finished(&job, &pods).await?;
        if plan::is_finished(&job) {
            return Ok(());
        }
        let now = self.clock.now();
        let (leaving, staying): (Vec<_>, Vec<_>) =
            pods.into_iter().filter(|p| !pods::is_finished(p)).partition(|p| owner::is_leaving(p));
        let counted = |field: &str| job.i64_at(&["status", field]).unwrap_or(0);
        let view = View {
            job: &job,
            active: staying,
            terminating: leaving.len(),
            succeeded: counted("succeeded"),
            failed: counted("failed"),
            now,
        };
        let plan = plan::plan(&view, self.last_failure(&job));
        let status = self.status(&view, &plan);
        let done = self.act(&job, &plan).await;
        let active = self.active_after(&job, &view, &plan);
        self.write(&job, status, active).await?;
        self.look_again(key, &job, &plan, now);
        done
    }

    async fn claim(&self, job: &Value) -> Result<Vec<Arc<Value>>, Error> {
        let selector = LabelSelector::from_value(job.at(&["spec", "selector"]));
        let selector = selector.unwrap_or_else(|_| LabelSelector::nothing());
        let all = self.pods.cache().list(job.str_at(&["metadata", "namespace"]));
        let resource = resources::jobs();
        let claimant = Claimant {
            client: &self.client,
            owner: job,
            resource: &resource,
            kind: KIND,
            selector: &selector,
        };
        claimant.claim(&resources::pods(), all).await
    }

    async fn act(&self, job: &Value, plan: &Plan) -> Outcome {
        let batch = pod_batch::Batch {
            client: &self.client,
            pods: &self.pods,
            recorder: &self.recorder,
            owner: job,
            kind: KIND,
        };
        match plan {
            Plan::Create { count, indexes } => {
                let index = |i: usize| indexes.get(i).copied();
                let pods = (0..(*count).min(BURST)).map(|i| plan::new_pod(job, index(i)));
                batch.create(pods.collect()).await
            }
            Plan::Delete(names) => batch.delete(names).await,
            Plan::Finish { complete: false, .. } => {
                let active = self.pods_of(job).into_iter().filter(|p| pods::is_active(p));
                let names: Vec<String> = active.map(|p| p.str_at(&["metadata", "name"]).to_owned()).collect();
                batch.delete(&names).await
            }
            _ => Ok(()),
        }
    }

    fn pods_of(&self, job: &Value) -> Vec<Arc<Value>> {
        let all = self.pods.cache().list(job.str_at(&["metadata", "namespace"]));
        all.into_iter().filter(|p| owner::controller_uid(p) == owner::uid(job)).collect()
    }

    /// How many pods are active now that the plan was carried out (as far as it was).
    fn active_after(&self, job: &Value, view: &View<'_>, plan: &Plan) -> i64 {
        match plan {
            Plan::Create { .. } | Plan::Delete(_) | Plan::Finish { .. } => {
                count(self.pods_of(job).iter().filter(|p| pods::is_active(p)).count())
            }
            _ => count(view.active.len()),
        }
    }

    fn status(&self, view: &View<'_>, plan: &Plan) -> Value {
        let job = view.job;
        let mut status = job.get("status").cloned().unwrap_or_default();
        status.set(&["ready"], count(view.active.iter().filter(|p| pods::is_ready(p)).count()));
        status.set(&["terminating"], count(view.terminating));
        if status.at(&["uncountedTerminatedPods"]).is_none() {
            status.set(&["uncountedTerminatedPods"], Value::map());
        }
        let now = view.now;
        let mut list = status.list_at(&["conditions"]).to_vec();
        self.note_suspension(job, &mut list, &mut status, now);
        if let Plan::Finish { complete, reason, message } = plan {
            let text = now.rfc3339();
            let (before, ty) =
                if *complete { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
            for ty in [before, ty] {
                let mut condition = conditions::new(ty, "True", &text, reason, message);
                condition.set(&["lastProbeTime"], text.as_str());
                conditions::set(&mut list, condition);
            }
            if *complete {
                status.set(&["completionTime"], text.as_str());
                self.recorder.normal(KIND, job, "Completed", "Job completed");
            } else {
                self.recorder.warning(KIND, job, reason, message);
            }
        }
        if !list.is_empty() {
            status.set(&["conditions"], Value::List(list));
        }
        status
    }

    /// Starts the job's clock, or says that it is suspended or goes on.
    fn note_suspension(&self, job: &Value, list: &mut Vec<Value>, status: &mut Value, now: Time) {
        let text = now.rfc3339();
        let was = conditions::is_true(list, "Suspended");
        let (state, reason, message) = match (plan::is_suspended(job), was) {
            (true, false) => ("True", "Suspended", "Job suspended"),
            (false, true) => ("False", "Resumed", "Job resumed"),
            (true, true) => return,
            (false, false) => {
                if status.str_at(&["startTime"]).is_empty() {
                    status.set(&["startTime"], text);
                }
                return;
            }
        };
        let mut condition = conditions::new("Suspended", state, &text, &format!("Job{reason}"), message);
        condition.set(&["lastProbeTime"], text.as_str());
        conditions::set(list, condition);
        if plan::is_suspended(job) {
            status.unset(&["startTime"]);
        } else {
            status.set(&["startTime"], text);
        }
        self.recorder.normal(KIND, job, reason, message);
    }

    async fn write(&self, job: &Value, mut status: Value, active: i64) -> Outcome {
        status.set(&["active"], active);
        let unsaid = job.at(&["status", "uncountedTerminatedPods"]).is_none();
        let written = if unsaid {
            let mut wanted = job.clone();
            wanted.set(&["status"], status);
            let namespace = job.str_at(&["metadata", "namespace"]);
            let written = self.client.update_lens(&resources::jobs(), namespace, "status", &wanted).await;
            reconcile::unless_gone(written)?
        } else {
            status::write(&self.client, &resources::jobs(), job, status).await?
        };
        if let Some(written) = written {
            self.jobs.caught_up(&written).await;
        }
        Ok(())
    }

    fn look_again(&self, key: &str, job: &Value, plan: &Plan, now: Time) {
        if let Plan::Wait(wait) = plan {
            self.queue.add_after(key, *wait);
        }
        if let Some(left) = plan::until_deadline(job, now).filter(|left| !left.is_zero()) {
            self.queue.add_after(key, left);
        }
    }
}

/// A map with one field, for merge patches.
fn finalizers_patch(pod: &Value) -> Value {
    let mut finalizers = pod.list_at(&["metadata", "finalizers"]).to_vec();
    finalizers.retain(|f| f.as_str() != Some(plan::TRACKING));
    let version = pod.str_at(&["metadata", "resourceVersion"]);
    let mut patch = tree!({"metadata": {"resourceVersion": version}});
    patch.set(&["metadata", "finalizers"], Value::List(finalizers));
    patch
}
