//! NodeName: a pod that names its node goes there and nowhere else.

use super::{Filter, Plugin, Rejection};
use crate::pod::Pod;
use crate::snapshot::Snapshot;

pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter<'a>(&'a self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        if pod.node.is_empty() {
            return Filter::Pass;
        }
        Filter::Check(Box::new(|node| {
            let named = node.name == pod.node;
            if named {
                Ok(())
            } else {
                Err(Rejection::for_good("node(s) didn't match the requested node name"))
            }
        }))
    }
}
