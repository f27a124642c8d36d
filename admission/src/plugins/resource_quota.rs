//! ResourceQuota: what a namespace uses stays within its quotas.
//!
//! A create (or growth) is charged to every quota that bounds it; the changed quotas (`status.used`) go into the same
//! transaction as the object, so that usage is exact however many write at once. Without room: 403 `exceeded quota: q,
//! requested: pods=1, used: pods=2, limited: pods=2`. Source: apiserver's `admission/plugin/resourcequota`.

use super::Plugin;
use crate::pod_resources::{Amounts, add, list};
use crate::quota_usage::{concerns, is_in_scope, missing, usage};
use crate::review::{Cluster, Operation, Review};
use api::{Quantity, Status, Value};
use futures::future::BoxFuture;
use kinds::Verbs;

pub struct ResourceQuota;

impl Plugin for ResourceQuota {
    fn handles(&self, review: &Review<'_>) -> bool {
        let info = review.kind.info();
        if !info.namespaced
            || info.verbs == Verbs::CREATE
            || info.plural == "events"
            || review.object.is_none()
        {
            return false;
        }
        match (review.operation, review.subresource, review.group(), review.resource()) {
            (Operation::Create, "", ..) => true,
            (Operation::Update, "", "", "services" | "persistentvolumeclaims") => true,
            (Operation::Update, "", "", "pods") => changes_scope(review),
            (Operation::Update, "resize", "", "pods") => true,
            _ => false,
        }
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let quotas = reader.list("", "resourcequotas", review.namespace).await;
            if quotas.is_empty() {
                return Ok(());
            }
            let charged = charge(review, quotas).map_err(|why| review.forbidden(&why))?;
            if !review.dry_run {
                review.charges.extend(charged);
            }
            Ok(())
        })
    }
}

/// A pod may begin or cease to be one with a deadline.
fn changes_scope(review: &Review<'_>) -> bool {
    let deadline =
        |pod: Option<&Value>| pod.and_then(|pod| pod.i64_at(&["spec", "activeDeadlineSeconds"])).is_some();
    deadline(review.object.as_deref()) != deadline(review.old)
}

/// The quotas that the change is charged to, with their new usage; or why it does not fit.
fn charge(review: &Review<'_>, quotas: Vec<Value>) -> Result<Vec<Value>, String> {
    let (group, resource) = (review.group(), review.resource());
    let Some(object) = review.object.as_deref() else { return Ok(Vec::new()) };
    let used = usage(group, resource, object);
    let negative: Vec<&str> =
        used.iter().filter(|(_, a)| a.sign() < 0).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let before = review.old.map(|old| usage(group, resource, old));
    let mut charged = Vec::new();
    for mut quota in quotas {
        let hard = list(quota.at(&["status", "hard"]));
        let bounds: Vec<&str> =
            hard.keys().map(String::as_str).filter(|name| concerns(group, resource, name)).collect();
        if bounds.is_empty() || !is_in_scope(&quota, group, resource, object) {
            continue;
        }
        let delta = match (&before, review.old) {
            (Some(before), Some(old)) if is_in_scope(&quota, group, resource, old) => growth(&used, before),
            _ => used.clone(),
        };
        check_named(review, &quota, &bounds, object)?;
        if let Some(total) = fit(&quota, &hard, delta)? {
            let total: api::Map =
                total.into_iter().map(|(name, amount)| (name, amount.to_string())).collect();
            quota.set(&["status", "used"], total);
            charged.push(quota);
        }
    }
    Ok(charged)
}

/// What the change adds; nothing is given back here, that is the controller's.
fn growth(used: &Amounts, before: &Amounts) -> Amounts {
    let mut delta = used.clone();
    for (name, amount) in &mut delta {
        if let Some(before) = before.get(name) {
            amount.sub(before);
            if amount.sign() < 0 {
                amount.sub(&amount.clone());
            }
        }
    }
    delta
}

