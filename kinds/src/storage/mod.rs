//! The storage.k8s.io group.

mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod parameters;
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;

use crate::Kind;
use std::sync::Arc;

const GROUP: &str = "storage.k8s.io";

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(csi_driver::CSIDriver::new()),
        Arc::new(csi_node::CSINode::new()),
        Arc::new(csi_storage_capacity::CSIStorageCapacity::new()),
        Arc::new(storage_class::StorageClass::new()),
        Arc::new(volume_attachment::VolumeAttachment::new()),
        Arc::new(volume_attributes_class::VolumeAttributesClass::new()),
    ]
}
