//! The authorities, and the rule that makes one answer of theirs: the first that has an opinion decides, and
//! what nobody allows is forbidden.

use crate::{Attributes, Permit, components, default_roles, privileged};
use api::Status;
use authn::Caller;

/// What an authority says; the text tells why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    /// No authority after this one is asked.
    Deny(String),
    NoOpinion(String),
}

/// One source of rules.
pub trait Authority: Send + Sync {
    /// As upstream names it.
    fn name(&self) -> &'static str;
    /// May `caller` do this?
    fn decide(&self, caller: &Caller, asked: &Attributes) -> Decision;
}

/// Every authority, in the order they are asked.
pub const AUTHORITIES: &[fn() -> Box<dyn Authority>] =
    &[privileged::make, components::make, default_roles::make];

/// Tells who may do what.
pub struct Authorizer {
    authorities: Vec<Box<dyn Authority>>,
}

impl Authorizer {
    /// With the authorities of `AUTHORITIES`.
    pub fn new() -> Self {
        Authorizer { authorities: AUTHORITIES.iter().map(|make| make()).collect() }
    }

    /// A permit, or the 403 to answer with. Async because authorities to come ask elsewhere; those of today
    /// never wait.
    pub async fn authorize(&self, caller: Caller, asked: Attributes) -> Result<Permit, Status> {
        if caller.is_hypothetical() {
            return Err(asked.forbidden(caller.name(), "nobody calls under this name"));
        }
        match self.decide(&caller, &asked) {
            Decision::Allow(_) => Ok(Permit::new(caller, asked)),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                Err(asked.forbidden(caller.name(), &reason))
            }
        }
    }

    /// The decision alone, for reviews: it opens nothing.
    pub fn decide(&self, caller: &Caller, asked: &Attributes) -> Decision {
        let mut reasons = Vec::new();
        for authority in &self.authorities {
            match authority.decide(caller, asked) {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }
}

impl Default for Authorizer {
    fn default() -> Self {
        Authorizer::new()
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.authorities.iter().map(|authority| authority.name())).finish()
    }
}

#[cfg(test)]
mod tests;