fn name_of(quota: &Value) -> &str {
    quota.str_at(&["metadata", "name"])
}

/// Bounds need amounts to compare with, on both sides.
fn check_named(review: &Review<'_>, quota: &Value, bounds: &[&str], object: &Value) -> Result<(), String> {
    if review.group().is_empty()
        && review.resource() == "pods"
        && let Some(why) = missing(object, bounds.iter().copied())
    {
        return Err(format!("failed quota: {}: {why}", name_of(quota)));
    }
    let known = list(quota.at(&["status", "used"]));
    if bounds.iter().any(|name| !known.contains_key(*name)) {
        let names = bounds.join(",");
        return Err(format!("status unknown for quota: {}, resources: {names}", name_of(quota)));
    }
    Ok(())
}

/// The new usage of a quota; nothing when it stays.
fn fit(quota: &Value, hard: &Amounts, mut delta: Amounts) -> Result<Option<Amounts>, String> {
    delta.retain(|name, amount| !amount.is_zero() && hard.contains_key(name));
    if delta.is_empty() {
        return Ok(None);
    }
    let used = list(quota.at(&["status", "used"]));
    let mut total = used.clone();
    add(&mut total, &delta);
    let exceeded: Vec<&String> = delta.keys().filter(|name| total.get(*name) > hard.get(*name)).collect();
    if exceeded.is_empty() {
        return Ok(Some(total));
    }
    let shown = |amounts: &Amounts| {
        let amount = |name: &&String| amounts.get(*name).map_or_else(|| "0".to_owned(), Quantity::to_string);
        exceeded.iter().map(|name| format!("{name}={}", amount(name))).collect::<Vec<_>>().join(",")
    };
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        name_of(quota),
        shown(&delta),
        shown(&used),
        shown(hard)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, admit, charges, run};
    use super::*;
    use api::tree;

    fn cluster(hard: Value, used: Value) -> Cluster {
        let quota = tree!({
            "metadata": {"name": "q", "namespace": "n", "resourceVersion": "5"},
            "status": {"hard": hard, "used": used}
        });
        Cluster::new().with("", "resourcequotas", quota)
    }

    #[tokio::test]
    async fn what_fits_is_charged() {
        let cluster =
            cluster(tree!({"pods": "2", "requests.cpu": "1"}), tree!({"pods": "1", "requests.cpu": "600m"}));
        let pod = |cpu: &str| tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let charged = charges(&ResourceQuota, &cluster, ("", "pods"), pod("400m")).await.unwrap();
        assert_eq!(charged[0].at(&["status", "used"]), Some(&tree!({"pods": "2", "requests.cpu": "1"})));
        let status = admit(&ResourceQuota, &cluster, "pods", pod("600m")).await.unwrap_err();
        assert_eq!(
            status.message,
            "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
        );
    }

    #[tokio::test]
    async fn a_quota_without_usage_lets_nothing_in() {
        let cluster = cluster(tree!({"secrets": "2"}), tree!({}));
        let secret = tree!({"metadata": {"name": "s"}});
        let status = admit(&ResourceQuota, &cluster, "secrets", secret).await.unwrap_err();
        assert!(status.message.ends_with("status unknown for quota: q, resources: secrets"));
    }

    #[tokio::test]
    async fn a_change_is_charged_by_what_it_adds() {
        let cluster = cluster(
            tree!({"services": "1", "services.nodeports": "1"}),
            tree!({"services": "1", "services.nodeports": "0"}),
        );
        let service =
            |ty: &str| tree!({"metadata": {"name": "s"}, "spec": {"type": ty, "ports": [{"port": 80}]}});
        let old = service("ClusterIP");
        let place = ("", "services");
        assert!(run(&ResourceQuota, &cluster, place, service("NodePort"), Some(&old)).await.is_ok());
        assert!(run(&ResourceQuota, &cluster, place, service("ClusterIP"), None).await.is_err());
    }
}
