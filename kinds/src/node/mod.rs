//! The node.k8s.io group.

pub mod labels;
mod runtime_class;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(runtime_class::RuntimeClass::new())]
}
