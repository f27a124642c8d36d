//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable.
//!
//! Adds the tolerations of `node.kubernetes.io/not-ready` and `node.kubernetes.io/unreachable` (`NoExecute`, 300
//! seconds or as flags say), each unless the pod tolerates it already.

use super::{Plugin, Settings, push};
use crate::review::{Cluster, Review};
use api::{Status, Value, tree};
use futures::future::BoxFuture;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub struct DefaultTolerationSeconds {
    /// By taint, in their order.
    secs: [i64; 2],
}

impl DefaultTolerationSeconds {
    pub fn new(settings: &Settings) -> Self {
        let secs = [settings.not_ready_toleration_secs, settings.unreachable_toleration_secs];
        DefaultTolerationSeconds { secs }
    }
}

impl Plugin for DefaultTolerationSeconds {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.writes("", "pods")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        _: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let Some(pod) = review.object.as_deref_mut() {
            add(pod, self.secs);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn add(pod: &mut Value, secs: [i64; 2]) {
    let given = pod.list_at(&["spec", "tolerations"]);
    let tolerates = |taint: &str| {
        given.iter().any(|toleration| {
            let (key, effect) = (toleration.str_at(&["key"]), toleration.str_at(&["effect"]));
            (key == taint || key.is_empty()) && matches!(effect, "NoExecute" | "")
        })
    };
    let missing: Vec<(&str, i64)> =
        TAINTS.into_iter().zip(secs).filter(|(taint, _)| !tolerates(taint)).collect();
    for (taint, secs) in missing {
        let toleration =
            tree!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": secs});
        push(pod, &["spec"], "tolerations", toleration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_tolerated_is_added() {
        let mut pod =
            tree!({"spec": {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]}});
        add(&mut pod, [300, 300]);
        let keys: Vec<&str> =
            pod.list_at(&["spec", "tolerations"]).iter().map(|t| t.str_at(&["key"])).collect();
        assert_eq!(keys, TAINTS);
        let mut all = tree!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        add(&mut all, [300, 300]);
        assert_eq!(all.list_at(&["spec", "tolerations"]).len(), 1);
    }
}
