//! The group `apps`.

mod controller_revision;
mod daemon_set;
mod deployment;
pub(crate) mod replica_set;
mod stateful_set;
pub(crate) mod template;
pub(crate) mod workload;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(controller_revision::ControllerRevision::new()),
        Arc::new(daemon_set::DaemonSet::new()),
        Arc::new(deployment::Deployment::new()),
        Arc::new(replica_set::ReplicaSet::new()),
        Arc::new(stateful_set::StatefulSet::new()),
    ]
}
