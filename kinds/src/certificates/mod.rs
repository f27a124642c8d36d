//! The certificates.k8s.io group.

mod certificate_signing_request;
mod conditions;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(certificate_signing_request::CertificateSigningRequest::new())]
}
