//! cronjob-controller: makes jobs on schedule, and clears old ones away.

mod schedule;

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, Recorder, conditions, owner, pod_batch, resources, status};
use api::{Value, quote, tree};
use client::{Client, Error, Informer, WorkQueue};
use schedule::Schedule;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const KIND: (&str, &str) = ("batch/v1", "CronJob");
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// So many missed times are too many to go through.
const MOST_MISSED: usize = 100;
const WORKERS: usize = 2;

struct Controller {
    client: Client,
    cron_jobs: Informer,
    jobs: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        cron_jobs: context.informer(&resources::cron_jobs()),
        jobs: context.informer(&resources::jobs()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
    });
    controller.cron_jobs.on_change(reconcile::enqueue(&controller.queue));
    let queue = controller.queue.clone();
    controller.jobs.on_change(Arc::new(move |old, new| {
        if let Some(key) = new.or(old).and_then(|job| owner::controller_key(job, KIND)) {
            queue.add(key);
        }
    }));
    let copies = [&controller.cron_jobs, &controller.jobs];
    let worker = controller.clone();
    reconcile::run_on("cron-job", &controller.queue, WORKERS, &copies, move |key| {
        let controller = worker.clone();
        async move { controller.sync(&key).await }
    });
}

/// How a job ended; nothing while it runs.
fn end_of(job: &Value) -> Option<&'static str> {
    let list = job.list_at(&["status", "conditions"]);
    ["Complete", "Failed"].into_iter().find(|ty| conditions::is_true(list, ty))
}

fn time_at(object: &Value, path: &[&str]) -> Option<Time> {
    api::time::parse(object.str_at(path)).ok()
}

/// Which time is due.
struct Due {
    /// The latest one that has no job yet.
    latest: Option<Time>,
    /// When to look again.
    next: Option<Time>,
    /// Whether more times were missed than anybody goes through.
    are_too_many: bool,
}

