//! Evictions: a pod is deleted, if its disruption budget allows.

use super::{Input, direct, done, input};
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::edit::delete::delete_named;
use crate::edit::delete_options::DeleteOptions;
use crate::edit::{admission_check, admit};
use crate::negotiate::Form;
use admission::Operation;
use api::selector::LabelSelector;
use api::{Fault, Status, Value, status::Cause};
use bytes::Bytes;

/// Pods that a budget remembers as evicted but not gone yet; upstream's bound.
const MAX_DISRUPTED_PODS: usize = 2000;
const MAX_ATTEMPTS: usize = 16;

pub async fn create(call: &Call, form: Form, body: &Bytes) -> Result<Answer, Status> {
    let Input { object: mut eviction, options } = input(call, "policy", "Eviction", body)?;
    let name = call.target.name.as_str();
    admit(call, Operation::Create, name, Some(&mut eviction), None, options.dry_run).await?;
    if Call::name_of(&eviction) != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let delete = delete_options(&eviction, name, options.dry_run)?;
    admission_check(call, Operation::Create, name, Some(&mut eviction), None, delete.dry_run).await?;
    evict(call, form, name, delete).await
}

fn delete_options(eviction: &Value, name: &str, dry_run: bool) -> Result<DeleteOptions, Status> {
    let none = Value::map();
    let given = eviction.get("deleteOptions").unwrap_or(&none);
    let field = "ignoreStoreReadErrorWithClusterBreakingPotential";
    if given.bool_at(&[field]) {
        let why = "can not be set for pod eviction, try after removing the option";
        let fault = Fault::invalid(format!("deleteOptions.{field}"), true, why);
        return Err(Status::invalid("policy", "Eviction", name, &[fault]));
    }
    let mut options = DeleteOptions::from_value(given)?;
    options.dry_run |= dry_run;
    Ok(options)
}

async fn evict(call: &Call, form: Form, name: &str, options: DeleteOptions) -> Result<Answer, Status> {
    let pods = direct::kind(call, "", "pods")?;
    let given = options.resource_version.is_some();
    let mut attempts = 0..MAX_ATTEMPTS;
    loop {
        let pod = direct::get(call, &*pods, name).await?;
        let budgets = if is_undisrupted(&pod) { Vec::new() } else { budgets(call, &pod).await };
        let at_no_cost = match budgets.as_slice() {
            [] => is_undisrupted(&pod) && !is_over(&pod) && !given,
            [budget] if spares_budget(&pod, budget) => true,
            [budget] => {
                take_disruption(call, budget, name, options.dry_run).await?;
                false
            }
            _ => return several_budgets(form),
        };
        let mut options = options.clone();
        if at_no_cost {
            // Provided that it has not become healthy meanwhile.
            options.resource_version = Some(pod.str_at(&["metadata", "resourceVersion"]).to_owned());
        }
        match (mark_and_delete(call, name, options).await, budgets.first()) {
            (Ok(()), _) => return done(form),
            (Err(status), _) if status.code != 409 || given || !at_no_cost => return Err(status),
            (Err(_), _) if attempts.next().is_some() => {}
            (Err(_), Some(budget)) => return Err(still_processed(budget)),
            (Err(status), None) => return Err(status),
        }
    }
}

async fn take_disruption(call: &Call, budget: &Value, pod: &str, dry_run: bool) -> Result<(), Status> {
    let kind = direct::kind(call, "policy", "poddisruptionbudgets")?;
    let spend = |budget: &mut Value| spend(budget, pod, &call.now);
    direct::update(call, &*kind, Call::name_of(budget), dry_run, spend).await.map(|_| ())
}

/// Pods that no budget counts: over, not begun, or going anyway.
fn is_undisrupted(pod: &Value) -> bool {
    is_over(pod) || pod.str_at(&["status", "phase"]) == "Pending"
}

fn is_over(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed") || crate::metadata::is_deleting(pod)
}

async fn budgets(call: &Call, pod: &Value) -> Vec<Value> {
    let all = call.server.find_all("policy", "poddisruptionbudgets", call.namespace()).await;
    let labels = pod.map_at(&["metadata", "labels"]);
    let guards = |budget: &Value| {
        let selector = budget.at(&["spec", "selector"]);
        LabelSelector::from_value(selector).is_ok_and(|selector| selector.matches(labels))
    };
    all.into_iter().filter(guards).collect()
}

/// Upstream's answer is 201 with a failure in it.
fn several_budgets(form: Form) -> Result<Answer, Status> {
    let why =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    answer::tree(form, 201, &Status::unclassified(why).to_value())
}

fn count(budget: &Value, field: &str) -> i64 {
    budget.i64_at(&["status", field]).unwrap_or(0)
}

/// An unhealthy pod may go at no cost, when the budget says so or holds without it.
fn spares_budget(pod: &Value, budget: &Value) -> bool {
    let conditions = pod.list_at(&["status", "conditions"]);
    let ready = conditions.iter().any(|c| c.str_at(&["type"]) == "Ready" && c.str_at(&["status"]) == "True");
    let desired = count(budget, "desiredHealthy");
    let always = budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    !ready && (always || (count(budget, "currentHealthy") >= desired && desired > 0))
}

