//! All webhooks that a change concerns: one after another where they change it, side by side where they judge it.

use super::call::{self, Asking, Failed, Way};
use super::configuration::Hook;
use super::matching::{self, Invocation};
use super::review::Objects;
use crate::review::{Cluster, Review};
use api::{Status, json, tree};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// Lets every webhook change the object, in their order.
pub async fn mutate(
    hooks: &[Arc<Hook>],
    way: &Way,
    review: &mut Review<'_>,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    review.reinvocation.begin(review.object.as_deref());
    let mut outcome = Ok(());
    for (index, hook) in hooks.iter().enumerate() {
        outcome = mutate_one(index, hook, way, review, cluster).await;
        if outcome.is_err() {
            break;
        }
    }
    review.reinvocation.end(review.object.as_deref());
    outcome
}

async fn mutate_one(
    index: usize,
    hook: &Arc<Hook>,
    way: &Way,
    review: &mut Review<'_>,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    let Some(invocation) = matching::invocation(review, cluster, hook).await? else { return Ok(()) };
    if review.reinvocation.skips(&hook.id) {
        return Ok(());
    }
    let place = format!("round_{}_index_{index}", u8::from(review.reinvocation.again));
    let outcome = changed(invocation, way, review).await;
    let note = tree!({"configuration": (hook.configuration.as_str()), "webhook": (hook.name.as_str()),
                      "mutated": (matches!(outcome, Ok(true)))});
    let key = format!("mutation.webhook.admission.k8s.io/{place}");
    review.audit_annotations.push((key, json::to_string(&note)));
    if matches!(outcome, Ok(true)) {
        review.reinvocation.changed();
    }
    if hook.reinvokes {
        review.reinvocation.was_called(&hook.id);
    }
    let Err(failed) = outcome else { return Ok(()) };
    let key = format!("failed-open.mutation.webhook.admission.k8s.io/{place}");
    settle(review, hook, failed, key)?;
    // The webhook was ignored; the request itself may be over.
    match Instant::now() >= review.details.deadline() {
        true => Err(out_of_time()),
        false => Ok(()),
    }
}

/// Asks one webhook, and makes the object what its patch makes of it; true when that is another one.
async fn changed(invocation: Invocation, way: &Way, review: &mut Review<'_>) -> Result<bool, Failed> {
    let (name, version) = (invocation.hook.name.clone(), invocation.version.clone());
    let objects = Objects::of(review, &version).map_err(Failed::Refused)?;
    let asking = Asking::new(review, invocation, &objects, true)?;
    let answer = asking.ask(way).await?;
    call::verdict(review, &name, &answer)?;
    let Some(patched) = call::patched(&name, &objects.object, &answer)? else { return Ok(false) };
    let is_new = patched != objects.object;
    if let Some(object) = review.object.as_deref_mut() {
        review.details.take(object, patched, &version).map_err(Failed::Refused)?;
    }
    Ok(is_new)
}

/// Lets every webhook judge the object, all at once. Of several refusals the first by the order of webhooks is told.
pub async fn validate(
    hooks: &[Arc<Hook>],
    way: &Way,
    review: &mut Review<'_>,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    let mut invocations = Vec::new();
    let mut objects: BTreeMap<String, Objects> = BTreeMap::new();
    for hook in hooks {
        if let Some(invocation) = matching::invocation(review, cluster, hook).await? {
            if !objects.contains_key(&invocation.version) {
                objects.insert(invocation.version.clone(), Objects::of(review, &invocation.version)?);
            }
            invocations.push(invocation);
        }
    }
    if !invocations.is_empty() && Instant::now() >= review.details.deadline() {
        return Err(out_of_time());
    }
    let mut askings = Vec::with_capacity(invocations.len());
    for invocation in invocations {
        let Some(objects) = objects.get(&invocation.version) else { continue };
        let hook = invocation.hook.clone();
        askings.push((hook, Asking::new(review, invocation, objects, false)));
    }
    let asked = askings.iter().map(|(_, asking)| async {
        match asking {
            Ok(asking) => Some(asking.ask(way).await),
            Err(_) => None,
        }
    });
    let answers = futures::future::join_all(asked).await;
    let mut refusal = Ok(());
    for (index, ((hook, asking), answer)) in askings.into_iter().zip(answers).enumerate() {
        let outcome = match (asking, answer) {
            (Err(failed), _) | (Ok(_), Some(Err(failed))) => Err(failed),
            (Ok(_), Some(Ok(answer))) => call::verdict(review, &hook.name, &answer),
            (Ok(_), None) => Ok(()),
        };
        let Err(failed) = outcome else { continue };
        let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
        let settled = settle(review, &hook, failed, key);
        refusal = refusal.and(settled);
    }
    refusal
}

/// What a failure comes to by the webhook's failure policy.
fn settle(review: &mut Review<'_>, hook: &Hook, failed: Failed, key: String) -> Result<(), Status> {
    match failed {
        Failed::Refused(status) => Err(status),
        Failed::Calling(why) if hook.ignores_failure => {
            review.audit_annotations.push((key, hook.name.clone()));
            let _ = why;
            Ok(())
        }
        Failed::Calling(why) => Err(Status::internal(why)),
    }
}

fn out_of_time() -> Status {
    Status::new(504, "Timeout", "Timeout: request did not complete within requested timeout")
        .with_causes(Vec::new())
}
