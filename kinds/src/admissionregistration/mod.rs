//! The admissionregistration.k8s.io group: webhooks and policies that judge and change requests.

mod binding;
mod match_condition;
mod match_resources;
mod mutating_admission_policy;
mod mutating_admission_policy_binding;
mod mutating_webhook_configuration;
mod policy;
mod rule;
mod validating_admission_policy;
mod validating_admission_policy_binding;
mod validating_webhook_configuration;
mod webhook;
pub mod webhook_client;

use crate::{Info, Kind};
use std::sync::Arc;

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(mutating_admission_policy::MutatingAdmissionPolicy::new()),
        Arc::new(mutating_admission_policy_binding::MutatingAdmissionPolicyBinding::new()),
        Arc::new(mutating_webhook_configuration::MutatingWebhookConfiguration::new()),
        Arc::new(validating_admission_policy::ValidatingAdmissionPolicy::new()),
        Arc::new(validating_admission_policy_binding::ValidatingAdmissionPolicyBinding::new()),
        Arc::new(validating_webhook_configuration::ValidatingWebhookConfiguration::new()),
    ]
}

/// What all kinds of the group have in common.
fn info(kind: &str, plural: &str) -> Info {
    let info = Info::new("admissionregistration.k8s.io", "v1", kind, plural).cluster_scoped();
    info.categories(&["api-extensions"]).conditional_update().with_generation()
}
