//! The group `policy`.

mod pod_disruption_budget;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(pod_disruption_budget::PodDisruptionBudget::new())]
}
