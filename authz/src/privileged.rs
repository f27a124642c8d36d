//! The group `system:masters` may do all, whatever the rules say: the way back in when they are wrong.

use crate::{Attributes, Authority, Decision, Reason, Ruling, Settings};
use authn::Caller;

const GROUP: &str = "system:masters";

struct Privileged;

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make(_: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(Privileged))
}

impl Authority for Privileged {
    fn name(&self) -> &'static str {
        "privileged-group"
    }

    fn decide<'a>(&'a self, caller: &'a Caller, _: &'a Attributes) -> Ruling<'a> {
        Ruling::Now(decide(caller))
    }
}

fn decide(caller: &Caller) -> Decision {
    if caller.in_group(GROUP) { Decision::Allow(Reason::NONE) } else { Decision::NoOpinion(Reason::NONE) }
}
