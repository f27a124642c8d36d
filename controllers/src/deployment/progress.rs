//! The status of a deployment: counts over its replica sets, and the conditions Available, Progressing and
//! ReplicaFailure. Pure.

use super::scale::{max_unavailable, replicas, total};
use crate::conditions;
use api::{Value, tree};
use std::time::Duration;
use stdx::Time;

/// A deadline or limit of this size means none.
const NONE: i64 = i32::MAX as i64;

/// How long a rollout may make no progress.
pub fn deadline(deployment: &Value) -> Option<Duration> {
    let seconds = deployment.i64_at(&["spec", "progressDeadlineSeconds"]).filter(|s| *s != NONE)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// How many old replica sets are kept.
pub fn history_limit(deployment: &Value) -> Option<usize> {
    let limit = deployment.i64_at(&["spec", "revisionHistoryLimit"]).filter(|l| *l != NONE)?;
    usize::try_from(limit).ok()
}

pub fn condition(ty: &str, status: &str, now: Time, reason: &str, message: &str) -> Value {
    let now = now.rfc3339();
    tree!({
        "type": ty, "status": status, "lastUpdateTime": now.as_str(), "lastTransitionTime": now.as_str(),
        "reason": reason, "message": message
    })
}

/// The Progressing condition.
pub fn progressing(deployment: &Value) -> Option<&Value> {
    conditions::find(deployment.list_at(&["status", "conditions"]), "Progressing")
}

/// Counts, and whether enough is available; other conditions are kept.
pub fn status(deployment: &Value, new: Option<&Value>, old: &[Value], now: Time) -> Value {
    let sum = |field: &str| -> i64 {
        old.iter().chain(new).map(|set| set.i64_at(&["status", field]).unwrap_or(0)).sum()
    };
    let up = sum("availableReplicas");
    let mut status = tree!({
        "observedGeneration": deployment.i64_at(&["metadata", "generation"]).unwrap_or(0),
        "replicas": sum("replicas"),
        "updatedReplicas": new.and_then(|set| set.i64_at(&["status", "replicas"])).unwrap_or(0),
        "readyReplicas": sum("readyReplicas"),
        "availableReplicas": up,
        "unavailableReplicas": (total(old.iter().chain(new)) - up).max(0),
        "terminatingReplicas": sum("terminatingReplicas")
    });
    if let Some(count) = deployment.at(&["status", "collisionCount"]) {
        status.set(&["collisionCount"], count.clone());
    }
    let mut list = deployment.list_at(&["status", "conditions"]).to_vec();
    let enough = up >= replicas(deployment) - max_unavailable(deployment);
    let (state, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    conditions::set(&mut list, condition("Available", state, now, reason, message));
    status.set(&["conditions"], Value::List(list));
    status
}

/// True when everything of a status is as the deployment asks.
pub fn is_complete(deployment: &Value, status: &Value) -> bool {
    let wanted = replicas(deployment);
    let generation = deployment.i64_at(&["metadata", "generation"]).unwrap_or(0);
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|f| count(status, f) == wanted)
        && count(status, "observedGeneration") >= generation
}

fn count(status: &Value, field: &str) -> i64 {
    status.i64_at(&[field]).unwrap_or(0)
}

/// True when a status is nearer to the aim than the deployment's last one.
fn is_nearer(deployment: &Value, status: &Value) -> bool {
    let empty = Value::map();
    let last = deployment.get("status").unwrap_or(&empty);
    let outdated = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
    count(status, "updatedReplicas") > count(last, "updatedReplicas")
        || outdated(status) < outdated(last)
        || count(status, "readyReplicas") > count(last, "readyReplicas")
        || count(status, "availableReplicas") > count(last, "availableReplicas")
}

/// When the rollout counts as stuck, unless something happens.
fn times_out_at(deployment: &Value) -> Option<Time> {
    let since = api::time::parse(progressing(deployment)?.str_at(&["lastUpdateTime"])).ok()?;
    Some(since.plus(deadline(deployment)?))
}

/// The status during a rollout: says also how that goes, and what hinders replica sets.
pub fn rollout_status(deployment: &Value, new: Option<&Value>, old: &[Value], now: Time) -> Value {
    let mut status = status(deployment, new, old, now);
    let mut list =
        status.unset(&["conditions"]).and_then(|l| l.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    if deadline(deployment).is_none() {
        conditions::remove(&mut list, "Progressing");
    } else {
        note_progress(deployment, new, &status, &mut list, now);
    }
    match failure(new, old) {
        Some(failure) => {
            conditions::set(&mut list, failure);
        }
        None => conditions::remove(&mut list, "ReplicaFailure"),
    }
    status.set(&["conditions"], Value::List(list));
    status
}

fn note_progress(deployment: &Value, new: Option<&Value>, status: &Value, list: &mut Vec<Value>, now: Time) {
    let current = progressing(deployment);
    let reason = current.map_or("", |c| c.str_at(&["reason"]));
    if count(status, "replicas") == count(status, "updatedReplicas") && reason == "NewReplicaSetAvailable" {
        return;
    }
    let subject = match new {
        Some(set) => format!("ReplicaSet \"{}\"", set.str_at(&["metadata", "name"])),
        None => format!("Deployment \"{}\"", deployment.str_at(&["metadata", "name"])),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        conditions::set(list, condition("Progressing", "True", now, "NewReplicaSetAvailable", &message));
    } else if is_nearer(deployment, status) {
        let message = format!("{subject} is progressing.");
        let mut condition = condition("Progressing", "True", now, "ReplicaSetUpdated", &message);
        if let Some(current) = current {
            if current.str_at(&["status"]) == "True" {
                condition.set(&["lastTransitionTime"], current.str_at(&["lastTransitionTime"]));
            }
            conditions::remove(list, "Progressing");
        }
        conditions::set(list, condition);
    } else if reason == "ProgressDeadlineExceeded" || times_out_at(deployment).is_some_and(|at| at < now) {
        let message = format!("{subject} has timed out progressing.");
        conditions::set(list, condition("Progressing", "False", now, "ProgressDeadlineExceeded", &message));
    }
}

/// What hinders a replica set, the new one's trouble first.
fn failure(new: Option<&Value>, old: &[Value]) -> Option<Value> {
    let mut sets = new.into_iter().chain(old);
    let found =
        sets.find_map(|s| conditions::find(s.list_at(&["status", "conditions"]), "ReplicaFailure"))?;
    let text = |field: &str| found.str_at(&[field]);
    let since = text("lastTransitionTime");
    Some(tree!({
        "type": "ReplicaFailure", "status": text("status"), "lastUpdateTime": since, "lastTransitionTime": since,
        "reason": text("reason"), "message": text("message")
    }))
}

/// How long until a rollout that makes no progress must be looked at again; nothing when there is no need.
pub fn look_again_in(deployment: &Value, status: &Value, now: Time) -> Option<Duration> {
    let reason = progressing(deployment)?.str_at(&["reason"]);
    if is_complete(deployment, status) || reason == "ProgressDeadlineExceeded" {
        return None;
    }
    Some(times_out_at(deployment)?.since(now) + Duration::from_secs(1))
}

/// The Progressing condition that says that a deployment is paused, or goes on; nothing when it is said already.
pub fn pause_condition(deployment: &Value, now: Time) -> Option<Value> {
    deadline(deployment)?;
    let reason = progressing(deployment).map_or("", |c| c.str_at(&["reason"]));
    let said = reason == "DeploymentPaused";
    match deployment.bool_at(&["spec", "paused"]) {
        _ if reason == "ProgressDeadlineExceeded" => None,
        true if !said => {
            Some(condition("Progressing", "Unknown", now, "DeploymentPaused", "Deployment is paused"))
        }
        false if said => {
            Some(condition("Progressing", "Unknown", now, "DeploymentResumed", "Deployment is resumed"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Value {
        tree!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 2, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}})
    }

    fn set(replicas: i64, up: i64) -> Value {
        tree!({"metadata": {"name": "web-1"}, "spec": {"replicas": replicas},
            "status": {"replicas": replicas, "readyReplicas": up, "availableReplicas": up}})
    }

    fn reasons(status: &Value) -> Vec<&str> {
        status.list_at(&["conditions"]).iter().map(|c| c.str_at(&["reason"])).collect()
    }

    #[test]
    fn a_rollout_progresses_then_is_complete() {
        let now = Time::from_secs(1_000_000);
        let status = rollout_status(&deployment(), Some(&set(2, 0)), &[], now);
        assert_eq!(reasons(&status), ["MinimumReplicasUnavailable", "ReplicaSetUpdated"]);
        assert_eq!(status.i64_at(&["unavailableReplicas"]), Some(2));
        let mut later = deployment();
        later.set(&["status"], status);
        let status = rollout_status(&later, Some(&set(2, 2)), &[], now);
        assert_eq!(reasons(&status), ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);
        assert!(is_complete(&later, &status));
    }

    #[test]
    fn a_rollout_without_progress_times_out() {
        let now = Time::from_secs(1_000_000);
        let mut stuck = deployment();
        let status = rollout_status(&stuck, Some(&set(2, 0)), &[], now);
        stuck.set(&["status"], status.clone());
        assert_eq!(look_again_in(&stuck, &status, now), Some(Duration::from_secs(601)));
        let late = now.plus(Duration::from_secs(602));
        let status = rollout_status(&stuck, Some(&set(2, 0)), &[], late);
        assert_eq!(reasons(&status), ["MinimumReplicasUnavailable", "ProgressDeadlineExceeded"]);
    }

    #[test]
    fn pausing_and_resuming_are_said_once() {
        let now = Time::from_secs(0);
        let mut paused = deployment();
        paused.set(&["spec", "paused"], true);
        let said = pause_condition(&paused, now).unwrap();
        assert_eq!(said.str_at(&["reason"]), "DeploymentPaused");
        paused.set(&["status", "conditions"], tree!([said]));
        assert_eq!(pause_condition(&paused, now), None);
        paused.set(&["spec", "paused"], false);
        assert_eq!(pause_condition(&paused, now).unwrap().str_at(&["reason"]), "DeploymentResumed");
    }
}
