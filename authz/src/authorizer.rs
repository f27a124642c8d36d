//! The authorities, and the rule that makes one answer of theirs: the first that has an opinion decides, and
//! what nobody allows is forbidden.

use crate::{Attributes, Permit, components, default_roles, privileged};
use api::{Later, Network, Reader, Status};
use authn::Caller;
use std::sync::Arc;
use stdx::Clock;

/// What an authority says; the text tells why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    /// No authority after this one is asked.
    Deny(String),
    NoOpinion(String),
}

/// A decision, at once or after somebody else was asked.
pub enum Ruling<'a> {
    Now(Decision),
    Later(Later<'a, Decision>),
}

/// One source of rules.
pub trait Authority: Send + Sync {
    /// As upstream names it.
    fn name(&self) -> &'static str;
    /// May `caller` do this?
    fn decide<'a>(&'a self, caller: &'a Caller, asked: &'a Attributes) -> Ruling<'a>;
}

/// What authorities work with.
#[derive(Clone)]
pub struct Settings {
    pub clock: Clock,
    /// The cluster: roles, bindings, and what the pods of a node refer to.
    pub reader: Arc<dyn Reader>,
    /// The way to webhooks.
    pub network: Arc<dyn Network>,
}

impl Settings {
    /// An empty cluster, and no way out.
    pub fn new(clock: Clock) -> Self {
        Settings { clock, reader: Arc::new(()), network: Arc::new(()) }
    }
}

/// Makes an authority; an error text when the settings are wrong.
pub type MakeAuthority = fn(&Settings) -> Result<Box<dyn Authority>, String>;

/// Every authority, in the order they are asked.
pub const AUTHORITIES: &[MakeAuthority] = &[privileged::make, components::make, default_roles::make];

/// Tells who may do what.
pub struct Authorizer {
    authorities: Vec<Box<dyn Authority>>,
}

impl Authorizer {
    /// With the authorities of `AUTHORITIES`. An error text when a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let authorities = AUTHORITIES.iter().map(|make| make(settings)).collect::<Result<_, _>>()?;
        Ok(Authorizer { authorities })
    }

    /// A permit, or the 403 to answer with.
    pub async fn authorize(&self, caller: Caller, asked: Attributes) -> Result<Permit, Status> {
        if caller.is_hypothetical() {
            return Err(asked.forbidden(caller.name(), "nobody calls under this name"));
        }
        match self.decide(&caller, &asked).await {
            Decision::Allow(_) => Ok(Permit::new(caller, asked)),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                Err(asked.forbidden(caller.name(), &reason))
            }
        }
    }

    /// The decision alone, for reviews: it opens nothing.
    pub async fn decide(&self, caller: &Caller, asked: &Attributes) -> Decision {
        let mut reasons = Vec::new();
        for authority in &self.authorities {
            let decision = match authority.decide(caller, asked) {
                Ruling::Now(decision) => decision,
                Ruling::Later(decision) => decision.await,
            };
            match decision {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.authorities.iter().map(|authority| authority.name())).finish()
    }
}

#[cfg(test)]
mod tests;
