//! The pods that the API has for this node.

use super::{Pods, Source};
use crate::resources;
use api::Value;
use client::{Client, Informer, key_of};
use std::sync::Arc;

/// On the copies in the API of pods that a node runs by itself.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// Has the registry follow the pods that are bound to a node.
pub fn follow(pods: &Pods, client: Client, node: &str) -> Informer {
    let pods = pods.clone();
    let query = format!("fieldSelector=spec.nodeName%3D{node}");
    let tell = move |was: Option<&Arc<Value>>, is: Option<&Arc<Value>>| change(&pods, was, is);
    Informer::start(client, resources::pods(), &query, Arc::new(tell))
}

fn uid(pod: &Value) -> &str {
    pod.str_at(&["metadata", "uid"])
}

fn is_mirror(pod: &Value) -> bool {
    pod.at(&["metadata", "annotations", MIRROR]).is_some()
}

fn change(pods: &Pods, was: Option<&Arc<Value>>, is: Option<&Arc<Value>>) {
    if let Some(was) = was.filter(|was| is.is_none_or(|is| uid(is) != uid(was))) {
        match is_mirror(was) {
            true => pods.set_mirror(key_of(was), None),
            false => pods.remove(uid(was)),
        }
    }
    let Some(is) = is else { return };
    match is_mirror(is) {
        true => pods.set_mirror(key_of(is), Some(is.clone())),
        false => pods.put(Source::Api, is.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn pod(uid: &str, version: &str) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"namespace": "n", "name": "p", "uid": uid, "resourceVersion": version}}))
    }

    #[tokio::test]
    async fn a_pod_stays_until_its_worker_has_cleaned_up_and_another_may_have_its_name() {
        let (pods, mut starts) = Pods::new();
        change(&pods, None, Some(&pod("a", "1")));
        assert_eq!(starts.recv().await.unwrap().uid, "a");
        change(&pods, Some(&pod("a", "1")), Some(&pod("b", "2")));
        assert_eq!(starts.recv().await.unwrap().uid, "b");
        assert!(pods.by_uid("a").is_none() && pods.has("a"));
        assert!(pods.view("a").unwrap().is_gone);
        assert_eq!(pods.get("n", "p").unwrap().str_at(&["metadata", "uid"]), "b");
        assert!(pods.finish("a") && !pods.has("a"));
        assert!(!pods.finish("b"), "it is to run");
        change(&pods, Some(&pod("b", "2")), None);
        assert!(pods.get("n", "p").is_none() && pods.list().is_empty());
    }

    #[tokio::test]
    async fn what_the_server_answered_counts_unless_something_newer_is_known() {
        let (pods, _starts) = Pods::new();
        change(&pods, None, Some(&pod("a", "5")));
        let version = || pods.by_uid("a").unwrap().str_at(&["metadata", "resourceVersion"]).to_owned();
        pods.renew(&pod("a", "4"));
        assert_eq!(version(), "5");
        pods.renew(&pod("other", "7"));
        assert_eq!(version(), "5");
        pods.renew(&pod("a", "6"));
        assert_eq!(version(), "6");
        change(&pods, Some(&pod("a", "5")), Some(&pod("a", "5")));
        assert_eq!(version(), "6");
    }

    #[tokio::test]
    async fn mirrors_are_not_run_and_carry_the_status_of_static_pods() {
        let (pods, mut starts) = Pods::new();
        pods.put(Source::Folder, pod("static", ""));
        assert_eq!(starts.recv().await.unwrap().uid, "static");
        let mut mirror = Value::clone(&pod("mirror", "1"));
        mirror.set(&["metadata", "annotations"], tree!({MIRROR: "hash"}));
        let mirror = Arc::new(mirror);
        change(&pods, None, Some(&mirror));
        assert!(starts.try_recv().is_err());
        assert_eq!(pods.view("static").unwrap().mirror, Some(mirror.clone()));
        change(&pods, Some(&mirror), None);
        assert_eq!(pods.view("static").unwrap().mirror, None);
    }

    #[tokio::test]
    async fn all_pods_are_known_when_both_sources_have_told() {
        let (pods, _starts) = Pods::new();
        pods.heard_from(Source::Api);
        let settled = pods.clone();
        let waiting = tokio::spawn(async move { settled.settled().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(!pods.is_settled());
        pods.heard_from(Source::Folder);
        waiting.await.unwrap();
        assert!(pods.is_settled());
    }
}
