//! After how many seconds those who are sent away may come again: longer with every wave of them, as TCP does it.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use stdx::Clock;

const LONGEST_SECS: i64 = 32;

/// The requests dropped lately, of each level.
pub struct Dropped {
    clock: Clock,
    levels: Mutex<HashMap<String, Wave>>,
}

struct Wave {
    /// Seconds that are over, with how many were dropped in each.
    history: VecDeque<(i64, i64)>,
    /// The second of now.
    second: i64,
    count: i64,
    retry_after: i64,
    raised: i64,
}

impl Dropped {
    pub fn new(clock: Clock) -> Self {
        Dropped { clock, levels: Mutex::default() }
    }

    /// Counts a request that a level drops; returns when it may come again.
    pub fn note(&self, level: &str) -> i64 {
        let now = self.clock.now().secs;
        let mut levels = self.levels.lock();
        let fresh = || Wave { history: VecDeque::new(), second: now, count: 0, retry_after: 1, raised: 0 };
        let wave = levels.entry(level.to_owned()).or_insert_with(fresh);
        if wave.second == now {
            wave.count += 1;
        } else {
            wave.next_second(now);
        }
        wave.retry_after
    }
}

impl Wave {
    fn next_second(&mut self, now: i64) {
        self.history.push_back((self.second, self.count));
        let kept = (2 * self.retry_after).min(LONGEST_SECS);
        while self.history.front().is_some_and(|(second, _)| self.second - second > kept) {
            self.history.pop_front();
        }
        (self.second, self.count) = (now, 1);
        let lately = self.history.iter().rev().take_while(|(second, _)| now - second <= self.retry_after);
        let dropped: i64 = lately.filter(|(second, _)| *second < now).map(|(_, count)| count).sum();
        if now - self.raised >= self.retry_after && dropped >= 3 * self.retry_after {
            self.retry_after = (2 * self.retry_after).min(LONGEST_SECS);
            self.raised = now;
        } else if dropped < self.retry_after && self.retry_after > 1 {
            self.retry_after -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use stdx::Time;

    #[test]
    fn waves_double_the_wait_and_quiet_shortens_it() {
        let clock = Clock::manual(Time::from_secs(1_000));
        let dropped = Dropped::new(clock.clone());
        let mut seen = Vec::new();
        for _ in 0..70 {
            for _ in 0..50 {
                dropped.note("a");
            }
            seen.push(dropped.note("a"));
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(seen[..4], [1, 2, 2, 4]);
        assert_eq!(seen.last(), Some(&32));
        assert_eq!(dropped.note("b"), 1);
        clock.advance(Duration::from_secs(100));
        let calm: Vec<i64> = (0..5)
            .map(|_| {
                clock.advance(Duration::from_secs(40));
                dropped.note("a")
            })
            .collect();
        assert!(calm.windows(2).all(|w| w[1] < w[0]), "{calm:?}");
    }
}
