//! NodePorts: a port of the node is one pod's.

use super::{Filter, Plugin, Rejection};
use crate::change::Change;
use crate::pod::Pod;
use crate::snapshot::Snapshot;

pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter<'a>(&'a self, _: &'a Snapshot, pod: &'a Pod) -> Filter<'a> {
        if pod.ports.is_empty() {
            return Filter::Pass;
        }
        Filter::Check(Box::new(|node| {
            if pod.ports.iter().any(|port| node.ports.iter().any(|taken| port.conflicts(taken))) {
                return Err(Rejection::for_now("node(s) didn't have free ports for the requested pod ports"));
            }
            Ok(())
        }))
    }

    fn may_help(&self, pod: &Pod, change: &Change) -> bool {
        match change {
            Change::Own | Change::Node { old: None, .. } => true,
            Change::PodGone(gone) => {
                gone.ports.iter().any(|freed| pod.ports.iter().any(|p| p.conflicts(freed)))
            }
            _ => false,
        }
    }
}
