//! The apiextensions.k8s.io group: definitions of custom resources, their defaults and rules. Serving the resources they
//! define is another room's.

mod approval;
mod conversion;
mod custom_resource_definition;
mod defaults;
pub mod field_path;
pub(crate) mod formats;
mod internal_spec;
mod names;
mod rule_expressions;
mod schema_rules;
mod schema_walk;
mod spec;
pub mod structural;
mod version;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(custom_resource_definition::CustomResourceDefinition::new())]
}
