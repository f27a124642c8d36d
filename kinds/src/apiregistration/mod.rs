//! The apiregistration.k8s.io group.

mod api_service;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(api_service::APIService::new())]
}
