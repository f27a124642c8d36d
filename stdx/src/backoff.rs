//! Waiting longer after each failure: exponential, capped, with jitter so that many do not come back at once.

use crate::Ids;
use std::time::Duration;

/// How long to wait before the next attempt. `next_delay` after each failure, `reset` after a success.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    factor: f64,
    jitter: f64,
    failures: u32,
}

impl Backoff {
    /// Starts at `base`, doubles up to `cap`, without jitter.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Backoff { base, cap, factor: 2.0, jitter: 0.0, failures: 0 }
    }

    /// Multiplies by `factor` instead of 2.
    pub const fn with_factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Adds a random part of up to `jitter` times the delay (0.1 is up to 10 %). The cap holds before jitter.
    pub const fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// The delay after one more failure.
    pub fn next_delay(&mut self, ids: &Ids) -> Duration {
        let exponent = i32::try_from(self.failures).unwrap_or(i32::MAX);
        self.failures = self.failures.saturating_add(1);
        let grown = self.base.as_secs_f64() * self.factor.powi(exponent);
        let capped = grown.min(self.cap.as_secs_f64());
        let jittered = capped * (1.0 + self.jitter * if self.jitter > 0.0 { ids.fraction() } else { 0.0 });
        Duration::try_from_secs_f64(jittered).unwrap_or(self.cap)
    }

    /// How many failures since the start or the last `reset`.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Back to `base`.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_start_again_after_a_success() {
        let ids = Ids::seeded(1);
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(30));
        let delays: Vec<u128> = (0..5).map(|_| backoff.next_delay(&ids).as_millis()).collect();
        assert_eq!(delays, [5, 10, 20, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.next_delay(&ids), Duration::from_millis(5));
    }

    #[test]
    fn a_thousand_failures_still_give_the_cap() {
        let ids = Ids::seeded(1);
        let cap = Duration::from_secs(1000);
        let mut backoff = Backoff::new(Duration::from_millis(5), cap);
        let last = (0..5000).map(|_| backoff.next_delay(&ids)).last();
        assert_eq!(last, Some(cap));
    }

    #[test]
    fn jitter_only_adds_and_stays_within_its_share() {
        let ids = Ids::seeded(2);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut backoff =
                Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).with_jitter(0.5);
            let delay = backoff.next_delay(&ids);
            assert!((100..150).contains(&delay.as_millis()), "{delay:?}");
            seen.insert(delay);
        }
        assert!(seen.len() > 50);
    }
}
