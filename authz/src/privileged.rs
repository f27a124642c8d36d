//! The group `system:masters` may do all, whatever the rules say: the way back in when they are wrong.

use crate::{Attributes, Authority, Decision};
use authn::Caller;

const GROUP: &str = "system:masters";

struct Privileged;

/// See `AUTHORITIES`.
pub(crate) fn make() -> Box<dyn Authority> {
    Box::new(Privileged)
}

impl Authority for Privileged {
    fn name(&self) -> &'static str {
        "privileged-group"
    }

    fn decide(&self, caller: &Caller, _: &Attributes) -> Decision {
        if caller.in_group(GROUP) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }
}