fn too_many(text: String, retry_after_secs: Option<u32>) -> Status {
    let why = "Cannot evict pod as it would violate the pod's disruption budget.";
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message: text, field: String::new() };
    let mut status = Status::new(429, "TooManyRequests", why).with_causes(vec![cause]);
    status.retry_after_secs = retry_after_secs;
    status
}

fn still_processed(budget: &Value) -> Status {
    let name = Call::name_of(budget);
    too_many(format!("The disruption budget {name} is still being processed by the server."), Some(10))
}

/// Takes one disruption from a budget, or says why there is none.
fn spend(budget: &mut Value, pod: &str, now: &str) -> Result<(), Status> {
    let generation = budget.i64_at(&["metadata", "generation"]).unwrap_or(0);
    if count(budget, "observedGeneration") < generation {
        return Err(still_processed(budget));
    }
    let forbidden =
        |why: &str| Status::forbidden("policy", "poddisruptionbudget", Call::name_of(budget), why);
    let allowed = count(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if budget.map_at(&["status", "disruptedPods"]).is_some_and(|pods| pods.len() > MAX_DISRUPTED_PODS) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(forbidden(why));
    }
    if allowed == 0 {
        return Err(too_many(why_not(budget), None));
    }
    budget.set(&["status", "disruptionsAllowed"], allowed - 1);
    if allowed == 1 {
        let observed = count(budget, "observedGeneration");
        let rest = [
            ("reason", Value::from("InsufficientPods")),
            ("message", Value::from("")),
            ("observedGeneration", Value::from(observed)),
        ];
        direct::set_condition(budget, "DisruptionAllowed", "False", &rest, now);
    }
    budget.make_map(&["status", "disruptedPods"]).insert(pod, now);
    Ok(())
}

fn why_not(budget: &Value) -> String {
    let name = Call::name_of(budget);
    let conditions = budget.list_at(&["status", "conditions"]);
    let told = conditions.iter().find(|c| {
        c.str_at(&["type"]) == "DisruptionAllowed"
            && c.str_at(&["status"]) == "False"
            && !c.str_at(&["message"]).is_empty()
    });
    let (current, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    match told.map(|c| (c.str_at(&["reason"]), c.str_at(&["message"]))) {
        Some(("SyncFailed", message)) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        ),
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        Some((reason, message)) => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
            )
        }
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

/// Tells the pod why it goes, then deletes it as asked.
async fn mark_and_delete(call: &Call, name: &str, mut options: DeleteOptions) -> Result<(), Status> {
    if !options.dry_run {
        let pods = direct::kind(call, "", "pods")?;
        let rest = [
            ("reason", Value::from("EvictionByEvictionAPI")),
            ("message", Value::from("Eviction API: evicting")),
        ];
        let marked = direct::update(call, &*pods, name, false, |pod| {
            check_preconditions(&options, pod)?;
            direct::set_condition(pod, "DisruptionTarget", "True", &rest, &call.now);
            Ok(())
        });
        let marked = marked.await?;
        if options.resource_version.is_some() {
            options.resource_version = Some(marked.str_at(&["metadata", "resourceVersion"]).to_owned());
        }
    }
    delete_named(call, name, options).await.map(|_| ())
}

fn check_preconditions(options: &DeleteOptions, pod: &Value) -> Result<(), Status> {
    let wanted = [
        ("UID", &options.uid, "uid", "deleted and then recreated"),
        ("ResourceVersion", &options.resource_version, "resourceVersion", "modified"),
    ];
    for (what, wanted, field, happened) in wanted {
        let found = pod.str_at(&["metadata", field]);
        if let Some(wanted) = wanted.as_deref().filter(|w| !w.is_empty() && *w != found) {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been {happened}"
            );
            return Err(Status::conflict("", "Pod", Call::name_of(pod), &why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_spent_budget_says_what_it_needs() {
        let mut budget = tree!({
            "metadata": {"name": "b", "generation": 1},
            "status": {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1, "disruptionsAllowed": 0}
        });
        let status = spend(&mut budget, "p", "2024-01-01T00:00:00Z").unwrap_err();
        assert_eq!((status.code, status.retry_after_secs), (429, None));
        let causes = &status.details.unwrap().causes;
        assert_eq!(causes[0].message, "The disruption budget b needs 1 healthy pods and has 1 currently");
    }

    #[test]
    fn a_disruption_is_taken_and_the_pod_remembered() {
        let mut budget = tree!({"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 1}});
        spend(&mut budget, "p", "2024-01-01T00:00:00Z").unwrap();
        assert_eq!(count(&budget, "disruptionsAllowed"), 0);
        assert_eq!(budget.str_at(&["status", "disruptedPods", "p"]), "2024-01-01T00:00:00Z");
        let conditions = budget.list_at(&["status", "conditions"]);
        assert_eq!(conditions[0].str_at(&["reason"]), "InsufficientPods");
    }

    #[test]
    fn unready_pods_go_when_the_budget_holds_without_them() {
        let budget = tree!({"status": {"desiredHealthy": 1, "currentHealthy": 1}});
        assert!(spares_budget(&tree!({"status": {}}), &budget));
        let ready = tree!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(!spares_budget(&ready, &budget));
    }
}
