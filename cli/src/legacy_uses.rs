//! Uses of service accounts' tokens from secrets are written on the secrets, so that tokens that nobody uses can end.

use api::tree;
use authn::LegacyUse;
use client::{Client, Resource};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, channel};

/// Uses that wait to be written; more are forgotten, and told again when the token is next used.
const WAITING: usize = 1024;
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";

/// Takes uses from whoever recognizes tokens.
pub type Note = Arc<dyn Fn(LegacyUse) + Send + Sync>;

/// What takes uses, and where they come out.
pub fn notes() -> (Note, Receiver<LegacyUse>) {
    let (sender, receiver) = channel(WAITING);
    let note = move |used: LegacyUse| {
        if sender.try_send(used).is_err() {
            tracing::debug!("too many uses of tokens at once: one is not noted");
        }
    };
    (Arc::new(note), receiver)
}

/// Writes uses on their secrets, as long as there are any to come.
pub async fn write(client: Client, mut uses: Receiver<LegacyUse>) {
    let secrets = Resource::namespaced("", "v1", "secrets");
    while let Some(used) = uses.recv().await {
        let LegacyUse { namespace, name, uid, day } = used;
        let mut patch = tree!({"metadata": {"uid": uid, "labels": {}}});
        patch.set(&["metadata", "labels", LAST_USED], day);
        if let Err(error) = client.merge_patch(&secrets, &namespace, &name, "", &patch).await {
            tracing::warn!(%error, namespace, name, "the use of a token is not noted");
        }
    }
}
