//! ResourceClaim: devices that are asked for, and what was allocated.

use super::{GROUP, allocation, device_claim};
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, keep_field, lens, print, validation};
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.resource.v1.ResourceClaimSpec";

pub struct ResourceClaim(Info);

impl ResourceClaim {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "ResourceClaim", "resourceclaims");
        ResourceClaim(info.with_status().returns_deleted())
    }
}

/// `pending`, `allocated,reserved`, `deleted,allocated`, …
fn state(obj: &Value) -> String {
    let has = |path: &[&str]| obj.at(path).is_some_and(|v| !v.is_null());
    let deleted = has(&["metadata", "deletionTimestamp"]);
    let allocated = has(&["status", "allocation"]);
    let reserved = !obj.list_at(&["status", "reservedFor"]).is_empty();
    let states = [
        ("deleted", deleted),
        ("pending", !allocated && !deleted),
        ("allocated", allocated),
        ("reserved", allocated && reserved),
    ];
    states.iter().filter(|(_, holds)| *holds).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

impl Kind for ResourceClaim {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        device_claim::fill(obj.get_mut("spec"));
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "spec");
        lens::keep_labels_and_owners(new, old);
        allocation::drop_deallocated(new, old);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        device_claim::faults(obj.get("spec"), &Path::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        if validation::same(new.get("spec"), old.get("spec")) {
            return Vec::new();
        }
        vec![Fault::invalid("spec", internal_form(new.get("spec"), SPEC), validation::IMMUTABLE)]
    }

    fn validate_lens(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        allocation::faults(new, old)
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "status" => vec![vec!["metadata"], vec!["spec"]],
            _ => vec![vec!["status"]],
        }
    }

    fn columns(&self) -> Vec<Column> {
        let text = "A summary of the current state (allocated, pending, reserved, etc.).";
        vec![Column::name(), Column::text("State", "string", text), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), state(obj).into(), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_state_is_summed_up() {
        assert_eq!(state(&tree!({})), "pending");
        let claim = tree!({"metadata": {"deletionTimestamp": "t"}, "status": {"allocation": {}, "reservedFor": [{}]}});
        assert_eq!(state(&claim), "deleted,allocated,reserved");
    }
}
