//! Tokens of service accounts from secrets, as they are to end: since when their use is noted
//! (`start_tracking`, a part of the API server), and what becomes of those that nobody used for a year
//! (`legacy-service-account-token-cleaner`). Only secrets that an account lists are touched: old releases made them
//! unasked.

use crate::reconcile::{Outcome, run_on, unless_gone};
use crate::{Context, identity, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, WorkQueue};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const NAMESPACE: &str = "kube-system";
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const OURS: &str = "fieldSelector=type%3Dkubernetes.io%2Fservice-account-token";
const DAY: Duration = Duration::from_secs(86_400);
/// How long a token may go unused before it ends, and then before it is deleted.
const UNUSED_DAYS: i64 = 365;

/// `2006-01-02` of a time, and of the time some days before it.
fn day(now: Time, ago: i64) -> String {
    Time::from_secs(now.secs - ago * 86_400).rfc3339().split('T').next().unwrap_or_default().to_owned()
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && api::time::parse(&format!("{text}T00:00:00Z")).is_ok()
}

/// A ConfigMap says since when uses are noted.
pub fn start_tracking(context: &Context<'_>) {
    let (queue, maps) = (WorkQueue::new(), resources::config_maps());
    let (client, clock, changed) = (context.client.clone(), context.clock(), queue.clone());
    let query = format!("fieldSelector=metadata.name%3D{TRACKING},metadata.namespace%3D{NAMESPACE}");
    let copy =
        Informer::start(client.clone(), maps.clone(), &query, Arc::new(move |_, _| changed.add(TRACKING)));
    queue.add(TRACKING);
    let copies = [&copy.clone()];
    run_on("legacy-token-tracking", &queue, 1, &copies, move |_| {
        let (client, maps, copy, since) = (client.clone(), maps.clone(), copy.clone(), day(clock.now(), 0));
        async move {
            let written = match copy.cache().get(&format!("{NAMESPACE}/{TRACKING}")) {
                Some(map) if is_day(map.str_at(&["data", "since"])) => return Ok(()),
                Some(map) => {
                    let mut map = Value::clone(&map);
                    map.set(&["data", "since"], since);
                    client.update(&maps, NAMESPACE, &map).await
                }
                None => {
                    let meta = tree!({"name": TRACKING, "namespace": NAMESPACE});
                    client
                        .create(&maps, NAMESPACE, &tree!({"metadata": meta, "data": {"since": since}}))
                        .await
                }
            };
            match written {
                Err(error) if !error.is_already_exists() && !error.is_not_found() => Err(error),
                _ => Ok(()),
            }
        }
    });
}

struct Cleaner {
    /// Sees the cluster.
    watcher: Client,
    /// Acts.
    client: Client,
    clock: Clock,
}

/// Looks for tokens that nobody uses once a day.
pub fn start(context: &Context<'_>) {
    let watcher = (context.connect)(identity::WATCHER);
    let cleaner = Cleaner { watcher, client: context.client.clone(), clock: context.clock() };
    client::spawn(async move {
        loop {
            if let Err(error) = cleaner.clean().await {
                tracing::debug!(%error, "unused tokens will be looked for again tomorrow");
            }
            tokio::time::sleep(DAY).await;
        }
    });
}

impl Cleaner {
    async fn clean(&self) -> Outcome {
        let map = self.client.find(&resources::config_maps(), NAMESPACE, TRACKING).await?;
        let since = map.as_ref().map(|map| map.str_at(&["data", "since"])).unwrap_or_default();
        // The day itself does not count: it was noted in part.
        if !is_day(since) || since >= day(self.clock.now(), UNUSED_DAYS + 1).as_str() {
            return Ok(());
        }
        let list = self.watcher.list(&resources::secrets(), "", OURS).await?;
        let before = Time::from_secs(self.clock.now().secs - UNUSED_DAYS * 86_400);
        let unused = list.list_at(&["items"]).iter().filter(|secret| is_unused(secret, before));
        for secret in unused {
            self.end(secret).await?;
        }
        Ok(())
    }

    /// Marks a token, or deletes it when it was marked for long.
    async fn end(&self, secret: &Value) -> Outcome {
        let meta = |field: &str| secret.str_at(&["metadata", field]);
        let (namespace, name, secrets) = (meta("namespace"), meta("name"), resources::secrets());
        if !self.is_listed(secret).await? || self.is_mounted(namespace, name).await? {
            return Ok(());
        }
        let since = secret.str_at(&["metadata", "labels", INVALID_SINCE]);
        if !is_day(since) {
            let today = day(self.clock.now(), 0);
            let mut patch = tree!({"metadata": {"uid": meta("uid"), "labels": {}}});
            patch.set(&["metadata", "labels", INVALID_SINCE], today);
            return unless_gone(self.client.merge_patch(&secrets, namespace, name, "", &patch).await)
                .map(drop);
        }
        if since >= day(self.clock.now(), UNUSED_DAYS).as_str() {
            return Ok(());
        }
        let options = tree!({"preconditions": {"resourceVersion": meta("resourceVersion")}});
        unless_gone(self.client.delete(&secrets, namespace, name, &options).await).map(drop)
    }

