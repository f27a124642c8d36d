//! Role: what may be done to which resources of one namespace.

use super::{GROUP, policy_rule};
use crate::{Cx, Info, Kind, NameRule};
use api::{Fault, Value};

pub struct Role(Info);

impl Role {
    pub fn new() -> Self {
        Role(Info::new(GROUP, "v1", "Role", "roles").names(NameRule::PathSegment).creates_on_update())
    }
}

impl Kind for Role {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        policy_rule::faults(obj, true)
    }
}
