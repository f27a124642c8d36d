//! The group `autoscaling`.

mod horizontal_pod_autoscaler;
mod horizontal_pod_autoscaler_v1;
mod metric_spec;
pub mod scale;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(horizontal_pod_autoscaler::HorizontalPodAutoscaler::new())]
}
