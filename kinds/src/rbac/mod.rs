//! The rbac.authorization.k8s.io group.

mod binding;
mod cluster_role;
mod cluster_role_binding;
mod policy_rule;
mod role;
mod role_binding;

use crate::Kind;
use std::sync::Arc;

/// The group's name, which bindings also carry in `roleRef.apiGroup`.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(cluster_role_binding::ClusterRoleBinding::new()),
        Arc::new(cluster_role::ClusterRole::new()),
        Arc::new(role_binding::RoleBinding::new()),
        Arc::new(role::Role::new()),
    ]
}
