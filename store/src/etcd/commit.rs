//! A transaction, as etcd does it.

use super::{Etcd, call, unavailable, wire};
use crate::entry::{Entry, Event};
use crate::error::{Conflict, Error};
use crate::key::{Key, Revision};
use crate::txn::{Committed, Txn, Write};
use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, TxnOp, TxnOpResponse,
};
use std::sync::Arc;
use std::time::Duration;

/// How long the index may take to show a commit.
const PATIENCE: Duration = Duration::from_secs(30);

impl Etcd {
    /// Commits, and waits until the index shows it.
    pub(super) async fn commit_remote(&self, txn: Txn) -> Result<Committed, Error> {
        txn.check()?;
        // Before the commit, so that the feed cannot miss it and the index must show it afterwards.
        let mut spaces = Vec::with_capacity(1);
        for key in txn.writes.iter().map(Write::key) {
            let space = self.feed(&key.space).await?.0;
            if !spaces.iter().any(|known| Arc::ptr_eq(known, &space)) {
                spaces.push(space);
            }
        }
        let answer = call(self.remote.kv.clone().txn(self.remote_txn(&txn).await?)).await?;
        let answers = answer.op_responses();
        if !answer.succeeded() {
            return Err(Error::Conflict(self.conflict(&txn, &answers)));
        }
        let revision = answer.header().map_or(0, |header| wire::revision(header.revision()));
        for space in &spaces {
            let name = &space.name;
            let changed =
                txn.writes.iter().zip(&answers).any(|(w, a)| w.key().space == *name && is_change(a));
            if changed && space.horizon.reach_within(revision, PATIENCE).await.is_err() {
                return Err(unavailable(format_args!(
                    "committed at {revision}, but the watch does not show it"
                )));
            }
        }
        let mut entries = Vec::with_capacity(txn.writes.len());
        for (write, answer) in txn.writes.iter().zip(&answers) {
            entries.push(self.result(write, answer, revision).await?);
        }
        self.index.horizon.advance(revision);
        Ok(Committed { revision, entries })
    }

    async fn remote_txn(&self, txn: &Txn) -> Result<etcd_client::Txn, Error> {
        let compares: Vec<_> = txn
            .compares
            .iter()
            .map(|(key, expected)| {
                Compare::mod_revision(key.full(), CompareOp::Equal, wire::signed(*expected))
            })
            .collect();
        let mut writes = Vec::with_capacity(txn.writes.len());
        for (at, write) in txn.writes.iter().enumerate() {
            writes.push(match write {
                Write::Put(key, value, ttl) => {
                    let options = match ttl {
                        Some(ttl) => Some(PutOptions::new().with_lease(self.leases.lease(*ttl).await?)),
                        None => None,
                    };
                    TxnOp::put(key.full(), txn.kept(at).unwrap_or(value).as_ref(), options)
                }
                Write::Delete(key) => TxnOp::delete(key.full(), Some(DeleteOptions::new().with_prev_key())),
            });
        }
        let reads: Vec<_> = txn.compares.iter().map(|(key, _)| TxnOp::get(key.full(), None)).collect();
        Ok(etcd_client::Txn::new().when(compares).and_then(writes).or_else(reads))
    }

    fn conflict(&self, txn: &Txn, answers: &[TxnOpResponse]) -> Conflict {
        let current = txn.compares.iter().zip(answers).map(|((key, _), answer)| match answer {
            TxnOpResponse::Get(get) => get.kvs().first().map(|kv| self.known_or(key, kv)),
            _ => None,
        });
        Conflict { current: current.collect() }
    }

    fn known_or(&self, key: &Key, kv: &KeyValue) -> Arc<Entry> {
        let known =
            self.index.get(key).filter(|known| known.mod_revision == wire::revision(kv.mod_revision()));
        known.unwrap_or_else(|| wire::entry(key.clone(), kv, &self.sealing))
    }

    /// What a write made or removed: as the index has it; where it does not any more, as etcd has it.
    async fn result(
        &self,
        write: &Write,
        answer: &TxnOpResponse,
        revision: Revision,
    ) -> Result<Option<Arc<Entry>>, Error> {
        let key = write.key();
        let event = self.index.find(&key.space).and_then(|space| space.event_at(revision, &key.rest));
        let event: Option<&Event> = event.as_deref();
        match (answer, event) {
            (TxnOpResponse::Delete(delete), event) => {
                let prev = delete.prev_kvs().first();
                let seen = event.and_then(|event| event.prev.clone());
                Ok(prev.map(|kv| seen.unwrap_or_else(|| wire::entry(key.clone(), kv, &self.sealing))))
            }
            (_, Some(event)) => Ok(event.entry.clone()),
            (_, None) => {
                let options = GetOptions::new().with_revision(wire::signed(revision));
                let answer = call(self.remote.kv.clone().get(key.full(), Some(options))).await?;
                Ok(answer.kvs().first().map(|kv| wire::entry(key.clone(), kv, &self.sealing)))
            }
        }
    }
}

fn is_change(answer: &TxnOpResponse) -> bool {
    match answer {
        TxnOpResponse::Put(_) => true,
        TxnOpResponse::Delete(delete) => delete.deleted() > 0,
        _ => false,
    }
}
