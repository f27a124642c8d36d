//! Claims: what an object needs of the cluster before it can be written. They are made and given back in the same
//! transaction that writes or deletes the object, so that nothing is claimed twice or lost.

mod service;

use crate::call::Call;
use api::{Status, Value};
use kinds::Claim;
use store::{Key, Revision, Txn, Write};

/// Extra compares and writes of a transaction.
#[derive(Default)]
pub struct Claims {
    compares: Vec<(Key, Revision)>,
    writes: Vec<Write>,
}

impl Claims {
    /// Adds them behind what the transaction does already.
    pub fn join(self, mut txn: Txn) -> Txn {
        txn.compares.extend(self.compares);
        txn.writes.extend(self.writes);
        txn
    }
}

/// Claims what the object needs and fills it in. `old` is what is there now; what it no longer needs is given back.
pub async fn make(call: &Call, new: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<Claims, Status> {
    let mut claims = Claims::default();
    for claim in call.kind.claims(new, old) {
        match claim {
            Claim::Service => service::make(call, new, old, dry_run, &mut claims).await?,
        }
    }
    Ok(claims)
}

/// Gives back what a deleted object had claimed.
pub async fn release(call: &Call, old: &Value, txn: Txn) -> Txn {
    let mut claims = Claims::default();
    for claim in call.kind.claims(old, None) {
        match claim {
            Claim::Service => service::release(call, old, &mut claims).await,
        }
    }
    claims.join(txn)
}
