//! NodeUnschedulable: a cordoned node takes no pods but those that tolerate it.

use super::{Filter, Plugin, Rejection};
use crate::change::Change;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use api::node_selection::Taint;

pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter<'a>(&'a self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        let effect = "NoSchedule".into();
        let cordon = Taint { key: "node.kubernetes.io/unschedulable".into(), value: "".into(), effect };
        if pod.tolerations.iter().any(|toleration| toleration.tolerates(&cordon)) {
            return Filter::Pass;
        }
        Filter::Check(Box::new(|node| {
            if node.is_unschedulable {
                return Err(Rejection::for_good("node(s) were unschedulable"));
            }
            Ok(())
        }))
    }

    fn may_help(&self, _: &Pod, change: &Change) -> bool {
        matches!(change, Change::Own)
            || change.of_node(|old, new| old.is_unschedulable && !new.is_unschedulable)
    }
}