fn due(cron_job: &Value, schedule: &Schedule, now: Time) -> Due {
    let created = time_at(cron_job, &["metadata", "creationTimestamp"]).unwrap_or(now);
    let mut from = time_at(cron_job, &["status", "lastScheduleTime"]).unwrap_or(created);
    if let Some(deadline) = cron_job.i64_at(&["spec", "startingDeadlineSeconds"]) {
        from = from.max(Time::from_secs(now.secs.saturating_sub(deadline)));
    }
    let mut latest = None;
    for _ in 0..=MOST_MISSED {
        match schedule.next(latest.unwrap_or(from)) {
            Some(next) if next <= now => latest = Some(next),
            next => return Due { latest, next, are_too_many: false },
        }
    }
    // Far behind: what lies between does not matter, only the last one does.
    let mut near = Time::from_secs(now.secs - 1);
    for back in [60, 3600, 86_400, 31 * 86_400, 366 * 86_400] {
        near = Time::from_secs(now.secs.saturating_sub(back)).max(from);
        if schedule.next(near).is_some_and(|next| next <= now) {
            break;
        }
    }
    while let Some(next) = schedule.next(near).filter(|next| *next <= now) {
        (latest, near) = (Some(next), next);
    }
    Due { latest, next: schedule.next(now), are_too_many: true }
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(cron_job) = self.cron_jobs.cache().get(key) else { return Ok(()) };
        let mut jobs = self.jobs.cache().list(reconcile::split(key).0);
        jobs.retain(|job| owner::controller_uid(job) == owner::uid(&cron_job));
        let mut new_status = self.observe(&cron_job, &jobs).await?;
        self.clear_away(&cron_job, &jobs, &mut new_status).await;
        let done = self.run_due(key, &cron_job, &mut new_status).await;
        let written = status::write(&self.client, &resources::cron_jobs(), &cron_job, new_status).await?;
        if let Some(written) = written {
            self.cron_jobs.caught_up(&written).await;
        }
        done
    }

    /// The status without the active jobs that ended or are gone, and with the latest success.
    async fn observe(&self, cron_job: &Value, jobs: &[Arc<Value>]) -> Result<Value, Error> {
        let mut status = cron_job.get("status").cloned().unwrap_or_else(Value::map);
        for job in jobs {
            let (name, active) = (name_of(job), is_active(&status, owner::uid(job)));
            let message = match end_of(job) {
                Some(end) if active => format!("Saw completed job: {name}, condition: {end}"),
                None if !active => {
                    let what = "Saw a job that the controller did not create or forgot";
                    self.recorder.warning(KIND, cron_job, "UnexpectedJob", &format!("{what}: {name}"));
                    continue;
                }
                _ => continue,
            };
            forget(&mut status, owner::uid(job));
            self.recorder.normal(KIND, cron_job, "SawCompletedJob", &message);
        }
        for job in status.list_at(&["active"]).to_vec() {
            let (namespace, name, uid) =
                (job.str_at(&["namespace"]), job.str_at(&["name"]), job.str_at(&["uid"]));
            let is_known = jobs.iter().any(|known| owner::uid(known) == uid);
            if is_known || unless_gone(self.client.get(&resources::jobs(), namespace, name).await)?.is_some()
            {
                continue;
            }
            forget(&mut status, uid);
            let message = format!("Active job went missing: {name}");
            self.recorder.normal(KIND, cron_job, "MissingJob", &message);
        }
        let successes = jobs.iter().filter(|job| end_of(job) == Some("Complete"));
        let latest = successes.map(|job| job.str_at(&["status", "completionTime"])).max().unwrap_or_default();
        if latest > status.str_at(&["lastSuccessfulTime"]) {
            status.set(&["lastSuccessfulTime"], latest);
        }
        Ok(status)
    }

    /// Deletes finished jobs beyond the limits, oldest first. One that stays is told of, and holds up nothing.
    async fn clear_away(&self, cron_job: &Value, jobs: &[Arc<Value>], status: &mut Value) {
        for (end, field) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")]
        {
            let Some(limit) = cron_job.i64_at(&["spec", field]) else { continue };
            let mut over: Vec<&Arc<Value>> =
                jobs.iter().filter(|job| end_of(job) == Some(end) && !owner::is_leaving(job)).collect();
            over.sort_by_key(|job| job.str_at(&["status", "startTime"]).to_owned());
            let surplus = over.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in over.into_iter().take(surplus) {
                let _ = self.delete(cron_job, name_of(job), owner::uid(job), status).await;
            }
        }
    }

    /// Deletes a job and forgets that it ran.
    async fn delete(&self, cron_job: &Value, job: &str, uid: &str, status: &mut Value) -> Outcome {
        let namespace = cron_job.str_at(&["metadata", "namespace"]);
        let options = tree!({"propagationPolicy": "Background"});
        if let Err(error) =
            unless_gone(self.client.delete(&resources::jobs(), namespace, job, &options).await)
        {
            let message = format!("Deleted job: {error}");
            self.recorder.warning(KIND, cron_job, "FailedDelete", &message);
            return Err(error);
        }
        forget(status, uid);
        self.recorder.normal(KIND, cron_job, "SuccessfulDelete", &format!("Deleted job {job}"));
        Ok(())
    }

    /// Makes the job that is due, and comes back for the next.
    async fn run_due(&self, key: &str, cron_job: &Value, status: &mut Value) -> Outcome {
        if owner::is_leaving(cron_job) || cron_job.bool_at(&["spec", "suspend"]) {
            return Ok(());
        }
        let spec = |field: &str| cron_job.str_at(&["spec", field]);
        if spec("schedule").contains("TZ") {
            let what = "is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
            let message = format!("CRON_TZ or TZ used in schedule {} {what}", quote(spec("schedule")));
            self.recorder.warning(KIND, cron_job, "UnsupportedSchedule", &message);
        }
        let schedule = match Schedule::parse(spec("schedule"), spec("timeZone")) {
            Ok(schedule) => schedule,
            Err(why) => {
                let message = format!("unparseable schedule: {} : {why}", quote(spec("schedule")));
                self.recorder.warning(KIND, cron_job, "UnparseableSchedule", &message);
                return Ok(());
            }
        };
        let now = self.clock.now();
        let Due { latest, next, are_too_many } = due(cron_job, &schedule, now);
        if let Some(next) = next {
            self.queue.add_after(key, next.since(now) + Duration::from_millis(100));
        }
        let Some(due) = latest else { return Ok(()) };
        if are_too_many {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.recorder.warning(KIND, cron_job, "TooManyMissedTimes", message);
        }
        let active = status.list_at(&["active"]).to_vec();
        if active.iter().any(|job| job.str_at(&["name"]) == job_name(cron_job, due)) {
            return Ok(());
        }
        match spec("concurrencyPolicy") {
            "Forbid" if !active.is_empty() => {
                let message =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.recorder.normal(KIND, cron_job, "JobAlreadyActive", message);
                return Ok(());
            }
            "Replace" => {
                for job in active {
                    self.delete(cron_job, job.str_at(&["name"]), job.str_at(&["uid"]), status).await?;
                }
            }
            _ => {}
        }
        self.make(cron_job, &schedule, due, status).await
    }

    async fn make(&self, cron_job: &Value, schedule: &Schedule, due: Time, status: &mut Value) -> Outcome {
        let job = new_job(cron_job, due, &schedule.rfc3339(due));
        let namespace = cron_job.str_at(&["metadata", "namespace"]);
        let made = match self.client.create(&resources::jobs(), namespace, &job).await {
            Ok(made) => {
                self.jobs.caught_up(&made).await;
                let message = format!("Created job {}", name_of(&made));
                self.recorder.normal(KIND, cron_job, "SuccessfulCreate", &message);
                made
            }
            // Made before, but the status was not written; or somebody else's.
            Err(error) if error.is_already_exists() => {
                let made = self.client.get(&resources::jobs(), namespace, name_of(&job)).await?;
                if owner::controller_uid(&made) != owner::uid(cron_job) {
                    return Ok(());
                }
                made
            }
            Err(error) if pod_batch::is_namespace_leaving(&error) => return Ok(()),
            Err(error) => {
                let message = format!("Error creating job: {error}");
                self.recorder.warning(KIND, cron_job, "FailedCreate", &message);
                return Err(error);
            }
        };
        let mut active = status.list_at(&["active"]).to_vec();
        active.push(reference(&made));
        status.set(&["active"], Value::List(active));
        status.set(&["lastScheduleTime"], due.rfc3339());
        Ok(())
    }
}

