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
