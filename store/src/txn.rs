//! A transaction, and what it would do: compares that must hold, writes that then happen at one revision.
//!
//! `plan` is the pure part that the engines which assign revisions themselves share.

use crate::entry::{Attachment, Entry};
use crate::error::{Conflict, Error};
use crate::key::{Key, Revision};
use crate::seal::{Kept, Sealing};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Everything or nothing, at one revision. etcd takes at most 128 compares and 128 writes at once.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// What must hold: the key's `mod_revision`; 0 when the key must not exist.
    pub compares: Vec<(Key, Revision)>,
    /// What then happens. No key may occur twice.
    pub writes: Vec<Write>,
    /// What rests in place of the values, one for each write; empty where everything rests as it is.
    pub(crate) kept: Vec<Option<Bytes>>,
}

/// One change of one key.
#[derive(Clone, Debug)]
pub enum Write {
    /// Make the key or replace its value. With a lifetime, the key is deleted after it; a put without one
    /// takes the lifetime away.
    Put(Key, Bytes, Option<Duration>),
    /// Remove the key; nothing happens when it does not exist.
    Delete(Key),
}

impl Write {
    /// The key it changes.
    pub fn key(&self) -> &Key {
        match self {
            Write::Put(key, ..) | Write::Delete(key) => key,
        }
    }
}

impl Txn {
    /// Nothing, yet.
    pub fn new() -> Self {
        Txn::default()
    }

    /// Holds only while the key's last write is `mod_revision`; 0: while there is no such key.
    pub fn expect(mut self, key: Key, mod_revision: Revision) -> Self {
        self.compares.push((key, mod_revision));
        self
    }

    /// Writes a value.
    pub fn put(mut self, key: Key, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put(key, value.into(), None));
        self
    }

    /// Writes a value that is deleted after `ttl`.
    pub fn put_ttl(mut self, key: Key, value: impl Into<Bytes>, ttl: Duration) -> Self {
        self.writes.push(Write::Put(key, value.into(), Some(ttl)));
        self
    }

    /// Removes a key.
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Whether it writes anything that is deleted by itself.
    pub(crate) fn has_lifetime(&self) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::Put(_, _, Some(_))))
    }

    /// Seals the values that are to rest sealed.
    pub(crate) fn seal(&mut self, sealing: &Sealing) -> Result<(), Error> {
        let Some(seal) = sealing else { return Ok(()) };
        let sealed = self.writes.iter().map(|write| match write {
            Write::Put(key, value, _) => seal.seal(key, value).map_err(Error::Seal),
            Write::Delete(_) => Ok(None),
        });
        self.kept = sealed.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The bytes that an engine keeps for the write `at`.
    pub(crate) fn kept(&self, at: usize) -> Option<&Bytes> {
        self.kept.get(at)?.as_ref()
    }

    /// Refuses what no engine could do.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.writes.len() < 2 {
            return Ok(());
        }
        let mut seen = HashSet::with_capacity(self.writes.len());
        for write in &self.writes {
            if seen.len() >= usize::from(u16::MAX) {
                return Err(Error::BadTxn { reason: "too many writes", key: write.key().clone() });
            }
            if !seen.insert(write.key()) {
                return Err(Error::BadTxn { reason: "a key is written twice", key: write.key().clone() });
            }
        }
        Ok(())
    }
}

/// A transaction that happened.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its revision; the current one when there was nothing to change.
    pub revision: Revision,
    /// One for each write, in its order: the new entry of a put, the removed one of a delete (`None` when
    /// there was no such key).
    pub entries: Vec<Option<Arc<Entry>>>,
}

/// One change, ready to be published.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub key: Key,
    /// `None`: the key is deleted.
    pub entry: Option<Arc<Entry>>,
    pub prev: Option<Arc<Entry>>,
}

/// The changes, and what `Committed::entries` will say.
pub(crate) type Plan = (Vec<Change>, Vec<Option<Arc<Entry>>>);

