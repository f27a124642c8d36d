//! How long a pod's image is left alone after a pull of it failed: 10 s, twice as long each time, at most 300 s.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use stdx::{Clock, Time};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

pub struct BackOff {
    clock: Clock,
    failures: Mutex<HashMap<String, Failure>>,
}

struct Failure {
    at: Time,
    delay: Duration,
    /// Why it failed: `ErrImagePull: …`.
    why: String,
}

impl BackOff {
    pub fn new(clock: Clock) -> Self {
        BackOff { clock, failures: Mutex::default() }
    }

    /// Notes one more failure. One that is long ago is forgotten.
    pub fn failed(&self, key: String, why: String) {
        let now = self.clock.now();
        let mut failures = self.failures.lock();
        failures.retain(|_, failure| now.since(failure.at) <= LONGEST * 2);
        let delay = failures.get(&key).map_or(FIRST, |failure| (failure.delay * 2).min(LONGEST));
        failures.insert(key, Failure { at: now, delay, why });
    }

    /// How long the wait still is; nothing when there is none.
    pub fn left(&self, key: &str) -> Option<Duration> {
        let now = self.clock.now();
        let failures = self.failures.lock();
        let failure = failures.get(key)?;
        failure.delay.checked_sub(now.since(failure.at)).filter(|left| !left.is_zero())
    }

    /// Why the last pull failed.
    pub fn why(&self, key: &str) -> Option<String> {
        self.failures.lock().get(key).map(|failure| failure.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgotten() {
        let clock = Clock::manual(Time::from_secs(1000));
        let back_off = BackOff::new(clock.clone());
        let mut waits = Vec::new();
        for _ in 0..7 {
            back_off.failed("pod_image".into(), "no".into());
            let wait = back_off.left("pod_image").unwrap();
            waits.push(wait.as_secs());
            clock.advance(wait);
            assert_eq!(back_off.left("pod_image"), None);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(back_off.why("pod_image").as_deref(), Some("no"));
        clock.advance(LONGEST * 2);
        back_off.failed("pod_image".into(), "no".into());
        assert_eq!(back_off.left("pod_image"), Some(FIRST));
    }
}
