//! How far back lists may look. The original compacts every five minutes, and the pages of a list that began before
//! can then no longer be had. Here nothing runs for that: whoever lists notes how far the store is, and a note that
//! has come of age is the end of the past. Watches do not mind; what they need is in the ring.

use crate::key::Revision;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Notes that are taken while one comes of age.
const NOTES: u32 = 5;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Past {
    notes: VecDeque<(Instant, Revision)>,
    oldest: Revision,
}

impl Past {
    /// The oldest revision that may still be listed, where `current` is the newest.
    pub fn oldest(&mut self, now: Instant, current: Revision, age: Duration) -> Revision {
        let old = |at: Instant, age| now.saturating_duration_since(at) >= age;
        while let Some((_, revision)) = self.notes.pop_front_if(|(at, _)| old(*at, age)) {
            self.oldest = revision;
        }
        if self.notes.back().is_none_or(|(at, _)| old(*at, age / NOTES)) {
            self.notes.push_back((now, current));
        }
        self.oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_ends_where_the_store_was_an_age_ago() {
        let (mut past, begin, age) = (Past::default(), Instant::now(), Duration::from_secs(300));
        let mut at = |secs, current| past.oldest(begin + Duration::from_secs(secs), current, age);
        assert_eq!([at(0, 10), at(30, 20), at(60, 30), at(299, 40)], [0, 0, 0, 0]);
        assert_eq!(at(300, 50), 10);
        assert_eq!(at(359, 50), 10);
        assert_eq!(at(360, 50), 30, "what was noted too soon after another was not");
        assert_eq!(at(5000, 60), 50);
        assert_eq!(at(5001, 70), 50);
    }
}
