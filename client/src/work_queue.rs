//! A queue of keys to work on: each at most once at a time, added again while it is worked on it comes once more,
//! and a failure brings it back later and later.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a key waits after its first failure, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// Cheap to clone; clones share the queue.
#[derive(Clone, Default)]
pub struct WorkQueue {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<String>,
    /// Waiting, or to be worked on again.
    dirty: HashSet<String>,
    working: HashSet<String>,
    failures: HashMap<String, Backoff>,
    /// When keys come by `add_after`, at the earliest.
    later: HashMap<String, Instant>,
}

impl WorkQueue {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, unless it waits already.
    pub fn add(&self, key: impl Into<String>) {
        let key = key.into();
        let mut state = self.shared.state.lock();
        if !state.dirty.insert(key.clone()) || state.working.contains(&key) {
            return;
        }
        state.waiting.push_back(key);
        drop(state);
        self.shared.bell.notify_one();
    }

    /// Adds a key after a while. Of several delays the shortest counts.
    pub fn add_after(&self, key: impl Into<String>, delay: Duration) {
        let (queue, key, due) = (self.clone(), key.into(), Instant::now() + delay);
        {
            let mut state = self.shared.state.lock();
            if state.later.get(&key).is_some_and(|earlier| *earlier <= due) {
                return;
            }
            state.later.insert(key.clone(), due);
        }
        crate::spawn(async move {
            tokio::time::sleep_until(due).await;
            let is_ours = {
                let mut state = queue.shared.state.lock();
                let is_ours = state.later.get(&key) == Some(&due);
                if is_ours {
                    state.later.remove(&key);
                }
                is_ours
            };
            if is_ours {
                queue.add(key);
            }
        });
    }

    /// The next key; `done` or `failed` must follow.
    pub async fn next(&self) -> String {
        loop {
            {
                let mut state = self.shared.state.lock();
                if let Some(key) = state.waiting.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    if !state.waiting.is_empty() {
                        self.shared.bell.notify_one();
                    }
                    return key;
                }
            }
            self.shared.bell.notified().await;
        }
    }

    /// The work on a key succeeded.
    pub fn done(&self, key: &str) {
        self.shared.state.lock().failures.remove(key);
        self.release(key);
    }

    /// The work on a key failed: it comes back after a growing delay.
    pub fn failed(&self, key: &str) {
        let delay = {
            let mut state = self.shared.state.lock();
            let fresh = || Backoff::new(FIRST_DELAY, LONGEST_DELAY);
            state.failures.entry(key.to_owned()).or_insert_with(fresh).next_delay(&Ids::system())
        };
        self.release(key);
        self.add_after(key, delay);
    }

    fn release(&self, key: &str) {
        let mut state = self.shared.state.lock();
        state.working.remove(key);
        if state.dirty.contains(key) {
            state.waiting.push_back(key.to_owned());
            drop(state);
            self.shared.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_it_is_worked_on_comes_once_more() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.done("a");
        assert_eq!(queue.next().await, "a");
        queue.done("a");
        let idle = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
        assert!(idle.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_delays_the_shortest_counts() {
        let queue = WorkQueue::new();
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_secs(1));
        queue.add_after("a", Duration::from_secs(30));
        let start = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 1);
        queue.done("a");
        let idle = tokio::time::timeout(Duration::from_secs(120), queue.next()).await;
        assert!(idle.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_brings_a_key_back() {
        let queue = WorkQueue::new();
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.failed("a");
        assert_eq!(queue.next().await, "a");
    }
}
