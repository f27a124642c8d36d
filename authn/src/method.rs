//! The methods, and the rule that makes one answer of theirs.
//!
//! The rule is upstream's: methods are asked in order, the first that recognizes the caller decides; one that
//! refuses its credentials does not stop the others, but bars the way to being anonymous.

use crate::{Caller, Credentials, anonymous, bearer_token, x509};
use api::{Later, Network, Reader, Status};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;
use stdx::Clock;

/// What a method makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this one.
    Known(Caller),
    /// Nothing here that this method judges.
    NotMine,
    /// Its kind of credentials, and wrong; the text is for the log, not for the caller.
    Refused(String),
}

/// One way to log in.
pub trait Method: Send + Sync {
    /// As upstream names it.
    fn name(&self) -> &'static str;
    /// Looks at one request.
    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict>;
}

/// Makes a method, unless the settings leave it out. An error text when the settings are wrong.
pub type MakeMethod = fn(&Settings) -> Result<Option<Box<dyn Method>>, String>;

/// Every way to log in, in the order they are asked.
pub const METHODS: &[MakeMethod] = &[x509::make, bearer_token::make, anonymous::make];

/// How callers are recognized.
#[derive(Clone)]
pub struct Settings {
    /// CA certificates that sign client certificates; none switches the method off.
    pub client_cas: Vec<CertificateDer<'static>>,
    /// Whether a request without credentials is `system:anonymous` or refused.
    pub anonymous: bool,
    pub clock: Clock,
    /// The cluster: accounts, secrets, pods and nodes that tokens speak of.
    pub reader: Arc<dyn Reader>,
    /// The way to issuers and webhooks.
    pub network: Arc<dyn Network>,
}

impl Settings {
    /// Nobody but anonymous callers, in an empty cluster.
    pub fn new(clock: Clock) -> Self {
        let (reader, network) = (Arc::new(()), Arc::new(()));
        Settings { client_cas: Vec::new(), anonymous: true, clock, reader, network }
    }
}

/// The request is from nobody we know; the answer is always the same 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What each method said, for the log.
    pub reasons: Vec<String>,
}

impl From<Refusal> for Status {
    fn from(_: Refusal) -> Status {
        Status::unauthorized()
    }
}

/// Tells who is calling.
pub struct Authenticator {
    methods: Vec<Box<dyn Method>>,
}

impl Authenticator {
    /// The methods of `METHODS` that `settings` ask for. An error text when a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut methods = Vec::new();
        for make in METHODS {
            methods.extend(make(settings)?);
        }
        Ok(Authenticator { methods })
    }

    /// Who sent this request.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Caller, Refusal> {
        if let Some(component) = credentials.peer.component() {
            return Ok(component.clone());
        }
        let mut reasons = Vec::new();
        for method in &self.methods {
            if !reasons.is_empty() && method.name() == anonymous::NAME {
                break;
            }
            match method.judge(credentials).await {
                Verdict::Known(caller) => return Ok(caller),
                Verdict::NotMine => {}
                Verdict::Refused(why) => reasons.push(format!("{}: {why}", method.name())),
            }
        }
        Err(Refusal { reasons })
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.methods.iter().map(|method| method.name())).finish()
    }
}

#[cfg(test)]
mod tests;
