//! Keeps etcd's history short: every five minutes what is older than that is forgotten. Of several servers
//! (the original's among them) one does it: they race for a write of `compact_rev_key`, as the original does.

use super::{call, unavailable, wire};
use crate::error::Error;
use crate::key::Revision;
use etcd_client::{Compare, CompareOp, KvClient, Txn, TxnOp, TxnOpResponse};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(300);
const KEY: &str = "compact_rev_key";

/// How often the key was written, and what the newest revision was then.
#[derive(Clone, Copy, Default)]
struct Round {
    version: i64,
    revision: Revision,
}

/// Works until it is aborted.
pub(super) async fn run(kv: KvClient) {
    let mut round = Round::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        match take_turn(&kv, round).await {
            Ok(next) => round = next,
            Err(error) => tracing::warn!(%error, "etcd could not be compacted"),
        }
    }
}

/// Compacts up to the revision of the last round if nobody else did meanwhile.
async fn take_turn(kv: &KvClient, last: Round) -> Result<Round, Error> {
    let txn = Txn::new()
        .when([Compare::version(KEY, CompareOp::Equal, last.version)])
        .and_then([TxnOp::put(KEY, last.revision.to_string(), None)])
        .or_else([TxnOp::get(KEY, None)]);
    let answer = call(kv.clone().txn(txn)).await?;
    let revision = answer.header().map_or(0, |header| wire::revision(header.revision()));
    if !answer.succeeded() {
        let found = answer.op_responses().into_iter().next();
        let version = match found {
            Some(TxnOpResponse::Get(get)) => get.kvs().first().map_or(0, |kv| kv.version()),
            _ => 0,
        };
        return Ok(Round { version, revision });
    }
    if last.revision > 0 {
        compact(kv.clone(), last.revision).await?;
    }
    Ok(Round { version: last.version + 1, revision })
}

/// Forgets the history up to `revision`; nothing happens when it is forgotten already.
pub(super) async fn compact(mut kv: KvClient, revision: Revision) -> Result<(), Error> {
    let answer = tokio::time::timeout(super::CALL_TIMEOUT, kv.compact(wire::signed(revision), None)).await;
    match answer.map_err(unavailable)? {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("has been compacted") => Ok(()),
        Err(error) => Err(unavailable(error)),
    }
}