    /// Whether its account lists the secret, as it does those that were made unasked.
    async fn is_listed(&self, secret: &Value) -> Result<bool, Error> {
        let annotation = |name: &str| secret.str_at(&["metadata", "annotations", name]);
        let (namespace, name) =
            (secret.str_at(&["metadata", "namespace"]), annotation("kubernetes.io/service-account.name"));
        if name.is_empty() {
            return Ok(false);
        }
        let Some(account) = self.watcher.find(&resources::service_accounts(), namespace, name).await? else {
            return Ok(false);
        };
        let (uid, is) =
            (annotation("kubernetes.io/service-account.uid"), account.str_at(&["metadata", "uid"]));
        let names = account.list_at(&["secrets"]).iter().map(|s| s.str_at(&["name"]));
        let own = secret.str_at(&["metadata", "name"]);
        Ok((uid.is_empty() || uid == is) && names.into_iter().any(|name| name == own))
    }

    /// Whether a pod of the namespace speaks of the secret.
    async fn is_mounted(&self, namespace: &str, name: &str) -> Result<bool, Error> {
        let pods = self.watcher.list(&resources::pods(), namespace, "").await?;
        let mut named = HashSet::new();
        pods.list_at(&["items"]).iter().for_each(|pod| names_of_secrets(pod.get("spec"), &mut named));
        Ok(named.contains(name))
    }
}

/// All texts that a spec has where names of secrets are; too many do no harm.
fn names_of_secrets(value: Option<&Value>, names: &mut HashSet<String>) {
    match value {
        Some(Value::Map(map)) => {
            for (key, value) in map.iter() {
                if let ("name" | "secretName", Some(text)) = (key.as_str(), value.as_str()) {
                    names.insert(text.to_owned());
                }
                names_of_secrets(Some(value), names);
            }
        }
        Some(Value::List(list)) => list.iter().for_each(|value| names_of_secrets(Some(value), names)),
        _ => {}
    }
}

fn is_unused(secret: &Value, before: Time) -> bool {
    let meta = |field: &str| secret.str_at(&["metadata", field]);
    let made = api::time::parse(meta("creationTimestamp")).is_ok_and(|made| made.secs < before.secs);
    let used = secret.str_at(&["metadata", "labels", LAST_USED]);
    let unused = used.is_empty() || (is_day(used) && used < day(before, 0).as_str());
    made && unused && meta("deletionTimestamp").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Time = Time::from_secs(1_800_000_000);

    #[test]
    fn a_token_is_unused_that_is_old_and_was_not_used_since() {
        let secret = |made: &str, used: &str| {
            let mut secret = tree!({"metadata": {"creationTimestamp": made}});
            secret.set(&["metadata", "labels", LAST_USED], used);
            secret
        };
        assert!(is_unused(&secret("2027-01-15T07:59:59Z", ""), BEFORE));
        assert!(is_unused(&secret("2027-01-01T00:00:00Z", "2027-01-14"), BEFORE));
        assert!(!is_unused(&secret("2027-01-01T00:00:00Z", "2027-01-15"), BEFORE));
        assert!(!is_unused(&secret("2027-01-15T08:00:00Z", ""), BEFORE));
        assert!(!is_unused(&secret("2027-01-01T00:00:00Z", "long ago"), BEFORE));
    }

    #[test]
    fn pods_name_secrets_in_many_places() {
        let pod = tree!({
            "volumes": [{"name": "v", "secret": {"secretName": "a"}}],
            "imagePullSecrets": [{"name": "b"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}]}]
        });
        let mut names = HashSet::new();
        names_of_secrets(Some(&pod), &mut names);
        assert!(["a", "b", "c"].iter().all(|name| names.contains(*name)));
    }

    #[test]
    fn days_are_written_and_read() {
        assert_eq!((day(BEFORE, 0), day(BEFORE, 365)), ("2027-01-15".to_owned(), "2026-01-15".to_owned()));
        assert!(is_day("2027-01-15") && !is_day("2027-13-15") && !is_day("") && !is_day("2027-1-5"));
    }
}
