//! How long a container that ended waits before it is started again: 10 s, then twice as long with each start, up to
//! five minutes; a container that ran for ten minutes begins anew.

use std::collections::HashMap;
use std::time::Duration;
use stdx::Time;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// Who ran this long since the last start counts as sound.
const SOUND: Duration = Duration::from_secs(600);

/// By container and what it is started from (a changed image begins anew).
#[derive(Clone, Debug, Default)]
pub struct BackOff {
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated: Time,
}

impl BackOff {
    /// How long the container is held back in all, if at `now` it still is; `ended` is when it ended.
    pub fn holds(&self, key: &str, ended: Time, now: Time) -> Option<Duration> {
        let entry = self.entries.get(key).filter(|entry| ended.since(entry.updated) <= SOUND)?;
        (now.since(ended) < entry.delay).then_some(entry.delay)
    }

    /// The container that ended at `ended` is started at `now`.
    pub fn start(&mut self, key: &str, ended: Time, now: Time) {
        let delay = match self.entries.get(key) {
            Some(entry) if ended.since(entry.updated) <= SOUND => LONGEST.min(entry.delay * 2),
            _ => FIRST,
        };
        self.entries.insert(key.to_owned(), Entry { delay, updated: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes_and_begins_anew_after_a_long_run() {
        let mut back_off = BackOff::default();
        let mut now = Time::from_secs(1_000);
        assert_eq!(back_off.holds("c", now, now), None);
        let mut delays = Vec::new();
        for _ in 0..7 {
            back_off.start("c", now, now);
            now = now.plus(Duration::from_secs(1));
            let delay = back_off.holds("c", now, now).unwrap();
            delays.push(delay.as_secs());
            assert!(back_off.holds("c", now, now.plus(delay)).is_none());
            now = now.plus(delay);
        }
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        back_off.start("c", now, now);
        let later = now.plus(Duration::from_secs(601));
        assert_eq!(back_off.holds("c", later, later), None);
        back_off.start("c", later, later);
        assert_eq!(back_off.holds("c", later, later).unwrap().as_secs(), 10);
    }
}
