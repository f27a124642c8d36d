//! Lifetimes, for the engines that keep time themselves: one timer that sleeps until the earliest deadline
//! and then deletes through ordinary commits. With nothing to expire nothing runs.

use crate::engine::Engine;
use crate::entry::Entry;
use crate::key::{Key, Revision};
use crate::txn::{Change, Txn};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stdx::{Clock, Time};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

/// Deletions under way at the same time; they share the engine's commits.
const MAX_AT_ONCE: usize = 128;
/// How long to leave an engine alone that refused a deletion.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// When it ends, and which write it was.
type Deadline = (u64, Revision, u16);

/// The keys with a lifetime.
pub(crate) struct Expiry {
    clock: Clock,
    deadlines: Mutex<BTreeMap<Deadline, Key>>,
    earlier: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

/// The wall clock in milliseconds. Lifetimes must survive a restart, so a monotonic clock will not do.
pub(crate) fn now_ms(clock: &Clock) -> u64 {
    u64::try_from(clock.now().since(Time::default()).as_millis()).unwrap_or(u64::MAX)
}

impl Expiry {
    /// No lifetimes yet.
    pub fn new(clock: Clock) -> Self {
        let (deadlines, earlier, task) = Default::default();
        Expiry { clock, deadlines, earlier, task }
    }

    /// Notes the lifetimes that these changes begin and end.
    pub fn note(&self, changes: &[Change]) {
        for change in changes {
            if let Some(prev) = change.prev.as_ref().filter(|prev| prev.expires_ms > 0) {
                self.deadlines.lock().remove(&deadline(prev));
            }
            if let Some(entry) = change.entry.as_ref().filter(|entry| entry.expires_ms > 0) {
                self.add(entry);
            }
        }
    }

    /// Notes one lifetime.
    pub fn add(&self, entry: &Entry) {
        let mut deadlines = self.deadlines.lock();
        let is_earliest = deadlines.keys().next().is_none_or(|first| entry.expires_ms < first.0);
        deadlines.insert(deadline(entry), entry.key.clone());
        drop(deadlines);
        if is_earliest {
            self.earlier.notify_one();
        }
    }

    /// Starts the timer, once.
    pub fn start<E: Engine + 'static>(self: &Arc<Self>, engine: &Weak<E>) {
        let mut task = self.task.lock();
        if task.is_none() {
            *task = Some(tokio::spawn(run(Arc::downgrade(self), engine.clone())).abort_handle());
        }
    }

    /// Ends the timer.
    pub fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// What is due now, and how long until the next deadline after that.
    fn due(&self, now: u64) -> (Vec<(Key, Revision)>, Option<Duration>) {
        let mut deadlines = self.deadlines.lock();
        let later = deadlines.split_off(&(now + 1, 0, 0));
        let due = std::mem::replace(&mut *deadlines, later);
        let next = deadlines.keys().next().map(|first| Duration::from_millis(first.0 - now));
        (due.into_iter().map(|((_, revision, _), key)| (key, revision)).collect(), next)
    }

    fn put_back(&self, now: u64, key: Key, revision: Revision) {
        let again = now + PAUSE_AFTER_ERROR.as_millis() as u64;
        // The ordinal only tells writes of one commit apart; any free one does.
        let mut deadlines = self.deadlines.lock();
        let free = (0..u16::MAX).find(|ordinal| !deadlines.contains_key(&(again, revision, *ordinal)));
        if let Some(ordinal) = free {
            deadlines.insert((again, revision, ordinal), key);
        }
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn deadline(entry: &Entry) -> Deadline {
    (entry.expires_ms, entry.mod_revision, entry.ordinal)
}

async fn run<E: Engine + 'static>(expiry: Weak<Expiry>, engine: Weak<E>) {
    loop {
        let Some(strong) = expiry.upgrade() else { return };
        let now = now_ms(&strong.clock);
        let (due, next) = strong.due(now);
        if !due.is_empty() {
            let Some(engine) = engine.upgrade() else { return };
            delete_all(&strong, &engine, now, due).await;
            continue;
        }
        let earlier = strong.earlier.clone();
        // Nothing is kept alive while it sleeps; dropping the `Expiry` ends this task.
        drop(strong);
        match next {
            Some(next) => drop(tokio::time::timeout(next, earlier.notified()).await),
            None => earlier.notified().await,
        }
    }
}

async fn delete_all<E: Engine + 'static>(
    expiry: &Expiry,
    engine: &Arc<E>,
    now: u64,
    due: Vec<(Key, Revision)>,
) {
    let mut running = JoinSet::new();
    for (key, revision) in due {
        if running.len() >= MAX_AT_ONCE {
            settle(expiry, now, running.join_next().await);
        }
        let engine = engine.clone();
        running.spawn(async move {
            let txn = Txn::new().expect(key.clone(), revision).delete(key.clone());
            (engine.commit(txn).await, key, revision)
        });
    }
    while let Some(done) = running.join_next().await {
        settle(expiry, now, Some(done));
    }
}

type Deletion = (Result<crate::txn::Committed, crate::error::Error>, Key, Revision);

/// A key that was written meanwhile has another deadline; one that could not be deleted is tried again.
fn settle(expiry: &Expiry, now: u64, done: Option<Result<Deletion, tokio::task::JoinError>>) {
    use crate::error::Error;
    if let Some(Ok((Err(error), key, revision))) = done
        && !matches!(error, Error::Conflict(_) | Error::Closed | Error::Stopped(_))
    {
        tracing::warn!(%error, ?key, "an expired key could not be deleted");
        expiry.put_back(now, key, revision);
    }
}
