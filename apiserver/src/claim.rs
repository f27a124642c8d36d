//! Claims: what an object needs of the cluster before it can be written. They are made and given back in the same
//! transaction that writes or deletes the object, so that nothing is claimed twice or lost. A claim that somebody else
//! made in the meantime makes the commit fail as a whole (`Refused::Taken`), and the edit runs again.

mod address_family;
mod cluster_ip;
mod node_port;
mod service;

use crate::call::{Call, rest};
use crate::stored;
use admission::{Charges, Turn};
use api::{Status, Value};
use bytes::Bytes;
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

    /// Takes a key that nobody has.
    fn take(&mut self, key: Key, value: Bytes) {
        if self.writes.iter().all(|write| *write.key() != key) {
            self.compares.push((key.clone(), 0));
            self.writes.push(Write::Put(key, value, None));
        }
    }

    /// Adds quotas with their new usage; each must be as admission has read it. The turn at them is to be kept until
    /// the commit.
    pub fn charge(&mut self, call: &Call, charges: Charges) -> Result<Option<Turn>, Status> {
        let registry = call.server.registry();
        let Some(kind) = registry.find("", "resourcequotas").filter(|_| !charges.quotas.is_empty()) else {
            return Ok(None);
        };
        for mut quota in charges.quotas {
            let rest = rest(kind.info(), quota.str_at(&["metadata", "namespace"]), Call::name_of(&quota));
            let key = Key::new(&call.server.space(&**kind), rest);
            let seen = quota.str_at(&["metadata", "resourceVersion"]).parse().map_err(Status::internal)?;
            stored::normalise(&**kind, &kind.info().storage_version, &mut quota)?;
            self.compares.push((key.clone(), seen));
            self.writes.push(Write::Put(key, stored::encode(&**kind, &quota)?, None));
        }
        Ok(charges.turn)
    }

    /// Gives a key back.
    fn give_back(&mut self, key: Key) {
        if self.writes.iter().all(|write| *write.key() != key) {
            self.writes.push(Write::Delete(key));
        }
    }
}

/// Whether a new object has anything to claim.
pub fn is_needed(call: &Call, new: &Value) -> bool {
    !call.kind.claims(new, None).is_empty()
}

/// Claims what the object needs and fills it in, before it is checked. `old` is what is there now; what it no longer
/// needs is given back. A dry run claims nothing. Writes through a lens change no claims.
pub async fn make(
    call: &Call,
    new: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Claims, Status> {
    let mut claims = Claims::default();
    if !call.target.subresource.is_empty() {
        return Ok(claims);
    }
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
