//! Making and deleting pods, many at once: one first, then twice as many each time, so that a refusal that will hit
//! all of them (a quota) is met once and not five hundred times.

use crate::owner::{is_leaving, uid};
use crate::reconcile::{Outcome, unless_gone};
use crate::{Recorder, resources};
use api::Value;
use client::{Cache, Client, Error, Informer};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a batch waits for the copy to show what was done. With an older copy the owner would get its pods twice.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The pods of one owner.
pub struct Batch<'a> {
    pub client: &'a Client,
    /// Catches up with what was done before `create` and `delete` return.
    pub pods: &'a Informer,
    pub recorder: &'a Recorder,
    pub owner: &'a Value,
    pub kind: (&'static str, &'static str),
}

impl Batch<'_> {
    /// Creates the pods; stops after the first group in which one failed, with its error.
    pub async fn create(&self, pods: Vec<Value>) -> Outcome {
        let namespace = self.owner.str_at(&["metadata", "namespace"]).to_owned();
        let mut rest = pods.into_iter();
        let (mut size, mut made, mut failure) = (1, Vec::new(), None);
        while failure.is_none() {
            let mut group = JoinSet::new();
            for pod in rest.by_ref().take(size) {
                let (client, namespace) = (self.client.clone(), namespace.clone());
                group.spawn(async move { client.create(&resources::pods(), &namespace, &pod).await });
            }
            if group.is_empty() {
                break;
            }
            for result in group.join_all().await {
                match result {
                    Ok(pod) => made.push(pod),
                    Err(error) => failure = Some(error),
                }
            }
            size *= 2;
        }
        for pod in &made {
            let message = format!("Created pod: {}", pod.str_at(&["metadata", "name"]));
            self.recorder.normal(self.kind, self.owner, "SuccessfulCreate", &message);
        }
        for pod in &made {
            if !self.pods.caught_up_within(pod, PATIENCE).await {
                failure = failure.or_else(|| Some(behind()));
                break;
            }
        }
        match failure {
            Some(error) if is_namespace_leaving(&error) => Ok(()),
            Some(error) => {
                let message = format!("Error creating: {error}");
                self.recorder.warning(self.kind, self.owner, "FailedCreate", &message);
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Deletes the pods of these names.
    pub async fn delete(&self, names: &[String]) -> Outcome {
        let namespace = self.owner.str_at(&["metadata", "namespace"]).to_owned();
        let mut group = JoinSet::new();
        for name in names {
            let (client, namespace, name) = (self.client.clone(), namespace.clone(), name.clone());
            group.spawn(async move {
                let gone = client.delete(&resources::pods(), &namespace, &name, &Value::Null).await;
                (name, unless_gone(gone))
            });
        }
        let (mut gone, mut failure) = (Vec::new(), None);
        for (name, result) in group.join_all().await {
            match result {
                Ok(_) => gone.push(name),
                Err(error) => {
                    let message = format!("Error deleting: {error}");
                    self.recorder.warning(self.kind, self.owner, "FailedDelete", &message);
                    failure = Some(error);
                }
            }
        }
        for name in &gone {
            let message = format!("Deleted pod: {name}");
            self.recorder.normal(self.kind, self.owner, "SuccessfulDelete", &message);
        }
        let owner = uid(self.owner).to_owned();
        let keys: Vec<String> = gone.iter().map(|name| format!("{namespace}/{name}")).collect();
        let is_gone = |pod: Arc<Value>| is_leaving(&pod) || crate::owner::controller_uid(&pod) != owner;
        let all_gone = |cache: &Cache| keys.iter().all(|key| cache.get(key).is_none_or(is_gone));
        if !self.pods.until_within(all_gone, PATIENCE).await {
            failure = failure.or_else(|| Some(behind()));
        }
        failure.map_or(Ok(()), Err)
    }
}

fn behind() -> Error {
    Error::Broken("the copy of the pods does not keep up".to_owned())
}

/// Nothing more can be made in this namespace: it is being deleted.
pub fn is_namespace_leaving(error: &Error) -> bool {
    let Error::Refused(refusal) = error else { return false };
    let causes = refusal.status.list_at(&["details", "causes"]);
    causes.iter().any(|cause| cause.str_at(&["reason"]) == "NamespaceTerminating")
}
