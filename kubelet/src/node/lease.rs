//! The node's lease: by it others know that the node is alive, without writing the big node object.

use crate::resources::{self, LEASES};
use api::{Value, tree};
use client::{Client, Error, Informer};
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

const DURATION_SECS: i64 = 40;
const RENEWAL: Duration = Duration::from_secs(10);
/// After a failure it is tried again sooner.
const RETRY: Duration = Duration::from_secs(1);

/// Renews until the runtime ends. The lease belongs to the node and goes with it.
pub async fn keep(client: Client, name: Arc<str>, node: Informer, clock: Clock) {
    let mut owned = false;
    loop {
        let owner = if owned { None } else { node.cache().get(&name).and_then(|node| owner(&node)) };
        let pause = match renew(&client, &name, owner.as_ref(), &clock).await {
            Ok(()) => {
                owned |= owner.is_some();
                RENEWAL
            }
            Err(error) => {
                tracing::debug!(%error, "the lease of the node is not renewed");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(client: &Client, name: &str, owner: Option<&Value>, clock: &Clock) -> Result<(), Error> {
    let now = clock.now().rfc3339_micro();
    let mut patch =
        tree!({"spec": {"holderIdentity": name, "leaseDurationSeconds": DURATION_SECS, "renewTime": (now)}});
    if let Some(owner) = owner {
        patch.set(&["metadata", "ownerReferences"], Value::List(vec![owner.clone()]));
    }
    match client.merge_patch(&resources::leases(), LEASES, name, "", &patch).await {
        Err(error) if error.is_not_found() => {
            patch.set(&["metadata", "name"], name);
            patch.set(&["metadata", "namespace"], LEASES);
            client.create(&resources::leases(), LEASES, &patch).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn owner(node: &Value) -> Option<Value> {
    let field = |name: &str| Some(node.str_at(&["metadata", name])).filter(|text| !text.is_empty());
    Some(tree!({"apiVersion": "v1", "kind": "Node", "name": (field("name")?), "uid": (field("uid")?)}))
}
