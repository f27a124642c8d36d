//! Tokens by which nodes join, secrets of the type `bootstrap.kubernetes.io/token` in `kube-system`: they go when they
//! expire (`token-cleaner`), and sign what a node must know before it can trust the server, the ConfigMap
//! `cluster-info` in `kube-public` (`bootstrap-signer`).

use crate::reconcile::{Outcome, enqueue, run_on, unless_gone};
use crate::{Context, identity, resources};
use api::{Map, Value, tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certs::sign_detached;
use client::{Client, Informer, WorkQueue};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const OURS: &str = "fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken,metadata.namespace%3Dkube-system";
const CLUSTER_INFO: &str = "fieldSelector=metadata.name%3Dcluster-info,metadata.namespace%3Dkube-public";
const SIGNATURE: &str = "jws-kubeconfig-";

fn data(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret.str_at(&["data", key])).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How long a token lives on; `None` when it has no end. What does not read has ended.
fn remaining(secret: &Value, now: Time) -> Option<Duration> {
    let ends = data(secret, "expiration");
    if ends.is_empty() {
        return None;
    }
    let secs = api::time::parse(&ends).map_or(0, |ends| ends.secs.saturating_sub(now.secs));
    Some(Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}

/// token-cleaner.
pub fn start_cleaner(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let watcher = (context.connect)(identity::WATCHER);
    let secrets = Informer::start(watcher, resources::secrets(), OURS, enqueue(&queue));
    let (client, clock, later, copies) =
        (context.client.clone(), context.clock(), queue.clone(), [&secrets.clone()]);
    run_on("token-cleaner", &queue, 1, &copies, move |key| {
        let (client, clock, later, secrets) = (client.clone(), clock.clone(), later.clone(), secrets.clone());
        async move {
            let Some(secret) = secrets.cache().get(&key) else { return Ok(()) };
            match remaining(&secret, clock.now()) {
                None => Ok(()),
                Some(left) if !left.is_zero() => {
                    later.add_after(key, left);
                    Ok(())
                }
                Some(_) => delete(&client, &secret).await,
            }
        }
    });
}

async fn delete(client: &Client, secret: &Value) -> Outcome {
    let meta = |field: &str| secret.str_at(&["metadata", field]);
    let options = tree!({"preconditions": {"uid": meta("uid")}});
    let deleted = client.delete(&resources::secrets(), meta("namespace"), meta("name"), &options).await;
    unless_gone(deleted).map(drop)
}

/// bootstrap-signer.
pub fn start_signer(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let (maps, watcher) = (resources::config_maps(), (context.connect)(identity::WATCHER));
    let poke = |queue: &WorkQueue| -> client::Handler {
        let queue = queue.clone();
        Arc::new(move |_, _| queue.add("cluster-info"))
    };
    let secrets = Informer::start(watcher.clone(), resources::secrets(), OURS, poke(&queue));
    let infos = Informer::start(watcher, maps.clone(), CLUSTER_INFO, poke(&queue));
    let (client, clock) = (context.client.clone(), context.clock());
    let copies = [&secrets.clone(), &infos.clone()];
    run_on("bootstrap-signer", &queue, 1, &copies, move |_| {
        let (client, maps, clock) = (client.clone(), maps.clone(), clock.clone());
        let (secrets, infos) = (secrets.clone(), infos.clone());
        async move {
            let Some(info) = infos.cache().get("kube-public/cluster-info") else { return Ok(()) };
            let Some(signed) = sign(&info, &secrets.cache().list("kube-system"), &clock) else {
                return Ok(());
            };
            unless_gone(client.update(&maps, "kube-public", &signed).await).map(drop)
        }
    });
}

/// The ConfigMap with a signature of each token that signs; `None` when it has them all, and no others.
fn sign(info: &Value, secrets: &[Arc<Value>], clock: &Clock) -> Option<Value> {
    let content = info.at(&["data", "kubeconfig"])?.as_str()?;
    let mut kept: Map = info.map_at(&["data"])?.clone();
    kept.retain(|key, _| !key.starts_with(SIGNATURE));
    for (id, secret) in secrets.iter().filter_map(|secret| signing(secret, clock.now())) {
        kept.insert(format!("{SIGNATURE}{id}"), sign_detached(content, &id, &secret));
    }
    let mut signed = info.clone();
    signed.set(&["data"], Value::Map(kept));
    (signed != *info).then_some(signed)
}

/// ID and secret of a token that signs.
fn signing(secret: &Value, now: Time) -> Option<(String, String)> {
    let (id, key) = (data(secret, "token-id"), data(secret, "token-secret"));
    let named = secret.str_at(&["metadata", "name"]).strip_prefix("bootstrap-token-") == Some(&id);
    let signs = data(secret, "usage-bootstrap-signing") == "true";
    let lives = remaining(secret, now).is_none_or(|left| !left.is_zero());
    (named && signs && lives && !id.is_empty() && !key.is_empty()).then_some((id, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn token(id: &str, ends: &str) -> Arc<Value> {
        let text = |text: &str| STANDARD.encode(text);
        Arc::new(tree!({
            "metadata": {"name": format!("bootstrap-token-{id}")},
            "data": {
                "token-id": text(id), "token-secret": text("0123456789abcdef"), "expiration": text(ends),
                "usage-bootstrap-signing": text("true")
            }
        }))
    }

    #[test]
    fn tokens_that_live_sign_what_nodes_must_know() {
        let clock = Clock::manual(NOW);
        let info = tree!({"data": {"kubeconfig": "a", "jws-kubeconfig-gone00": "x"}});
        let tokens = [token("abcdef", ""), token("ghijkl", "2027-01-15T08:00:00Z")];
        let signed = sign(&info, &tokens, &clock).unwrap();
        let data = signed.map_at(&["data"]).unwrap();
        assert_eq!(
            data.keys().map(api::Str::as_str).collect::<Vec<_>>(),
            ["kubeconfig", "jws-kubeconfig-abcdef"]
        );
        assert_eq!(sign(&signed, &tokens, &clock), None);
        assert_eq!(sign(&tree!({"data": {}}), &tokens, &clock), None);
    }

    #[test]
    fn a_token_lives_until_it_ends_and_one_that_does_not_read_has_ended() {
        assert_eq!(remaining(&token("abcdef", ""), NOW), None);
        assert_eq!(remaining(&token("abcdef", "2027-01-15T08:00:09Z"), NOW), Some(Duration::from_secs(9)));
        assert_eq!(remaining(&token("abcdef", "2027-01-15T07:00:00Z"), NOW), Some(Duration::ZERO));
        assert_eq!(remaining(&token("abcdef", "tomorrow"), NOW), Some(Duration::ZERO));
    }
}
