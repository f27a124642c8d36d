//! The methods, and the rule that makes one answer of theirs.
//!
//! The rule is upstream's: methods are asked in order, the first that recognizes the caller decides; one that
//! refuses its credentials does not stop the others, but bars the way to being anonymous.

use crate::{
    Caller, Credentials, Headers, Peer, ServiceAccounts, TokenWebhook, anonymous, bearer_token, x509,
};
use api::{Later, Network, Reader, Status};
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use stdx::Clock;

/// What a method makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this one, for these of the audiences asked for; a list that is empty says nothing of audiences.
    Known { caller: Caller, audiences: Vec<String> },
    /// Nothing here that this method judges.
    NotMine,
    /// Its kind of credentials, and wrong; the texts are for the log and for reviews of tokens, not for the caller.
    Refused(Vec<String>),
}

impl Verdict {
    /// Recognized by a method that knows nothing of audiences.
    pub fn known(caller: Caller) -> Self {
        Verdict::Known { caller, audiences: Vec::new() }
    }

    /// Wrong for one reason.
    pub fn refused(why: impl Into<String>) -> Self {
        Verdict::Refused(vec![why.into()])
    }
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
    /// Who this API server is, for tokens that say for whom they are; upstream's `--api-audiences`.
    pub api_audiences: Vec<String>,
    pub service_accounts: ServiceAccounts,
    /// Whether a request without credentials is `system:anonymous` or refused.
    pub anonymous: bool,
    /// A server elsewhere that judges tokens.
    pub token_webhook: Option<TokenWebhook>,
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
        let (client_cas, api_audiences) = (Vec::new(), Vec::new());
        Settings {
            client_cas,
            api_audiences,
            service_accounts: ServiceAccounts::default(),
            anonymous: true,
            token_webhook: None,
            clock,
            reader,
            network,
        }
    }
}

/// Who it is, and for which of the audiences asked for; without audiences, for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognized {
    pub caller: Caller,
    pub audiences: Vec<String>,
}

/// The request is from nobody we know; the answer is always the same 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What each method said, for the log and for reviews of tokens.
    pub reasons: Vec<String>,
}

/// The reasons, each once, in the form of Go's aggregated errors.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<&str> = Vec::new();
        for reason in &self.reasons {
            if !texts.contains(&reason.as_str()) {
                texts.push(reason);
            }
        }
        match texts.as_slice() {
            [one] => f.write_str(one),
            texts => write!(f, "[{}]", texts.join(", ")),
        }
    }
}

impl From<Refusal> for Status {
    fn from(_: Refusal) -> Status {
        Status::unauthorized()
    }
}

/// Tells who is calling.
pub struct Authenticator {
    methods: Vec<Box<dyn Method>>,
    api_audiences: Vec<String>,
}

impl Authenticator {
    /// The methods of `METHODS` that `settings` ask for. An error text when a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut methods = Vec::new();
        for make in METHODS {
            methods.extend(make(settings)?);
        }
        Ok(Authenticator { methods, api_audiences: settings.api_audiences.clone() })
    }

    /// Who this API server is, for tokens that say for whom they are.
    pub fn api_audiences(&self) -> &[String] {
        &self.api_audiences
    }

    /// Who sent this request.
    pub async fn authenticate(
        &self,
        peer: &Peer,
        headers: &dyn Headers,
        path: &str,
    ) -> Result<Caller, Refusal> {
        let found =
            self.recognize(&Credentials { peer, headers, path, audiences: &self.api_audiences }).await?;
        let ours = |audience| self.api_audiences.contains(audience);
        if self.api_audiences.is_empty() || found.audiences.is_empty() || found.audiences.iter().any(ours) {
            return Ok(found.caller);
        }
        let (theirs, ours) = (found.audiences.join(" "), self.api_audiences.join(" "));
        Err(Refusal {
            reasons: vec![format!("unable to match the audience: [{theirs}] , accepted: [{ours}]")],
        })
    }

    /// Which methods are asked about a request, and what each makes of it: `known`, `not mine` or `refused`. Why
    /// somebody is refused is for the log alone.
    pub async fn explain(
        &self,
        peer: &Peer,
        headers: &dyn Headers,
        path: &str,
    ) -> Vec<(&'static str, &'static str)> {
        if peer.component().is_some() {
            return vec![("in-process", "known")];
        }
        let credentials = Credentials { peer, headers, path, audiences: &self.api_audiences };
        let mut asked = Vec::new();
        for method in &self.methods {
            if method.name() == anonymous::NAME && asked.iter().any(|(_, verdict)| *verdict == "refused") {
                break;
            }
            let verdict = match method.judge(&credentials).await {
                Verdict::Known { .. } => "known",
                Verdict::NotMine => "not mine",
                Verdict::Refused(_) => "refused",
            };
            asked.push((method.name(), verdict));
            if verdict == "known" {
                break;
            }
        }
        asked
    }

    /// Whose credentials these are, also for others than this API server.
    pub async fn recognize(&self, credentials: &Credentials<'_>) -> Result<Recognized, Refusal> {
        if let Some(component) = credentials.peer.component() {
            return Ok(Recognized { caller: component.clone(), audiences: Vec::new() });
        }
        let mut reasons = Vec::new();
        for method in &self.methods {
            if !reasons.is_empty() && method.name() == anonymous::NAME {
                break;
            }
            match method.judge(credentials).await {
                Verdict::Known { caller, audiences } => return Ok(Recognized { caller, audiences }),
                Verdict::NotMine => {}
                Verdict::Refused(why) => reasons.extend(why),
            }
        }
        Err(Refusal { reasons })
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.methods.iter().map(|method| method.name())).finish()
    }
}

#[cfg(test)]
mod tests;
