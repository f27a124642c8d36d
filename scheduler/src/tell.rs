//! What the scheduler writes: bindings, why a pod waits, whom it displaces, and events about all of it.

use crate::pod::Pod;
use crate::resources;
use api::{Value, tree};
use client::{Client, Error, Method};
use stdx::{Clock, Ids};

const JSON: &str = "application/json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// The longest note of an event, in bytes.
const NOTE_BYTES: usize = 1024;

/// Writes with the scheduler's identity. Cheap to clone.
#[derive(Clone)]
pub struct Teller {
    pub client: Client,
    pub clock: Clock,
    pub ids: Ids,
}

impl Teller {
    /// Gives the pod its node. `bound` tells of it.
    pub async fn bind(&self, pod: &Pod) -> Result<(), Error> {
        let binding = tree!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": (pod.name.clone()), "namespace": (pod.namespace.clone()), "uid": (pod.uid.clone())},
            "target": {"kind": "Node", "name": (pod.node.clone())}
        });
        let path = resources::pods().object(&pod.namespace, &pod.name);
        self.client.tell(Method::POST, &format!("{path}/binding"), Some((JSON, &binding))).await
    }

    /// Records that the pod got its node.
    pub async fn bound(&self, pod: &Pod) {
        let note = format!("Successfully assigned {} to {}", pod.key(), pod.node);
        self.event(pod, None, "Normal", "Scheduled", "Binding", &note).await;
    }

    /// Says in the pod's status which node it will get once its volumes are bound.
    pub async fn expect(&self, pod: &Pod) {
        if pod.nominated_node != pod.node {
            self.patch(pod, tree!({"nominatedNodeName": (pod.node.clone())})).await;
        }
    }

    /// Says in the pod's status that no room is being made for it any more.
    pub async fn denominate(&self, pod: &Pod) {
        self.patch(pod, tree!({"nominatedNodeName": null})).await;
    }

    /// Says in the pod's status why it has no node, and for which one room is being made (`None`: as before).
    pub async fn condition(&self, pod: &Pod, reason: &str, message: &str, nominated: Option<&str>) {
        let mut condition = tree!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": null,
            "lastTransitionTime": (self.clock.now().rfc3339())
        });
        if pod.generation > 0 {
            condition.set(&["observedGeneration"], pod.generation);
        }
        let mut status = tree!({"conditions": [(condition)]});
        if let Some(node) = nominated {
            status.set(&["nominatedNodeName"], if node.is_empty() { Value::Null } else { node.into() });
        }
        self.patch(pod, status).await;
        self.event(pod, None, "Warning", "FailedScheduling", "Scheduling", message).await;
    }

    async fn patch(&self, pod: &Pod, status: Value) {
        let path = format!("{}/status", resources::pods().object(&pod.namespace, &pod.name));
        let patch = tree!({"metadata": {"uid": (pod.uid.clone())}, "status": (status)});
        if let Err(error) = self.client.tell(Method::PATCH, &path, Some((STRATEGIC_PATCH, &patch))).await
            && !error.is_not_found()
        {
            tracing::debug!(pod = pod.key(), %error, "the status of a pod is not told");
        }
    }

    /// Makes a pod leave for another.
    ///
    /// # Errors
    /// When it does not go. One that is gone already is none.
    pub async fn preempt(&self, victim: &Pod, preemptor: &Pod, node: &str) -> Result<(), Error> {
        if victim.is_terminating {
            return Ok(());
        }
        let message = format!("{}: preempting to accommodate a higher priority pod", preemptor.scheduler);
        let condition = tree!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": (message),
            "lastTransitionTime": (self.clock.now().rfc3339())
        });
        self.patch(victim, tree!({"conditions": [(condition)]})).await;
        let options = tree!({"preconditions": {"uid": (victim.uid.clone())}});
        match self.client.delete(&resources::pods(), &victim.namespace, &victim.name, &options).await {
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            gone => drop(gone?),
        }
        let note = format!("Preempted by pod {} on node {node}", preemptor.uid);
        self.event(victim, Some(preemptor), "Normal", "Preempted", "Preempting", &note).await;
        Ok(())
    }

    async fn event(
        &self,
        pod: &Pod,
        related: Option<&Pod>,
        ty: &str,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let about = |pod: &Pod| {
            tree!({
                "apiVersion": "v1", "kind": "Pod", "namespace": (pod.namespace.clone()), "name": (pod.name.clone()),
                "uid": (pod.uid.clone()), "resourceVersion": (pod.resource_version.clone())
            })
        };
        let now = self.clock.now();
        let mut event = tree!({
            "metadata": {"name": (format!("{}.{}", pod.name, self.ids.letters(16))), "namespace": (pod.namespace.clone())},
            "eventTime": (now.rfc3339_micro()), "reportingController": (pod.scheduler.clone()),
            "reportingInstance": (pod.scheduler.clone()), "action": action, "reason": reason,
            "regarding": (about(pod)), "note": (truncated(note)), "type": ty
        });
        if let Some(related) = related {
            event.set(&["related"], about(related));
        }
        let path = resources::events().collection(&pod.namespace);
        if let Err(error) = self.client.tell(Method::POST, &path, Some((JSON, &event))).await {
            tracing::debug!(%error, "an event is not recorded");
        }
    }
}

fn truncated(note: &str) -> String {
    const END: &str = " ...";
    if note.len() <= NOTE_BYTES {
        return note.to_owned();
    }
    let mut end = NOTE_BYTES - END.len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{END}", &note[..end])
}
