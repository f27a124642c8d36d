//! The methods, and the rule that makes one answer of theirs.
//!
//! The rule is upstream's: methods are asked in order, the first that recognizes the caller decides; one that
//! refuses its credentials does not stop the others, but bars the way to being anonymous.

use crate::{
    Caller, Configuration, Credentials, Headers, Issuers, Peer, RequestHeaders, ServiceAccounts,
    StaticTokens, TokenWebhook, TrustedCas, anonymous, bearer_token, request_header, x509,
};
use api::{Later, Network, Reader, Status};
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
pub const METHODS: &[MakeMethod] = &[request_header::make, x509::make, bearer_token::make, anonymous::make];

/// How callers are recognized.
#[derive(Clone)]
pub struct Settings {
    /// CA certificates that sign client certificates; none switches the method off.
    pub client_cas: TrustedCas,
    /// What an authenticating proxy says of its users; `None` believes no proxy.
    pub request_headers: Option<RequestHeaders>,
    /// Tokens from a file.
    pub static_tokens: Option<StaticTokens>,
    /// Whether tokens of `kube-system` by which nodes join are good for requests.
    pub bootstrap_tokens: bool,
    /// Who this API server is, for tokens that say for whom they are; upstream's `--api-audiences`.
    pub api_audiences: Vec<String>,
    pub service_accounts: ServiceAccounts,
    /// Whether a request without credentials is `system:anonymous` or refused.
    pub anonymous: bool,
    /// The paths on which it may be anonymous; empty for all.
    pub anonymous_paths: Vec<String>,
    /// Issuers whose tokens are believed.
    pub configuration: Configuration,
    /// Where they are kept while the server runs.
    pub issuers: Issuers,
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
        Settings {
            client_cas: TrustedCas::default(),
            request_headers: None,
            static_tokens: None,
            bootstrap_tokens: false,
            api_audiences: Vec::new(),
            service_accounts: ServiceAccounts::default(),
            anonymous: true,
            anonymous_paths: Vec::new(),
            configuration: Configuration::default(),
            issuers: Issuers::default(),
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
    /// The headers of proxies: those that are believed, and upstream's.
    proxys: Vec<RequestHeaders>,
}

impl Authenticator {
    /// The methods of `METHODS` that `settings` ask for. An error text when a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut methods = Vec::new();
        for make in METHODS {
            methods.extend(make(settings)?);
        }
        let proxys = settings.request_headers.iter().cloned().chain([RequestHeaders::standard()]).collect();
        Ok(Authenticator { methods, api_audiences: settings.api_audiences.clone(), proxys })
    }

    /// Who this API server is, for tokens that say for whom they are.
    pub fn api_audiences(&self) -> &[String] {
        &self.api_audiences
    }

    /// Whether a header is one by which a proxy says who calls: such headers go no further than this.
    pub fn is_proxys(&self, header: &str) -> bool {
        self.proxys.iter().any(|headers| headers.contains(header))
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
                Verdict::Known { caller, audiences } => {
                    let warning = bearer_token::warning(credentials.headers);
                    let caller = warning.into_iter().fold(caller, |caller, text| caller.with_warning(text));
                    return Ok(Recognized { caller, audiences });
                }
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
