//! Lifetimes by etcd's leases. Keys with the same lifetime share a lease for a while, as the original's do:
//! a lease for every event would cost etcd more than the events.

use super::call;
use crate::error::Error;
use etcd_client::LeaseClient;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a lease is shared at most, and by how many keys.
const MAX_SHARED: Duration = Duration::from_secs(60);
const MAX_KEYS: u32 = 1000;

/// The leases that new keys may join, by lifetime in seconds.
pub(super) struct Leases {
    client: LeaseClient,
    open: Mutex<HashMap<u64, Lease>>,
}

struct Lease {
    id: i64,
    until: Instant,
    keys: u32,
}

impl Leases {
    pub fn new(client: LeaseClient) -> Self {
        Leases { client, open: Mutex::default() }
    }

    /// A lease that lasts at least `ttl`, and little longer.
    pub async fn lease(&self, ttl: Duration) -> Result<i64, Error> {
        let secs = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let mut open = self.open.lock().await;
        let now = Instant::now();
        if let Some(lease) = open.get_mut(&secs).filter(|lease| now < lease.until && lease.keys < MAX_KEYS) {
            lease.keys += 1;
            return Ok(lease.id);
        }
        // Who joins last must have its whole lifetime, too.
        let shared = (ttl / 20).min(MAX_SHARED);
        let granted = (secs + shared.as_secs()).max(1);
        let granted = i64::try_from(granted).unwrap_or(i64::MAX);
        let id = call(self.client.clone().grant(granted, None)).await?.id();
        open.retain(|_, lease| now < lease.until);
        open.insert(secs, Lease { id, until: now + Duration::from_secs(shared.as_secs()), keys: 1 });
        Ok(id)
    }
}
