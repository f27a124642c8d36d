//! ClusterRoleBinding: gives a ClusterRole to subjects, everywhere.

use super::{GROUP, binding};
use crate::{Column, Cx, Info, Kind};
use api::{Fault, Value};

pub struct ClusterRoleBinding(Info);

impl ClusterRoleBinding {
    pub fn new() -> Self {
        ClusterRoleBinding(binding::info(
            Info::new(GROUP, "v1", "ClusterRoleBinding", "clusterrolebindings").cluster_scoped(),
        ))
    }
}

impl Kind for ClusterRoleBinding {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        binding::fill(obj);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        binding::faults(obj, &["ClusterRole"], false)
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        self.validate(new, cx).into_iter().chain(binding::role_ref_fault(new, old)).collect()
    }

    fn columns(&self) -> Vec<Column> {
        let role = "RoleRef can only reference a ClusterRole in the global namespace. \
                    If the RoleRef cannot be resolved, the Authorizer must return an error.";
        binding::columns(role, "clusterRoleBinding")
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        binding::cells(obj, now)
    }
}
