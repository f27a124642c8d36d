//! The resource.k8s.io group: devices, and claims on them.

mod allocation;
mod device;
mod device_capacity;
mod device_claim;
mod device_class;
mod device_config;
mod device_taint;
mod resource_claim;
mod resource_claim_template;
mod resource_slice;
mod sized;

use crate::Kind;
use std::sync::Arc;

const GROUP: &str = "resource.k8s.io";

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(device_class::DeviceClass::new()),
        Arc::new(resource_claim::ResourceClaim::new()),
        Arc::new(resource_claim_template::ResourceClaimTemplate::new()),
        Arc::new(resource_slice::ResourceSlice::new()),
    ]
}
