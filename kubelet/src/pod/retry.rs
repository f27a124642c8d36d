//! When a pod's worker tries again what failed.

use std::time::Duration;
use stdx::{Backoff, Ids};
use tokio::time::Instant;

/// How soon, at first and at most.
const RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// When something that failed is tried again.
pub(super) struct Retry {
    backoff: Backoff,
    pub due: Option<Instant>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { backoff: Backoff::new(RETRY, LAST_RETRY).with_jitter(0.1), due: None }
    }
}

impl Retry {
    pub fn failed(&mut self) {
        self.due = Some(Instant::now() + self.backoff.next_delay(&Ids::system()));
    }

    pub fn done(&mut self) {
        *self = Retry::default();
    }

    pub fn is_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_failure_makes_the_wait_longer_until_something_succeeds() {
        let mut retry = Retry::default();
        assert!(retry.is_due());
        retry.failed();
        assert!(!retry.is_due());
        tokio::time::advance(RETRY.mul_f64(1.2)).await;
        assert!(retry.is_due());
        for _ in 0..10 {
            retry.failed();
        }
        tokio::time::advance(RETRY.mul_f64(1.2)).await;
        assert!(!retry.is_due());
        tokio::time::advance(LAST_RETRY.mul_f64(1.2)).await;
        assert!(retry.is_due());
        retry.done();
        assert!(retry.due.is_none());
    }
}
