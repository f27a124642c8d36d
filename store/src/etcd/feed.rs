//! What keeps the index of one space up to date: everything is read once at a revision, then watched from
//! there. After a broken connection the watch goes on where it stopped; when etcd has forgotten that place,
//! everything is read again, and every watcher is told that it fell behind.

use super::{Remote, call, unavailable, wire};
use crate::entry::Entry;
use crate::error::Error;
use crate::index::{Horizon, SpaceIndex};
use crate::key::{Key, Revision, Space};
use crate::seal::Sealing;
use crate::txn::Change;
use etcd_client::{EventType, GetOptions, KvClient, WatchOptions, WatchResponse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Backoff, Ids};
use tokio::sync::Notify;

/// Keys read with one call.
const PAGE: i64 = 1000;

/// The first and the longest pause between attempts to watch.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The entries of a space.
pub(super) type Entries = BTreeMap<Arc<str>, Arc<Entry>>;

/// See the head of the file.
pub(super) struct Feed {
    pub remote: Remote,
    pub space: Arc<SpaceIndex>,
    /// The newest revision seen in any space.
    pub newest: Arc<Horizon>,
    /// Somebody wants to know how far it is.
    pub asked: Arc<Notify>,
    pub sealing: Sealing,
}

/// Why a watch ended.
enum Ended {
    /// etcd has forgotten where it should go on.
    Compacted,
    Broken(Error),
}

/// Reads a space at one revision. Entries that `known` has in the same version are taken from there, with
/// what is attached to them.
pub(super) async fn read_all(
    kv: &KvClient,
    space: &Space,
    known: Option<&SpaceIndex>,
    sealing: &Sealing,
) -> Result<(Entries, Revision), Error> {
    let mut entries = Entries::new();
    let prefix = space.as_str().as_bytes();
    let (mut start, end) = (prefix.to_vec(), range_end(prefix));
    let mut at = 0;
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(at);
        let page = call(kv.clone().get(start, Some(options))).await?;
        if at == 0 {
            at = page.header().map_or(0, |header| header.revision());
        }
        for kv in page.kvs() {
            let Some(rest) = wire::rest(space, kv.key()) else { continue };
            let old = known.and_then(|known| known.get(rest));
            let entry = match old {
                Some(old) if old.mod_revision == wire::revision(kv.mod_revision()) => old,
                _ => wire::entry(Key::new(space, rest), kv, sealing),
            };
            entries.insert(entry.key.rest.clone(), entry);
        }
        match page.kvs().last() {
            Some(last) if page.more() => start = [last.key(), b"\0"].concat(),
            _ => return Ok((entries, wire::revision(at))),
        }
    }
}

/// The end of the range of all keys with this prefix.
fn range_end(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX).map_or(0, |at| at + 1);
    let mut end = prefix[..kept].to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.push(0),
    }
    end
}

impl Feed {
    /// Follows etcd until it is aborted.
    pub async fn run(self) {
        let ids = Ids::system();
        let mut backoff = Backoff::new(RETRY.0, RETRY.1).with_jitter(0.2);
        loop {
            let before = self.space.horizon.revision();
            let ended = self.follow().await;
            if self.space.horizon.revision() > before {
                backoff.reset();
            }
            let ended = match ended {
                Ended::Compacted => self.read_again().await.err(),
                Ended::Broken(error) => Some(error),
            };
            if let Some(error) = ended {
                tracing::warn!(space = %self.space.name, %error, "the watch of etcd broke off; trying again");
                tokio::time::sleep(backoff.next_delay(&ids)).await;
            }
        }
    }

    async fn read_again(&self) -> Result<(), Error> {
        let known = Some(&*self.space);
        let (entries, revision) = read_all(&self.remote.kv, &self.space.name, known, &self.sealing).await?;
        tracing::warn!(space = %self.space.name, "etcd was compacted beyond the watch; read it again");
        self.space.replace(entries, revision);
        self.newest.advance(revision);
        Ok(())
    }

    async fn follow(&self) -> Ended {
        let from = self.space.horizon.revision() + 1;
        // Idle watches are told of progress now and then by etcd itself, too.
        let options =
            WatchOptions::new().with_prefix().with_start_revision(wire::signed(from)).with_progress_notify();
        let mut client = self.remote.watch.clone();
        let stream = match call(client.watch(self.space.name.as_str(), Some(options))).await {
            Ok(stream) => stream,
            Err(error) => return Ended::Broken(error),
        };
        let (mut requests, mut answers) = stream.split();
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => if let Some(ended) = self.take(&answer) { return ended },
                    Ok(None) => return Ended::Broken(unavailable("the watch was closed")),
                    Err(error) => return Ended::Broken(unavailable(error)),
                },
                () = self.asked.notified() => if let Err(error) = requests.request_progress().await {
                    return Ended::Broken(unavailable(error));
                },
            }
        }
    }

    /// Applies one answer.
    fn take(&self, answer: &WatchResponse) -> Option<Ended> {
        if answer.canceled() {
            return Some(match answer.compact_revision() {
                0 => Ended::Broken(unavailable(format_args!("watch refused: {}", answer.cancel_reason()))),
                _ => Ended::Compacted,
            });
        }
        // The head of an answer with events, or to the creation, does not say that earlier events were sent.
        if answer.events().is_empty() {
            if let Some(header) = answer.header().filter(|_| !answer.created()) {
                self.space.advance(wire::revision(header.revision()));
                self.newest.advance(self.space.horizon.revision());
            }
            return None;
        }
        let events = answer.events().iter().filter_map(|event| Some((event.event_type(), event.kv()?)));
        let name = &self.space.name;
        let events = events.filter_map(|(kind, kv)| Some((wire::rest(name, kv.key())?, kind, kv)));
        let events = events.map(|(rest, kind, kv)| {
            // The text of the key is that of the index; what is sealed is opened while nobody waits for the index.
            let key = self.space.get(rest).map_or_else(|| Key::new(name, rest), |prev| prev.key.clone());
            let entry = (kind == EventType::Put).then(|| wire::entry(key.clone(), kv, &self.sealing));
            let change = move |prev: Option<Arc<Entry>>| Change { key, entry, prev };
            (wire::revision(kv.mod_revision()), rest, change)
        });
        let events: Vec<_> = events.collect();
        self.space.follow(events.into_iter());
        self.newest.advance(self.space.horizon.revision());
        None
    }
}
