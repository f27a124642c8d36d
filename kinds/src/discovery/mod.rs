//! The discovery.k8s.io group.

mod endpoint_slice;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(endpoint_slice::EndpointSlice::new())]
}
