//! What the components of this process may do, until RBAC gives them upstream's roles: everything, under their
//! own names. Only callers wired in process count; the same name in a certificate opens nothing.
//!
//! To be removed with the arrival of RBAC, which brings a role for each of them.

use crate::{Attributes, Authority, Decision, Reason, Ruling, Settings};
use authn::Caller;

/// How the names of components begin.
const COMPONENTS: [&str; 4] =
    ["system:apiserver", "system:controller:", "system:kube-", "system:serviceaccount:kube-system:"];

struct Components;

/// See `AUTHORITIES`.
#[allow(clippy::unnecessary_wraps)] // the shape of every authority's maker
pub(crate) fn make(_: &Settings) -> Result<Box<dyn Authority>, String> {
    Ok(Box::new(Components))
}

impl Authority for Components {
    fn name(&self) -> &'static str {
        "components"
    }

    fn decide<'a>(&'a self, caller: &'a Caller, _: &'a Attributes) -> Ruling<'a> {
        Ruling::Now(decide(caller))
    }
}

fn decide(caller: &Caller) -> Decision {
    let component = COMPONENTS.iter().any(|start| caller.name().starts_with(start));
    if component && caller.is_in_process() {
        Decision::Allow(Reason::NONE)
    } else {
        Decision::NoOpinion(Reason::NONE)
    }
}
