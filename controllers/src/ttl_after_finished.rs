//! ttl-after-finished-controller: deletes jobs some time after they are over, when they say so.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, conditions, owner, resources};
use api::{Value, tree};
use client::{Client, Informer, WorkQueue, key_of};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

#[derive(Clone)]
struct Controller {
    client: Client,
    jobs: Informer,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Controller {
        client: context.client.clone(),
        jobs: context.informer(&resources::jobs()),
        clock: context.clock(),
        queue: WorkQueue::new(),
    };
    let queue = controller.queue.clone();
    controller.jobs.on_change(Arc::new(move |_, new| {
        if let Some(job) = new.filter(|job| end(job).is_some()) {
            queue.add(key_of(job));
        }
    }));
    let (queue, jobs) = (controller.queue.clone(), controller.jobs.clone());
    reconcile::run_on("ttl-after-finished", &queue, 1, &[&jobs], move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

/// When a job that is over may go.
fn end(job: &Value) -> Option<Time> {
    let ttl = job.i64_at(&["spec", "ttlSecondsAfterFinished"]).filter(|_| !owner::is_leaving(job))?;
    let list = job.list_at(&["status", "conditions"]);
    let over = ["Complete", "Failed"].into_iter().find(|ty| conditions::is_true(list, ty))?;
    let since = conditions::find(list, over)?.str_at(&["lastTransitionTime"]);
    Some(api::time::parse(since).ok()?.plus(Duration::from_secs(u64::try_from(ttl).ok()?)))
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(job) = self.jobs.cache().get(key) else { return Ok(()) };
        let Some(end) = end(&job) else { return Ok(()) };
        let now = self.clock.now();
        if now < end {
            self.queue.add_after(key, end.since(now));
            return Ok(());
        }
        let (namespace, name) = reconcile::split(key);
        let meta = |field: &str| job.str_at(&["metadata", field]);
        let options = tree!({
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": meta("uid"), "resourceVersion": meta("resourceVersion")}
        });
        unless_gone(self.client.delete(&resources::jobs(), namespace, name, &options).await)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_that_is_over_and_says_when_has_an_end() {
        let mut job = tree!({"spec": {"ttlSecondsAfterFinished": 5}});
        assert_eq!(end(&job), None);
        let since = "2026-01-01T00:00:00Z";
        job.set(
            &["status", "conditions"],
            tree!([{"type": "Complete", "status": "True", "lastTransitionTime": since}]),
        );
        assert_eq!(end(&job).unwrap().rfc3339(), "2026-01-01T00:00:05Z");
        job.unset(&["spec", "ttlSecondsAfterFinished"]);
        assert_eq!(end(&job), None);
    }
}
