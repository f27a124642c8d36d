//! The core group, `/api/v1`.

mod binding;
mod component_status;
mod config_map;
mod data;
mod endpoints;
pub(crate) mod event;
mod limit_range;
mod namespace;
mod node;
mod persistent_volume;
pub(crate) mod persistent_volume_claim;
mod persistent_volume_source;
mod pod;
pub mod pod_spec;
mod pod_status;
mod pod_table;
mod pod_template;
mod replication_controller;
mod resource_quota;
mod secret;
mod service;
mod service_account;
mod service_families;
mod service_validation;

pub use service::init_families as init_service_families;

use crate::{Kind, Verbs};
use std::sync::Arc;

/// What a proxy has: every method, by the verbs that they mean.
const PROXY_VERBS: Verbs = Verbs::CREATE.and(Verbs::DELETE).and(Verbs::LENS);

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(binding::Binding::new()),
        Arc::new(component_status::ComponentStatus::new()),
        Arc::new(config_map::ConfigMap::new()),
        Arc::new(endpoints::Endpoints::new()),
        Arc::new(event::Event::new()),
        Arc::new(limit_range::LimitRange::new()),
        Arc::new(namespace::Namespace::new()),
        Arc::new(node::Node::new()),
        Arc::new(persistent_volume_claim::PersistentVolumeClaim::new()),
        Arc::new(persistent_volume::PersistentVolume::new()),
        Arc::new(pod::Pod::new()),
        Arc::new(pod_template::PodTemplate::new()),
        Arc::new(replication_controller::ReplicationController::new()),
        Arc::new(resource_quota::ResourceQuota::new()),
        Arc::new(secret::Secret::new()),
        Arc::new(service_account::ServiceAccount::new()),
        Arc::new(service::Service::new()),
    ]
}