/// What a transaction does at `revision` to the state that `read` shows, or the values that forbid it.
/// `now_ms` is the wall clock, for lifetimes.
pub(crate) fn plan(
    txn: Txn,
    revision: Revision,
    now_ms: u64,
    read: impl Fn(&Key) -> Option<Arc<Entry>>,
) -> Result<Plan, Conflict> {
    let holds = |(key, expected): &(Key, Revision)| read(key).map_or(0, |e| e.mod_revision) == *expected;
    if !txn.compares.iter().all(holds) {
        return Err(Conflict { current: txn.compares.iter().map(|(key, _)| read(key)).collect() });
    }
    let mut changes = Vec::with_capacity(txn.writes.len());
    let mut entries = Vec::with_capacity(txn.writes.len());
    let mut kept = txn.kept.into_iter();
    for (ordinal, write) in txn.writes.into_iter().enumerate() {
        let kept = kept.next().flatten().map(Kept::sealed);
        match write {
            Write::Put(key, value, ttl) => {
                let prev = read(&key);
                let expires_ms = ttl.map_or(0, |ttl| expiry_ms(now_ms, ttl));
                let entry = successor(key, value, revision, ordinal as u16, expires_ms, prev.as_deref());
                let entry = Arc::new(Entry { kept, ..entry });
                entries.push(Some(entry.clone()));
                changes.push(Change { key: entry.key.clone(), entry: Some(entry), prev });
            }
            Write::Delete(key) => {
                let prev = read(&key);
                entries.push(prev.clone());
                if prev.is_some() {
                    changes.push(Change { key, entry: None, prev });
                }
            }
        }
    }
    Ok((changes, entries))
}

/// The entry that a put makes after `prev`. The key's text is shared with it.
fn successor(
    key: Key,
    value: Bytes,
    revision: Revision,
    ordinal: u16,
    expires_ms: u64,
    prev: Option<&Entry>,
) -> Entry {
    Entry {
        key: prev.map_or(key, |prev| prev.key.clone()),
        value,
        create_revision: prev.map_or(revision, |prev| prev.create_revision),
        mod_revision: revision,
        version: prev.map_or(1, |prev| prev.version + 1),
        ext: Attachment::new(),
        ordinal: prev.map_or(ordinal, |prev| prev.ordinal),
        expires_ms,
        kept: None,
    }
}

/// Lifetimes end on whole seconds, so that many of them end together.
fn expiry_ms(now_ms: u64, ttl: Duration) -> u64 {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
    (now_ms + ttl_ms).div_ceil(1000) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Space;

    fn key(rest: &str) -> Key {
        Key::new(&Space::new("/registry/pods/"), rest)
    }

    #[test]
    fn a_txn_that_writes_a_key_twice_is_refused() {
        let txn = Txn::new().put(key("a"), "1").delete(key("a"));
        assert!(matches!(txn.check(), Err(Error::BadTxn { .. })));
        assert!(Txn::new().put(key("a"), "1").delete(key("b")).check().is_ok());
    }

    #[test]
    fn a_put_after_a_put_keeps_the_birth_and_counts_up() {
        let (_, first) = plan(Txn::new().put(key("a"), "1"), 5, 0, |_| None).unwrap();
        let first = first[0].clone();
        let (changes, second) = plan(Txn::new().put(key("a"), "2"), 9, 0, |_| first.clone()).unwrap();
        let second = second[0].clone().unwrap();
        assert_eq!((second.create_revision, second.mod_revision, second.version), (5, 9, 2));
        assert_eq!(changes[0].prev.as_ref().unwrap().mod_revision, 5);
    }

    #[test]
    fn deleting_what_is_not_there_changes_nothing() {
        let (changes, entries) = plan(Txn::new().delete(key("a")), 5, 0, |_| None).unwrap();
        assert!(changes.is_empty());
        assert!(entries[0].is_none());
    }

    #[test]
    fn a_lifetime_ends_on_a_whole_second_and_never_early() {
        assert_eq!(expiry_ms(1_001, Duration::from_millis(10)), 2_000);
        assert_eq!(expiry_ms(1_000, Duration::from_secs(1)), 2_000);
    }
}
