//! RoleBinding: gives a Role or ClusterRole to subjects, within one namespace.

use super::{GROUP, binding};
use crate::{Column, Cx, Info, Kind};
use api::{Fault, Value};

pub struct RoleBinding(Info);

impl RoleBinding {
    pub fn new() -> Self {
        RoleBinding(binding::info(Info::new(GROUP, "v1", "RoleBinding", "rolebindings")))
    }
}

impl Kind for RoleBinding {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        binding::fill(obj);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        binding::faults(obj, &["Role", "ClusterRole"], true)
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        self.validate(new, cx).into_iter().chain(binding::role_ref_fault(new, old)).collect()
    }

    fn columns(&self) -> Vec<Column> {
        let role = "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. \
                    If the RoleRef cannot be resolved, the Authorizer must return an error.";
        binding::columns(role, "roleBinding")
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        binding::cells(obj, now)
    }
}
