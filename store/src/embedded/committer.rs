//! Group commit: one thread takes everything that waits, checks it in turn, writes it in one LMDB transaction,
//! and only when that is on disk shows it and answers. While one group is being synced the next one gathers;
//! a single writer never waits for company.

use super::disk::{Disk, explain};
use crate::entry::Entry;
use crate::error::Error;
use crate::expiry::{Expiry, now_ms};
use crate::index::{Announcement, Index};
use crate::key::{Key, Revision};
use crate::txn::{Change, Committed, Txn, Write, plan};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::Clock;
use tokio::sync::oneshot;

/// Transactions of one group, at most, and the bytes after which no more join it.
const MAX_GROUP: usize = 4096;
const MAX_GROUP_BYTES: usize = 16 << 20;

/// A transaction that waits, and where its answer goes.
struct Waiting {
    txn: Txn,
    answer: oneshot::Sender<Result<Committed, Error>>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    /// Nothing more is let in; why.
    refusal: Option<Error>,
}

/// Where transactions wait for the thread.
#[derive(Default)]
pub(super) struct Queue {
    line: Mutex<Line>,
    came: Condvar,
}

impl Queue {
    /// Gets in line; the answer comes when the transaction is on disk, or refused.
    pub fn submit(&self, txn: Txn) -> Result<oneshot::Receiver<Result<Committed, Error>>, Error> {
        let (answer, receiver) = oneshot::channel();
        let mut line = self.line.lock();
        if let Some(refusal) = &line.refusal {
            return Err(refusal.clone());
        }
        line.waiting.push(Waiting { txn, answer });
        // The thread sleeps only when the line is empty.
        if line.waiting.len() == 1 {
            self.came.notify_one();
        }
        Ok(receiver)
    }

    /// Lets nothing more in. What is in line is still done.
    pub fn close(&self) {
        self.line.lock().refusal.get_or_insert(Error::Closed);
        self.came.notify_one();
    }

    /// Lets nothing more in, and refuses what is in line.
    fn stop(&self, error: &Error) {
        let mut line = self.line.lock();
        line.refusal.get_or_insert_with(|| error.clone());
        for waiting in line.waiting.drain(..) {
            drop(waiting.answer.send(Err(error.clone())));
        }
    }

    /// Waits for transactions, and takes as many as make a group; none when it is closed and empty.
    fn take_group(&self) -> Vec<Waiting> {
        let mut line = self.line.lock();
        while line.waiting.is_empty() {
            if line.refusal.is_some() {
                return Vec::new();
            }
            self.came.wait(&mut line);
        }
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            let fits = bytes < MAX_GROUP_BYTES;
            bytes += waiting.txn.writes.iter().map(size).sum::<usize>();
            fits
        };
        let count = line.waiting.iter().take(MAX_GROUP).take_while(fits).count();
        if count == line.waiting.len() {
            return std::mem::take(&mut line.waiting);
        }
        line.waiting.drain(..count).collect()
    }
}

fn size(write: &Write) -> usize {
    match write {
        Write::Put(_, value, _) => value.len() + 256,
        Write::Delete(_) => 256,
    }
}

/// What the thread works with.
pub(super) struct Committer {
    pub queue: Arc<Queue>,
    pub index: Arc<Index>,
    pub expiry: Arc<Expiry>,
    pub clock: Clock,
    pub disk: Disk,
}

/// However the thread ends, nobody waits for it any more.
impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.stop(&Error::Closed);
    }
}

/// A transaction that was decided, but not answered.
struct Decided {
    answer: oneshot::Sender<Result<Committed, Error>>,
    result: Result<Committed, Error>,
    /// Empty when it is refused, or changes nothing.
    changes: Vec<Change>,
}

/// The entries that a group has changed so far; nobody else sees them yet.
type Overlay = HashMap<Key, Option<Arc<Entry>>>;

impl Committer {
    /// Works until the queue is closed and empty, or the disk fails.
    pub fn run(mut self) {
        loop {
            let group = self.queue.take_group();
            if group.is_empty() {
                return;
            }
            if let Err(error) = self.commit_group(group) {
                tracing::error!(%error, "the store accepts no more writes");
                return self.queue.stop(&error);
            }
        }
    }

    fn commit_group(&mut self, group: Vec<Waiting>) -> Result<(), Error> {
        let before = self.index.horizon.revision();
        let mut decided = self.decide(group, before);
        let last = decided.iter().rev().find(|one| !one.changes.is_empty());
        let last = last.and_then(|one| one.result.as_ref().ok()).map(|committed| committed.revision);
        if let Some(last) = last
            && let Err(error) = self.disk.write(decided.iter().flat_map(|one| &one.changes), last)
        {
            // Whether it reached the disk is not known, so nobody is told that it did, and nothing is tried
            // again: a second sync may claim success for pages that the first one lost.
            let error = Error::Stopped(explain(&error));
            for one in decided {
                drop(one.answer.send(Err(error.clone())));
            }
            return Err(error);
        }
        let mut announcement = Announcement::default();
        for one in &mut decided {
            if let Ok(committed) = &one.result
                && !one.changes.is_empty()
            {
                self.expiry.note(&one.changes);
                self.index.publish(committed.revision, std::mem::take(&mut one.changes), &mut announcement);
            }
        }
        for one in decided {
            drop(one.answer.send(one.result));
        }
        self.index.announce(announcement);
        Ok(())
    }

    /// Judges each transaction against the state that the ones before it leave.
    fn decide(&self, group: Vec<Waiting>, before: Revision) -> Vec<Decided> {
        let now = now_ms(&self.clock);
        let mut revision = before;
        let mut overlay = Overlay::new();
        let is_alone = group.len() == 1;
        let mut decided = Vec::with_capacity(group.len());
        for Waiting { txn, answer } in group {
            let read = |key: &Key| match overlay.get(key) {
                Some(entry) => entry.clone(),
                None => self.index.get(key),
            };
            let (result, changes) = match plan(txn, revision + 1, now, read) {
                Err(conflict) => (Err(Error::Conflict(conflict)), Vec::new()),
                Ok((changes, entries)) => {
                    revision += u64::from(!changes.is_empty());
                    (Ok(Committed { revision, entries }), changes)
                }
            };
            if !is_alone {
                overlay.extend(changes.iter().map(|change| (change.key.clone(), change.entry.clone())));
            }
            decided.push(Decided { answer, result, changes });
        }
        decided
    }
}
