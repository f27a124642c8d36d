//! MutatingAdmissionPolicyBinding: puts a mutating policy to work.

use super::{binding, match_resources};
use crate::{Column, Cx, Info, Kind};
use api::{Fault, Path, Value};

pub struct MutatingAdmissionPolicyBinding(Info);

impl MutatingAdmissionPolicyBinding {
    pub fn new() -> Self {
        let plural = "mutatingadmissionpolicybindings";
        MutatingAdmissionPolicyBinding(super::info("MutatingAdmissionPolicyBinding", plural))
    }
}

impl Kind for MutatingAdmissionPolicyBinding {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        binding::fill(obj);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec").child("matchResources");
        let operations = match_resources::mutating_operation_faults(obj.at(&["spec", "matchResources"]), &at);
        binding::faults(obj).into_iter().chain(operations).collect()
    }

    fn columns(&self) -> Vec<Column> {
        binding::columns()
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        binding::cells(obj, now)
    }
}
