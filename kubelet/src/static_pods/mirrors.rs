//! Mirrors: made for each static pod, made anew when somebody changes or deletes them, and removed with their pod.

use super::{Parts, uid};
use crate::pods::MIRROR;
use crate::resources;
use api::{Value, tree};
use client::Error;
use std::collections::HashMap;
use std::sync::Arc;

const HASH: &str = "kubernetes.io/config.hash";

/// What is to be done.
#[derive(Debug, PartialEq)]
enum Step {
    Delete(Arc<Value>),
    Create(Arc<Value>),
}

/// Makes the API show the static pods that run. True when nothing is left to do.
pub async fn reconcile(parts: &Parts, running: &HashMap<String, Arc<Value>>) -> bool {
    let Some(node) = parts.node.object() else { return running.is_empty() };
    let mirrors = parts.pods.mirrors();
    let steps = plan(running, &mirrors, |uid| parts.pods.by_uid(uid).is_some());
    let mut is_done = true;
    for step in steps {
        let done = match &step {
            Step::Delete(mirror) => delete(parts, mirror).await,
            Step::Create(pod) => create(parts, pod, uid(&node)).await,
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a mirror pod is not as it should be");
        }
        is_done = false;
    }
    is_done
}

fn plan(
    running: &HashMap<String, Arc<Value>>,
    mirrors: &[Arc<Value>],
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<Step> {
    let hash = |pod: &Value, name: &str| pod.str_at(&["metadata", "annotations", name]).to_owned();
    let mut steps = Vec::new();
    for mirror in mirrors {
        let is_leaving = mirror.at(&["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null());
        let fits =
            running.get(&client::key_of(mirror)).is_some_and(|pod| hash(pod, HASH) == hash(mirror, MIRROR));
        if is_leaving || !fits {
            steps.push(Step::Delete(mirror.clone()));
        }
    }
    let has_mirror = |key: &String| mirrors.iter().any(|mirror| client::key_of(mirror) == *key);
    for (key, pod) in running {
        if !has_mirror(key) && is_wanted(uid(pod)) {
            steps.push(Step::Create(pod.clone()));
        }
    }
    steps
}

async fn delete(parts: &Parts, mirror: &Value) -> Result<(), Error> {
    let meta = |field: &str| mirror.str_at(&["metadata", field]);
    let options = tree!({"gracePeriodSeconds": 0, "preconditions": {"uid": (meta("uid"))}});
    let gone = parts.client.delete(&resources::pods(), meta("namespace"), meta("name"), &options).await;
    match gone {
        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
        _ => Ok(()),
    }
}

async fn create(parts: &Parts, pod: &Value, node_uid: &str) -> Result<(), Error> {
    let mut mirror = pod.clone();
    mirror.unset(&["metadata", "uid"]);
    let hash = pod.str_at(&["metadata", "annotations", HASH]).to_owned();
    let annotations = mirror.make_map(&["metadata", "annotations"]);
    annotations.insert(MIRROR, hash);
    annotations.sort();
    let owner = tree!({
        "apiVersion": "v1", "kind": "Node", "name": (parts.settings.node_name.clone()), "uid": node_uid,
        "controller": true
    });
    mirror.set(&["metadata", "ownerReferences"], vec![owner]);
    let namespace = pod.str_at(&["metadata", "namespace"]);
    match parts.client.create(&resources::pods(), namespace, &mirror).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, hash: &str) -> (String, Arc<Value>) {
        let mut pod = tree!({"metadata": {"namespace": "default", "name": name, "uid": hash}});
        pod.make_map(&["metadata", "annotations"]).insert(HASH, hash);
        (format!("default/{name}"), Arc::new(pod))
    }

    fn mirror(name: &str, hash: &str, is_leaving: bool) -> Arc<Value> {
        let mut mirror = tree!({"metadata": {"namespace": "default", "name": name}});
        mirror.make_map(&["metadata", "annotations"]).insert(MIRROR, hash);
        if is_leaving {
            mirror.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        }
        Arc::new(mirror)
    }

    #[test]
    fn mirrors_follow_their_pods() {
        let running: HashMap<_, _> = [pod("a", "1"), pod("b", "2")].into();
        let good = mirror("a", "1", false);
        assert_eq!(
            plan(&running, std::slice::from_ref(&good), |_| true),
            [Step::Create(running["default/b"].clone())]
        );
        assert_eq!(plan(&running, std::slice::from_ref(&good), |_| false), []);
        let (old, leaving) = (mirror("b", "1", false), mirror("a", "1", true));
        let both = [old.clone(), leaving.clone()];
        assert_eq!(plan(&running, &both, |_| true), [Step::Delete(old), Step::Delete(leaving)]);
        assert_eq!(
            plan(&HashMap::new(), std::slice::from_ref(&good), |_| true),
            [Step::Delete(good.clone())]
        );
    }
}
