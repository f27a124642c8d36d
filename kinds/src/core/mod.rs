//! The core group, `/api/v1`.

mod config_map;
pub mod pod_spec;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(config_map::ConfigMap::new())]
}
