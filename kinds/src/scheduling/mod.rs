//! The group `scheduling.k8s.io`.

mod priority_class;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(priority_class::PriorityClass::new())]
}
