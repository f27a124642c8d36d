//! Tokens of OpenID Connect issuers elsewhere: their keys verify them, the configuration says which claims make the user.
//!
//! An issuer is asked for its keys when the first of its tokens comes, and again when a token is signed by a key that
//! is not among them.

mod claims;
mod distributed;
mod provider;

use crate::configuration::{Anonymous, Configuration, JwtAuthenticator};
use crate::jwt::{Jwt, seconds};
use crate::token::{TokenKind, TokenVerdict};
use crate::{Caller, Settings};
use api::{Later, Network};
use parking_lot::{Mutex, RwLock};
use provider::Provider;
use std::sync::Arc;
use stdx::{Clock, Time};

/// How far clocks may be apart for the time from which a token is good.
const NOT_BEFORE_LEEWAY_SECS: i64 = 60;
const GOOGLE: &str = "https://accounts.google.com";

/// The issuers in force; clones share them.
#[derive(Clone, Default)]
pub struct Issuers(Arc<RwLock<InForce>>);

#[derive(Clone, Default)]
struct InForce {
    issuers: Arc<Vec<Issuer>>,
    anonymous: Option<Anonymous>,
    /// The way to them, and what time it is.
    around: Option<(Arc<dyn Network>, Clock)>,
}

struct Issuer {
    config: JwtAuthenticator,
    provider: Provider,
    /// The way to others, and what time it is.
    around: (Arc<dyn Network>, Clock),
    /// Those that this one refers to for groups.
    others: Mutex<Vec<Arc<Issuer>>>,
}

impl Issuers {
    /// Puts the issuers of a configuration in force.
    pub(crate) fn set(&self, configuration: &Configuration, network: &Arc<dyn Network>, clock: &Clock) {
        *self.0.write() = InForce {
            issuers: Arc::new(issuers(configuration, network, clock)),
            anonymous: configuration.anonymous.clone(),
            around: Some((network.clone(), clock.clone())),
        };
    }

    /// Puts other issuers in the place of those in force, once all of them answer.
    ///
    /// # Errors
    /// When one does not, or more than the issuers changed; then all stays as it was.
    pub async fn replace(&self, configuration: &Configuration) -> Result<(), String> {
        let InForce { anonymous, around, .. } = self.0.read().clone();
        let (network, clock) = around.ok_or("no authenticator is in force")?;
        if anonymous != configuration.anonymous {
            return Err("anonymous: Forbidden: changed from initial configuration file".to_owned());
        }
        let issuers = issuers(configuration, &network, &clock);
        for issuer in &issuers {
            issuer.provider.ready().await.map_err(|why| {
                let url = api::quote(&issuer.config.url);
                format!("oidc: authenticator for issuer {url} is not healthy: {why}")
            })?;
        }
        self.0.write().issuers = Arc::new(issuers);
        Ok(())
    }

    fn current(&self) -> Arc<Vec<Issuer>> {
        self.0.read().issuers.clone()
    }
}

fn issuers(configuration: &Configuration, network: &Arc<dyn Network>, clock: &Clock) -> Vec<Issuer> {
    let issuer = |config: &JwtAuthenticator| Issuer {
        provider: Provider::new(config, network.clone(), clock.clone()),
        config: config.clone(),
        around: (network.clone(), clock.clone()),
        others: Mutex::default(),
    };
    configuration.jwt.iter().map(issuer).collect()
}

struct Oidc {
    issuers: Issuers,
    clock: Clock,
}

/// See `TOKENS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every kind's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn TokenKind>>, String> {
    let issuers = settings.issuers.clone();
    issuers.set(&settings.configuration, &settings.network, &settings.clock);
    Ok(Some(Box::new(Oidc { issuers, clock: settings.clock.clone() })))
}

impl TokenKind for Oidc {
    fn name(&self) -> &'static str {
        "oidc"
    }

    fn judge<'a>(&'a self, token: &'a str, _: &'a [String]) -> Later<'a, TokenVerdict> {
        Box::pin(async move {
            let issuers = self.issuers.current();
            if issuers.is_empty() {
                return TokenVerdict::NotMine;
            }
            let Some(jwt) = Jwt::parse(token) else { return TokenVerdict::NotMine };
            let url = match jwt.claims.str_at(&["iss"]) {
                "accounts.google.com" => GOOGLE,
                url => url,
            };
            let Some(issuer) = issuers.iter().find(|issuer| issuer.config.url == url) else {
                return TokenVerdict::NotMine;
            };
            match issuer.recognize(&jwt, self.clock.now()).await {
                Ok(caller) => TokenVerdict::known(caller),
                Err(why) => TokenVerdict::refused(why),
            }
        })
    }
}

impl Issuer {
    async fn recognize(&self, jwt: &Jwt<'_>, now: Time) -> Result<Caller, String> {
        self.provider.ready().await.map_err(|_| "oidc: authenticator not initialized")?;
        self.verify(jwt, now).await.map_err(|why| format!("oidc: verify token: {why}"))?;
        let claims = self
            .expand(&jwt.claims)
            .await
            .map_err(|why| format!("oidc: could not expand distributed claims: {why}"))?;
        claims::caller(&self.config, &claims)
    }

    async fn verify(&self, jwt: &Jwt<'_>, now: Time) -> Result<(), String> {
        let JwtAuthenticator { signing_algorithms: known, audiences: ours, .. } = &self.config;
        if !known.iter().any(|name| name == jwt.algorithm()) {
            let (known, found) = (quoted(known), api::quote(jwt.algorithm()));
            return Err(format!(
                "oidc: id token signed with unsupported algorithm, expected {known} got {found}"
            ));
        }
        self.provider.verify(jwt).await.map_err(|why| format!("failed to verify signature: {why}"))?;
        let theirs = jwt.audiences();
        if let [one] = ours.as_slice()
            && !theirs.contains(one)
        {
            return Err(format!("oidc: expected audience {} got {}", api::quote(one), quoted(&theirs)));
        }
        check_times(jwt, now)?;
        if ours.iter().any(|audience| theirs.contains(audience)) {
            return Ok(());
        }
        let mut ours = ours.clone();
        ours.sort();
        Err(format!("oidc: expected audience in {} got {}", quoted(&ours), quoted(&theirs)))
    }
}

fn check_times(jwt: &Jwt<'_>, now: Time) -> Result<(), String> {
    let time = |claim: &str| match jwt.claims.get(claim).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => {
            let wrong = || format!("oidc: failed to unmarshal claims: {claim} is no number");
            seconds(value).map(|secs| Some(Time::from_secs(secs))).ok_or_else(wrong)
        }
    };
    let expiry = time("exp")?.unwrap_or(api::time::ZERO);
    if expiry < now {
        return Err(format!("oidc: token is expired (Token Expiry: {})", go_time(expiry)));
    }
    match time("nbf")? {
        Some(starts) if now.secs.saturating_add(NOT_BEFORE_LEEWAY_SECS) < starts.secs => Err(format!(
            "oidc: current time {} before the nbf (not before) time: {}",
            go_time(now),
            go_time(starts)
        )),
        _ => Ok(()),
    }
}

/// `2026-11-21 10:00:00 +0000 UTC`.
fn go_time(time: Time) -> String {
    let text = Time::from_secs(time.secs).rfc3339();
    format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " "))
}

/// `["a" "b"]`.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| api::quote(text)).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests;
