//! Lease: who holds something, since when and for how long; heartbeats of nodes and leaders of components.

use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.coordination.v1.LeaseSpec";
/// Fields of coordinated leader election, which is off by default: dropped unless stored already.
const GATED: [&str; 2] = ["strategy", "preferredHolder"];

pub struct Lease(Info);

impl Lease {
    pub fn new() -> Self {
        let info = Info::new("coordination.k8s.io", "v1", "Lease", "leases");
        Lease(info.conditional_update().creates_on_update())
    }
}

impl Kind for Lease {
    fn info(&self) -> &Info {
        &self.0
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        for field in GATED {
            obj.unset(&["spec", field]);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        for field in GATED {
            if old.at(&["spec", field]).is_none_or(Value::is_null) {
                new.unset(&["spec", field]);
            }
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec");
        let number = |field: &str| obj.i64_at(&["spec", field]);
        let mut faults =
            validation::positive(number("leaseDurationSeconds"), &at.child("leaseDurationSeconds"));
        faults.extend(validation::not_negative(number("leaseTransitions"), &at.child("leaseTransitions")));
        let strategy = obj.str_at(&["spec", "strategy"]);
        if obj.at(&["spec", "strategy"]).is_some_and(|v| !v.is_null()) {
            let path = at.child("strategy").child("strategy");
            faults.extend(if strategy.contains('/') {
                validation::qualified_name(strategy, &path)
            } else {
                validation::one_of(strategy, &["OldestEmulationVersion"], &path)
            });
        }
        if strategy.is_empty() && !obj.str_at(&["spec", "preferredHolder"]).is_empty() {
            let text = "may only be specified if `strategy` is defined";
            faults.push(Fault::forbidden(at.child("preferredHolder"), text));
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::field("Holder", "string", SPEC, "holderIdentity"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), obj.str_at(&["spec", "holderIdentity"]).into(), print::age(obj, now)]
    }
}