fn name_of(object: &Value) -> &str {
    object.str_at(&["metadata", "name"])
}

/// Whether a status counts the job with this `uid` as running.
fn is_active(status: &Value, uid: &str) -> bool {
    status.list_at(&["active"]).iter().any(|job| job.str_at(&["uid"]) == uid)
}

fn forget(status: &mut Value, uid: &str) {
    let active = status.list_at(&["active"]).iter().filter(|job| job.str_at(&["uid"]) != uid).cloned();
    let active = active.collect();
    status.set(&["active"], Value::List(active));
}

fn reference(job: &Value) -> Value {
    let meta = |field: &str| job.str_at(&["metadata", field]);
    tree!({
        "kind": "Job", "namespace": meta("namespace"), "name": meta("name"), "uid": meta("uid"),
        "apiVersion": "batch/v1", "resourceVersion": meta("resourceVersion")
    })
}

fn job_name(cron_job: &Value, due: Time) -> String {
    format!("{}-{}", name_of(cron_job), due.secs / 60)
}

/// The job of a time; its name says which, so that it is made once.
fn new_job(cron_job: &Value, due: Time, written: &str) -> Value {
    let mut meta = Value::map();
    for field in ["labels", "annotations"] {
        if let Some(value) = cron_job.at(&["spec", "jobTemplate", "metadata", field]) {
            meta.set(&[field], value.clone());
        }
    }
    meta.set(&["annotations", SCHEDULED], written);
    meta.set(&["name"], job_name(cron_job, due));
    meta.set(&["namespace"], cron_job.str_at(&["metadata", "namespace"]));
    meta.set(&["ownerReferences"], tree!([owner::controller_ref(cron_job, KIND)]));
    tree!({"metadata": meta, "spec": cron_job.at(&["spec", "jobTemplate", "spec"]).cloned().unwrap_or_default()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        api::time::parse(text).unwrap()
    }

    #[test]
    fn the_latest_missed_time_is_due_and_the_next_one_is_known() {
        let schedule = Schedule::parse("0 * * * *", "").unwrap();
        let mut cron_job = tree!({"metadata": {"creationTimestamp": "2026-01-01T00:30:00Z"}});
        let found = due(&cron_job, &schedule, at("2026-01-01T03:10:00Z"));
        assert_eq!(found.latest, Some(at("2026-01-01T03:00:00Z")));
        assert_eq!(found.next, Some(at("2026-01-01T04:00:00Z")));
        assert!(!found.are_too_many);
        cron_job.set(&["status", "lastScheduleTime"], "2026-01-01T03:00:00Z");
        assert_eq!(due(&cron_job, &schedule, at("2026-01-01T03:10:00Z")).latest, None);
        let late = due(&cron_job, &schedule, at("2026-12-01T03:10:00Z"));
        assert_eq!(late.latest, Some(at("2026-12-01T03:00:00Z")));
        assert!(late.are_too_many);
        cron_job.set(&["spec", "startingDeadlineSeconds"], 60);
        assert_eq!(due(&cron_job, &schedule, at("2026-01-01T05:10:00Z")).latest, None);
    }

    #[test]
    fn a_job_that_is_forgotten_runs_no_more() {
        let mut status = tree!({"active": [{"uid": "u1"}, {"uid": "u2"}]});
        forget(&mut status, "u1");
        assert!(!is_active(&status, "u1") && is_active(&status, "u2"));
        forget(&mut status, "u2");
        assert!(status.list_at(&["active"]).is_empty());
    }

    #[test]
    fn a_job_is_named_by_its_time() {
        let cron_job = tree!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}}});
        let job = new_job(&cron_job, at("2026-01-01T03:00:00Z"), "then");
        assert_eq!(job.str_at(&["metadata", "name"]), format!("c-{}", at("2026-01-01T03:00:00Z").secs / 60));
        assert_eq!(job.str_at(&["metadata", "annotations", SCHEDULED]), "then");
        assert_eq!(job.i64_at(&["spec", "x"]), Some(1));
    }
}
