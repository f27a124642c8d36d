//! How long a job waits after failures: longer with each that no success followed.

use crate::{conditions, pods};
use api::Value;
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;

/// How long the first failed pod delays its replacement, and at most.
const FIRST_DELAY: Duration = Duration::from_secs(10);
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Failures since the last success, and when the last of them was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: usize,
    last: Option<Time>,
}

impl Backoff {
    /// With pods that finished since.
    pub fn with(self, succeeded: &[Arc<Value>], failed: &[Arc<Value>]) -> Self {
        let ends = |pods: &[Arc<Value>]| pods.iter().map(|pod| finished_at(pod)).collect::<Vec<Time>>();
        let (succeeded, failed) = (ends(succeeded), ends(failed));
        let Some(success) = succeeded.iter().max() else {
            let last = failed.iter().max().copied().or(self.last);
            return Backoff { failures: self.failures + failed.len(), last };
        };
        let since: Vec<&Time> = failed.iter().filter(|end| *end > success).collect();
        Backoff { failures: since.len(), last: since.into_iter().max().copied() }
    }

    /// How long the next pod must still wait.
    pub fn left(self, now: Time) -> Duration {
        self.last.map_or(Duration::ZERO, |last| left(self.failures, last, now))
    }
}

/// How long the next pod waits after so many failures, the last of them at `last`.
pub fn left(failures: usize, last: Time, now: Time) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let doublings = u32::try_from(doublings.min(16)).unwrap_or(16);
    let delay = (FIRST_DELAY * 2_u32.pow(doublings)).min(LONGEST_DELAY);
    delay.saturating_sub(now.since(last))
}

/// When a pod finished, as well as can be told.
pub fn finished_at(pod: &Value) -> Time {
    let time = |text: &str| api::time::parse(text).ok();
    let ready = conditions::find(pod.list_at(&["status", "conditions"]), "Ready");
    let unready = ready.filter(|c| c.str_at(&["status"]) == "False");
    let leaving = || {
        let at = time(pod.str_at(&["metadata", "deletionTimestamp"]))?;
        let grace = pod.i64_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        Some(Time { secs: at.secs - grace, ..at })
    };
    containers_finished_at(pod)
        .or_else(|| time(unready?.str_at(&["lastTransitionTime"])))
        .or_else(leaving)
        .or_else(|| time(pod.str_at(&["metadata", "creationTimestamp"])))
        .unwrap_or_default()
}

/// When the last container finished, once all have.
fn containers_finished_at(pod: &Value) -> Option<Time> {
    let sidecars: Vec<&str> = pods::sidecars(pod).collect();
    let statuses = pod.list_at(&["status", "containerStatuses"]).iter();
    let init = pod.list_at(&["status", "initContainerStatuses"]).iter();
    let all = statuses.chain(init.filter(|status| sidecars.contains(&status.str_at(&["name"]))));
    let ends = all.map(|s| api::time::parse(s.str_at(&["state", "terminated", "finishedAt"])).ok());
    ends.collect::<Option<Vec<Time>>>()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(finished: &str) -> Arc<Value> {
        Arc::new(
            tree!({"status": {"containerStatuses": [{"name": "c", "state": {"terminated": {"finishedAt": finished}}}]}}),
        )
    }

    #[test]
    fn delays_double_with_each_failure_and_end_with_a_success() {
        let (one, two) = (pod("2026-01-01T00:00:00Z"), pod("2026-01-01T00:00:10Z"));
        let at =
            |secs: u64| api::time::parse("2026-01-01T00:00:10Z").unwrap().plus(Duration::from_secs(secs));
        let backoff = Backoff::default().with(&[], &[one.clone(), two.clone()]);
        assert_eq!(backoff.left(at(4)), Duration::from_secs(16));
        assert_eq!(backoff.left(at(30)), Duration::ZERO);
        assert_eq!(backoff.with(&[], &[]), backoff);
        assert_eq!(
            backoff.with(std::slice::from_ref(&two), std::slice::from_ref(&one)),
            Backoff::default(),
            "failed before it"
        );
        assert_eq!(Backoff::default().with(&[one], &[two]).failures, 1);
        assert_eq!(left(40, at(0), at(0)), LONGEST_DELAY);
    }
}
