//! ResourceQuota: what a namespace uses stays within its quotas.
//!
//! A create (or growth) is charged to every quota that bounds it; the changed quotas (`status.used`) go into the same
//! transaction as the object, so that usage is exact however many write at once. Without room: 403 `exceeded quota: q,
//! requested: pods=1, used: pods=2, limited: pods=2`. By configuration some things may only be used where a quota
//! bounds them. Source: apiserver's `admission/plugin/resourcequota`.

mod limited;
mod turns;

use super::{Plugin, Settings};
use crate::review::{Cluster, Operation, Review};
use api::quota::{Around, DeviceClasses, concerns, is_ignored, is_in_scope, made_for, missing, usage};
use api::resources::{Amounts, add, amounts};
use api::{Quantity, Status, Value};
use futures::future::BoxFuture;
use kinds::Verbs;
use limited::Limited;
use stdx::Clock;
use turns::Turns;

pub struct ResourceQuota {
    limited: Limited,
    turns: Turns,
    clock: Clock,
}

impl Plugin for ResourceQuota {
    fn handles(&self, review: &Review<'_>) -> bool {
        let info = review.kind.info();
        if !info.namespaced
            || info.verbs == Verbs::CREATE
            || is_ignored(review.group(), review.resource())
            || review.object.is_none()
        {
            return false;
        }
        match (review.operation, review.subresource, review.group(), review.resource()) {
            (Operation::Create, "", ..)
            | (Operation::Update, "", "", "services" | "persistentvolumeclaims")
            | (Operation::Update, "", "resource.k8s.io", "resourceclaims")
            | (Operation::Update, "status", "", "persistentvolumeclaims")
            | (Operation::Update, "resize", "", "pods") => true,
            (Operation::Update, "", "", "pods") => changes_scope(review),
            _ => false,
        }
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let read = || reader.list("", "resourcequotas", review.namespace);
            let mut quotas = read().await;
            if quotas.is_empty() && self.limited.is_empty() {
                return Ok(());
            }
            let mut turn = None;
            if !quotas.is_empty() && !review.dry_run {
                turn = Some(self.turns.take(review.namespace).await);
                quotas = read().await;
            }
            let around = self.around(review, reader).await;
            let charged = self.charge(review, quotas, &around)?;
            if !review.dry_run && !charged.is_empty() {
                review.charges.quotas.extend(charged);
                review.charges.turn = turn;
            }
            Ok(())
        })
    }
}

/// A pod may begin or cease to be one with a deadline.
fn changes_scope(review: &Review<'_>) -> bool {
    let has_deadline = |pod: Option<&Value>| {
        pod.and_then(|pod| pod.i64_at(&["spec", "activeDeadlineSeconds"])).is_some_and(|secs| secs >= 0)
    };
    has_deadline(review.object.as_deref()) != has_deadline(review.old)
}

/// A quota that bounds the object.
struct Concerned {
    quota: Value,
    hard: Amounts,
    delta: Amounts,
}

