//! job-controller: pods that run to completion, counted once each.
//!
//! A pod holds a finalizer until it is counted: its uid is first written to the status as not counted yet, then the
//! finalizer goes, then the counters grow. A job that ends says so twice: first that its end is decided, and that it
//! is over when no pod is left.

mod backoff;
mod indexes;
mod plan;
mod policy;
mod tracking;

use crate::owner::{self, Claimant};
use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, conditions, pod_batch, pods, resources};
use api::Value;
use api::selector::LabelSelector;
use backoff::Backoff;
use client::{Client, Error, Informer, WorkQueue};
use parking_lot::Mutex;
use plan::{End, Plan, View, count};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("batch/v1", "Job");
const WORKERS: usize = 5;
/// Begins keys that name a pod whose job is gone.
const ORPHAN: &str = "orphan ";

struct Controller {
    client: Client,
    jobs: Informer,
    pods: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
    /// What is known of failures, by job.
    backoffs: Mutex<HashMap<String, Backoff>>,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        jobs: context.informer(&resources::jobs()),
        pods: context.informer(&resources::pods()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
        backoffs: Mutex::default(),
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

/// Somebody else looks after this job.
fn is_foreign(job: &Value) -> bool {
    !matches!(job.str_at(&["spec", "managedBy"]), "" | "kubernetes.io/job-controller")
}

impl Controller {
    fn job_changed(&self, old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) {
        let Some(job) = new.or(old) else { return };
        self.queue.add(client::key_of(job));
        if new.is_none() || (plan::is_finished(job) && !old.is_some_and(|old| plan::is_finished(old))) {
            self.pods_of(job).iter().for_each(|pod| self.check_orphan(pod));
        }
    }

    async fn sync(&self, key: &str) -> Outcome {
        let job = self.jobs.cache().get(key);
        let Some(job) = job.filter(|job| !is_foreign(job) && !plan::is_finished(job)) else {
            self.backoffs.lock().remove(key);
            return Ok(());
        };
        let claimed = self.claim(&job).await?;
        let before = self.backoffs.lock().get(key).copied().unwrap_or_default();
        let view = View::new(&job, &claimed, before, self.clock.now());
        let mut end = view.end();
        let done = self.act(key, &view, end.as_ref()).await;
        let now = self.pods_of(&job);
        let active: Vec<&Arc<Value>> = now.iter().filter(|pod| pods::is_active(pod)).collect();
        let mut status = job.get("status").cloned().unwrap_or_default();
        if status.str_at(&["startTime"]).is_empty() && !plan::is_suspended(&job) {
            status.set(&["startTime"], view.now.rfc3339());
        }
        match &end {
            Some(_) if done.is_err() => end = None,
            Some(_) => {}
            None if view.is_complete(active.len()) => end = Some(completed()),
            None if !owner::is_leaving(&job) => self.note_suspension(&job, &mut status, view.now),
            None => {}
        }
        let terminating = now.iter().filter(|pod| plan::is_terminating(pod)).count();
        status.set(&["active"], count(active.len()));
        status.set(&["ready"], count(active.iter().filter(|pod| pods::is_ready(pod)).count()));
        status.set(&["terminating"], count(terminating));
        let tally = tracking::tally(&view, end.as_ref(), status);
        let is_full = tally.is_full;
        let tracked = self.track(&view, end.as_ref(), tally, terminating).await;
        if is_full {
            self.queue.add(key);
        }
        reconcile::unless_gone(tracked)?;
        self.look_at_deadline(key);
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

    fn pods_of(&self, job: &Value) -> Vec<Arc<Value>> {
        let all = self.pods.cache().list(job.str_at(&["metadata", "namespace"]));
        all.into_iter().filter(|p| owner::controller_uid(p) == owner::uid(job)).collect()
    }

    /// Makes and deletes pods: what is left when the job ends, else what the plan says.
    async fn act(&self, key: &str, view: &View<'_>, end: Option<&End>) -> Outcome {
        let batch = pod_batch::Batch {
            client: &self.client,
            pods: &self.pods,
            recorder: &self.recorder,
            owner: view.job,
            kind: KIND,
        };
        let names = |pods: &[Arc<Value>]| -> Vec<String> {
            pods.iter().map(|pod| pod.str_at(&["metadata", "name"]).to_owned()).collect()
        };
        if end.is_some() {
            return batch.delete(&names(&view.active)).await;
        }
        if owner::is_leaving(view.job) {
            return Ok(());
        }
        match view.plan() {
            Plan::Keep => Ok(()),
            Plan::Create(pods) => batch.create(pods).await,
            Plan::Delete(pods) => {
                // They are no failures: they are let go uncounted.
                self.release(&pods).await?;
                batch.delete(&names(&pods)).await
            }
            Plan::Wait(left) => {
                self.queue.add_after(key, left);
                Ok(())
            }
        }
    }

    /// Says that the job is suspended, or goes on.
    fn note_suspension(&self, job: &Value, status: &mut Value, now: Time) {
        let mut list = status.list_at(&["conditions"]).to_vec();
        let was = conditions::is_true(&list, "Suspended");
        let (state, reason, message) = match (plan::is_suspended(job), was) {
            (true, false) => ("True", "Suspended", "Job suspended"),
            (false, true) => ("False", "Resumed", "Job resumed"),
            _ => return,
        };
        let text = now.rfc3339();
        let mut condition = conditions::new("Suspended", state, &text, &format!("Job{reason}"), message);
        condition.set(&["lastProbeTime"], text.as_str());
        conditions::set(&mut list, condition);
        status.set(&["conditions"], list);
        if plan::is_suspended(job) {
            status.unset(&["startTime"]);
        } else {
            status.set(&["startTime"], text);
        }
        self.recorder.normal(KIND, job, reason, message);
    }

    fn remember(&self, key: &str, backoff: Backoff) {
        self.backoffs.lock().insert(key.to_owned(), backoff);
    }

    fn look_at_deadline(&self, key: &str) {
        let Some(job) = self.jobs.cache().get(key).filter(|job| !plan::is_finished(job)) else { return };
        let left = plan::until_deadline(&job, self.clock.now());
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            self.queue.add_after(key, left);
        }
    }
}

/// The end of a job of which all is done.
fn completed() -> End {
    End {
        succeeds: true,
        reason: "CompletionsReached".to_owned(),
        message: "Reached expected number of succeeded pods".to_owned(),
        is_told: false,
    }
}
