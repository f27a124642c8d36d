//! The authorities, and the rule that makes one answer of theirs: the first that has an opinion decides, and
//! what nobody allows is forbidden.

use crate::configuration::{Configuration, Mode};
use crate::explain::{Explained, Step};
use crate::webhook::WebhookAuthority;
use crate::{Attributes, Permit, Reason, Rules, always, apiserver, node, privileged, rbac};
use api::{Later, Network, Reader, Status};
use arc_swap::ArcSwap;
use authn::Caller;
use parking_lot::Mutex;
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
    /// Who is asked, and in what order.
    pub configuration: Configuration,
}

impl Settings {
    /// Nodes and roles decide, in an empty cluster; no way out.
    pub fn new(clock: Clock) -> Self {
        let configuration = Configuration::usual();
        Settings { clock, reader: Arc::new(()), network: Arc::new(()), configuration }
    }
}

/// Makes an authority; an error text when the settings are wrong.
pub type MakeAuthority = fn(&Settings) -> Result<Box<dyn Authority>, String>;

/// Authorities that are asked first, whatever is configured.
pub const FIRST: &[MakeAuthority] = &[privileged::make, apiserver::make];

/// The authorities that a configuration can name, besides webhooks.
pub const AUTHORITIES: &[(Mode, MakeAuthority)] = &[
    (Mode::Node, node::make),
    (Mode::Rbac, rbac::make),
    (Mode::AlwaysAllow, always::make_allow),
    (Mode::AlwaysDeny, always::make_deny),
];

/// Tells who may do what.
pub struct Authorizer {
    settings: Settings,
    /// In the order they are asked.
    authorities: ArcSwap<Vec<Arc<dyn Authority>>>,
    /// Those that stay when the configuration changes, because they follow the cluster.
    lasting: Vec<(Mode, Arc<dyn Authority>)>,
    configuration: Mutex<Configuration>,
}

impl Authorizer {
    /// With the authorities that `settings` name. An error text when a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let configured = |mode: &Mode| settings.configuration.authorizers.contains(mode);
        let mut lasting = Vec::new();
        for (mode, make) in AUTHORITIES.iter().filter(|(mode, _)| configured(mode)) {
            lasting.push((mode.clone(), Arc::from(make(settings)?)));
        }
        let authorizer = Authorizer {
            settings: settings.clone(),
            authorities: ArcSwap::default(),
            lasting,
            configuration: Mutex::new(settings.configuration.clone()),
        };
        authorizer.authorities.store(Arc::new(authorizer.authorities_of(&settings.configuration)?));
        Ok(authorizer)
    }

    fn authorities_of(&self, configuration: &Configuration) -> Result<Vec<Arc<dyn Authority>>, String> {
        let mut authorities: Vec<Arc<dyn Authority>> = Vec::new();
        for make in FIRST {
            authorities.push(Arc::from(make(&self.settings)?));
        }
        for mode in &configuration.authorizers {
            let lasting = self.lasting.iter().find(|(known, _)| known == mode);
            authorities.push(match (mode, lasting) {
                (_, Some((_, authority))) => authority.clone(),
                (Mode::Webhook(webhook), None) => {
                    Arc::new(WebhookAuthority::new((**webhook).clone(), &self.settings)?)
                }
                (mode, None) => {
                    let make = AUTHORITIES.iter().find(|(known, _)| known == mode).map(|(_, make)| make);
                    Arc::from(make.ok_or("an unknown authorization mode")?(&self.settings)?)
                }
            });
        }
        Ok(authorities)
    }

    /// Puts a configuration in the place of the one that is in force; whether it differs.
    ///
    /// # Errors
    /// When it cannot take effect while the server runs; then nothing changes.
    pub fn reload(&self, configuration: Configuration) -> Result<bool, String> {
        let mut current = self.configuration.lock();
        if *current == configuration {
            return Ok(false);
        }
        self.settings.configuration.may_become(&configuration)?;
        self.authorities.store(Arc::new(self.authorities_of(&configuration)?));
        *current = configuration;
        Ok(true)
    }

    /// Lets every authority read what it decides by, and follow it from then on.
    pub async fn begin(&self) {
        for authority in self.authorities.load_full().iter() {
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
        for authority in self.authorities.load_full().iter() {
            let decision = match authority.decide(caller, asked) {
                Ruling::Now(decision) => decision,
                Ruling::Later(decision) => decision.await,
            };
            match decision {
                Decision::NoOpinion(reason) if reason.says_nothing() => {}
                Decision::NoOpinion(reason) => without.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(Reason::joined(&without))
    }

    /// The rules that apply to `caller` in a namespace, of all authorities that can list theirs.
    pub fn rules(&self, caller: &Caller, namespace: &str) -> Rules {
        self.rules_of(caller, namespace, |_| true)
    }

    /// The rules that `caller` holds by roles: what may be given to others.
    pub fn held(&self, caller: &Caller, namespace: &str) -> Rules {
        self.rules_of(caller, namespace, |name| name == rbac::NAME)
    }

    fn rules_of(&self, caller: &Caller, namespace: &str, wanted: fn(&str) -> bool) -> Rules {
        let mut all = Rules::default();
        let authorities = self.authorities.load();
        let wanted = authorities.iter().filter(|authority| wanted(authority.name()));
        for rules in wanted.filter_map(|authority| authority.rules(caller, namespace)) {
            all.rules.extend(rules.rules);
            all.errors.extend(rules.errors);
            all.incomplete |= rules.incomplete;
        }
        all
    }

    /// What each authority says, up to the one that decides, and what it looked at.
    pub async fn explain(&self, caller: &Caller, asked: &Attributes) -> Vec<Step> {
        let mut steps = Vec::new();
        for authority in self.authorities.load_full().iter() {
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
        f.debug_list().entries(self.authorities.load().iter().map(|authority| authority.name())).finish()
    }
}

#[cfg(test)]
mod tests;
