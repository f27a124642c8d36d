//! The networking.k8s.io group.

pub mod address;
mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod reference;
mod service_cidr;

use crate::Kind;
use std::sync::Arc;

const GROUP: &str = "networking.k8s.io";

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(ingress_class::IngressClass::new()),
        Arc::new(ingress::Ingress::new()),
        Arc::new(ip_address::IPAddress::new()),
        Arc::new(network_policy::NetworkPolicy::new()),
        Arc::new(service_cidr::ServiceCIDR::new()),
    ]
}