impl ResourceQuota {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let limited = Limited::read(settings.configurations.get("ResourceQuota"))?;
        Ok(ResourceQuota { limited, turns: Turns::default(), clock: settings.clock.clone() })
    }

    /// What claims of devices depend on.
    async fn around(&self, review: &Review<'_>, reader: &dyn Cluster) -> Around {
        let mut around = Around { now_secs: self.clock.now().secs, ..Around::default() };
        let Some(claim) = review.object.as_deref().filter(|_| review.resource() == "resourceclaims") else {
            return around;
        };
        around.classes = DeviceClasses::new(&reader.list("resource.k8s.io", "deviceclasses", "").await);
        if let Some((name, uid)) = made_for(claim)
            && let Some(pod) = reader.get("", "pods", review.namespace, name).await
            && pod.str_at(&["metadata", "uid"]) == uid
        {
            around.of_pod = Some(usage("", "pods", &pod, &around));
        }
        around
    }

    /// The quotas that the change is charged to, with their new usage; or why it does not fit.
    fn charge(&self, review: &Review<'_>, quotas: Vec<Value>, around: &Around) -> Result<Vec<Value>, Status> {
        let (group, resource) = (review.group(), review.resource());
        let Some(object) = review.object.as_deref() else { return Ok(Vec::new()) };
        let forbidden = |why: String| review.forbidden(&why);
        let scopes = self.limited.scopes(group, resource, object);
        let uncovered_scopes = limited::uncovered(scopes, &quotas, group, resource, object);
        let used = usage(group, resource, object, around);
        let grown = review.old.map(|old| growth(&used, &usage(group, resource, old, around)));
        let (mut concerned, mut covered) = (Vec::new(), Vec::new());
        for quota in quotas {
            let hard = amounts(quota.at(&["status", "hard"]));
            let is_bound = |name: &&String| concerns(group, resource, name, &around.classes);
            let bounds: Vec<String> = hard.keys().filter(is_bound).cloned().collect();
            if bounds.is_empty() || !is_in_scope(&quota, group, resource, object) {
                continue;
            }
            check_named(review, &quota, &bounds).map_err(forbidden)?;
            covered.extend(bounds);
            let was_in = |old: &Value| is_in_scope(&quota, group, resource, old);
            let mut delta = match (&grown, review.old) {
                (Some(grown), Some(old)) if was_in(old) => grown.clone(),
                _ => used.clone(),
            };
            delta.retain(|_, amount| !amount.is_zero());
            concerned.push(Concerned { quota, hard, delta });
        }
        refuse_negative(&used).map_err(forbidden)?;
        let alone = grown.as_ref().unwrap_or(&used);
        let changes = match concerned.as_slice() {
            [] => alone.values().any(|amount| !amount.is_zero()),
            some => some.iter().any(|concerned| !concerned.delta.is_empty()),
        };
        if !changes {
            return Ok(Vec::new());
        }
        self.limited.check(group, resource, &used, &covered).map_err(forbidden)?;
        if let Some(text) = uncovered_scopes {
            return Err(Status::unclassified(text));
        }
        let enforces = review.subresource != "status";
        let mut charged = Vec::new();
        for one in concerned {
            charged.extend(one.fit(enforces).map_err(forbidden)?);
        }
        Ok(charged)
    }
}

fn refuse_negative(used: &Amounts) -> Result<(), String> {
    let names: Vec<&str> =
        used.iter().filter(|(_, amount)| amount.sign() < 0).map(|(name, _)| name.as_str()).collect();
    match names.as_slice() {
        [] => Ok(()),
        names => Err(format!("quota usage is negative for resource(s): {}", names.join(","))),
    }
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
fn check_named(review: &Review<'_>, quota: &Value, bounds: &[String]) -> Result<(), String> {
    if review.group().is_empty()
        && review.resource() == "pods"
        && let Some(pod) = review.object.as_deref()
        && let Some(why) = missing(pod, bounds.iter().map(String::as_str))
    {
        return Err(format!("failed quota: {}: {why}", name_of(quota)));
    }
    let known = amounts(quota.at(&["status", "used"]));
    if bounds.iter().any(|name| !known.contains_key(name)) {
        let names = bounds.join(",");
        return Err(format!("status unknown for quota: {}, resources: {names}", name_of(quota)));
    }
    Ok(())
}

impl Concerned {
    /// The quota with its new usage; nothing when it stays.
    fn fit(self, enforces: bool) -> Result<Option<Value>, String> {
        let Concerned { mut quota, hard, mut delta } = self;
        delta.retain(|name, _| hard.contains_key(name));
        if delta.is_empty() {
            return Ok(None);
        }
        let used = amounts(quota.at(&["status", "used"]));
        let mut total = used.clone();
        add(&mut total, &delta);
        let exceeded: Vec<&String> =
            delta.keys().filter(|name| enforces && total.get(*name) > hard.get(*name)).collect();
        if exceeded.is_empty() {
            let total: api::Map =
                total.into_iter().map(|(name, amount)| (name, amount.to_string())).collect();
            quota.set(&["status", "used"], total);
            return Ok(Some(quota));
        }
        let shown = |amounts: &Amounts| {
            let amount =
                |name: &&String| amounts.get(*name).map_or_else(|| "0".to_owned(), Quantity::to_string);
            exceeded.iter().map(|name| format!("{name}={}", amount(name))).collect::<Vec<_>>().join(",")
        };
        Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            name_of(&quota),
            shown(&delta),
            shown(&used),
            shown(&hard)
        ))
    }
}

#[cfg(test)]
mod tests;
