//! The authorities, and the rule that makes one answer of theirs: the first that has an opinion decides, and
//! what nobody allows is forbidden.

use crate::explain::{Explained, Step};
use crate::{Attributes, Permit, Reason, Rules, apiserver, components, node, privileged, rbac};
use api::{Later, Network, Reader, Status};
use authn::Caller;
use std::sync::Arc;
use stdx::Clock;

/// What an authority says, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(Reason),
    /// No authority after this one is asked.
    Deny(Reason),
    NoOpinion(Reason),
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
    /// Reads what it decides by and begins to follow it. Called once, before the first question.
    fn begin(&self) -> Later<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    /// The rules that apply to `caller` in a namespace (empty for the cluster); `None` from who decides without any.
    fn rules(&self, _caller: &Caller, _namespace: &str) -> Option<Rules> {
        None
    }
    /// What was looked at for a decision.
    fn explain(&self, _caller: &Caller, _asked: &Attributes) -> Explained {
        Explained::default()
    }
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
pub const AUTHORITIES: &[MakeAuthority] =
    
    &[privileged::make, apiserver::make, components::make, node::make, rbac::make];

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

    /// Lets every authority read what it decides by, and follow it from then on.
    pub async fn begin(&self) {
        for authority in &self.authorities {
            authority.begin().await;
        }
    }

    /// A permit, or the 403 to answer with; the 500 when an authority failed and no other allows.
    pub async fn authorize(&self, caller: Caller, asked: Attributes) -> Result<Permit, Status> {
        if caller.is_hypothetical() {
            return Err(asked.forbidden(caller.name(), "nobody calls under this name"));
        }
        match self.decide(&caller, &asked).await {
            Decision::Allow(reason) => Ok(Permit::new(caller, asked, reason)),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => match reason.error() {
                Some(error) => Err(Status::internal(error)),
                None => Err(asked.forbidden(caller.name(), &reason.to_string())),
            },
        }
    }

    /// The decision alone, for reviews: it opens nothing. The reasons of those without an opinion are joined.
    pub async fn decide(&self, caller: &Caller, asked: &Attributes) -> Decision {
        let mut without = Vec::new();
        for authority in &self.authorities {
            let decision = match authority.decide(caller, asked) {
                Ruling::Now(decision) => decision,
                Ruling::Later(decision) => decision.await,
            };
            match decision {
                Decision::NoOpinion(reason) if reason == Reason::NONE => {}
                Decision::NoOpinion(reason) => without.push(reason),
                Decision::Allow(reason) => return Decision::Allow(reason.after(&without)),
                Decision::Deny(reason) => return Decision::Deny(reason.after(&without)),
            }
        }
        Decision::NoOpinion(Reason::joined(&without))
    }

    /// The rules that apply to `caller` in a namespace, of all authorities that can list theirs.
    pub fn rules(&self, caller: &Caller, namespace: &str) -> Rules {
        let mut all = Rules::default();
        for rules in self.authorities.iter().filter_map(|authority| authority.rules(caller, namespace)) {
            all.rules.extend(rules.rules);
            all.errors.extend(rules.errors);
            all.incomplete |= rules.incomplete;
        }
        all
    }

    /// What each authority says, up to the one that decides, and what it looked at.
    pub async fn explain(&self, caller: &Caller, asked: &Attributes) -> Vec<Step> {
        let mut steps = Vec::new();
        for authority in &self.authorities {
            let decision = match authority.decide(caller, asked) {
                Ruling::Now(decision) => decision,
                Ruling::Later(decision) => decision.await,
            };
            let (word, reason, decided) = match decision {
                Decision::Allow(reason) => ("allow", reason, true),
                Decision::Deny(reason) => ("deny", reason, true),
                Decision::NoOpinion(reason) => ("no opinion", reason, false),
            };
            steps.push(Step {
                authority: authority.name(),
                decision: word,
                reason: reason.error().map_or_else(|| reason.to_string(), str::to_owned),
                explained: authority.explain(caller, asked),
            });
            if decided {
                break;
            }
        }
        steps
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.authorities.iter().map(|authority| authority.name())).finish()
    }
}

#[cfg(test)]
mod tests;
