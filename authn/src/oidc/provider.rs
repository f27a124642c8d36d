//! An issuer's server: where its keys are, and what they are now.

use crate::PublicKey;
use crate::configuration::JwtAuthenticator;
use crate::jwt::Jwt;
use api::{Network, Question, Remote, Reply, json};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
/// For one document: upstream's.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an issuer that did not answer is not asked again.
const PAUSE_SECS: i64 = 10;
/// Keys are fetched anew this long before they expire.
const EXPIRY_DELTA_SECS: i64 = 30;
/// The largest document that is read.
const MAX_BYTES: usize = 1 << 20;

pub struct Provider {
    url: String,
    discovery: Remote,
    network: Arc<dyn Network>,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a document is fetched, so that those who come meanwhile wait for the same one.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Where the keys are; `None` before the discovery document was read.
    keys_url: Option<String>,
    keys: Arc<Vec<PublicKey>>,
    expires: Time,
    fetched: Time,
    /// Counts fetches.
    fetches: u64,
    /// When the last attempt to read the discovery document failed, and why.
    failed: Option<(Time, String)>,
}

impl Provider {
    pub fn new(config: &JwtAuthenticator, network: Arc<dyn Network>, clock: Clock) -> Self {
        let url = if config.discovery_url.is_empty() {
            format!("{}{WELL_KNOWN}", config.url.trim_end_matches('/'))
        } else {
            config.discovery_url.clone()
        };
        let ca = &config.certificate_authority;
        let ca = (!ca.is_empty()).then(|| ca.as_bytes().to_vec());
        let discovery = Remote { url, ca, ..Remote::default() };
        let (state, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        Provider { url: config.url.clone(), discovery, network, clock, state, fetching }
    }

    /// Waits until it is known where the keys are.
    pub async fn ready(&self) -> Result<(), String> {
        if self.state.lock().keys_url.is_some() {
            return Ok(());
        }
        let _fetching = self.fetching.lock().await;
        {
            let state = self.state.lock();
            match (&state.keys_url, &state.failed) {
                (Some(_), _) => return Ok(()),
                (None, Some((at, why))) if self.clock.now().secs < at.secs.saturating_add(PAUSE_SECS) => {
                    return Err(why.clone());
                }
                _ => {}
            }
        }
        match self.discover().await {
            Ok(keys_url) => {
                self.state.lock().keys_url = Some(keys_url);
                Ok(())
            }
            Err(why) => {
                tracing::error!(issuer = self.url, "the issuer does not answer: {why}");
                self.state.lock().failed = Some((self.clock.now(), why.clone()));
                Err(why)
            }
        }
    }

    async fn discover(&self) -> Result<String, String> {
        let reply = self.get(&self.discovery.url).await?;
        let body = String::from_utf8_lossy(&reply.body);
        if reply.status != 200 {
            return Err(format!("{}: {body}", reply.status));
        }
        let document = json::parse(&reply.body)
            .map_err(|why| format!("oidc: failed to decode provider discovery object: {why}"))?;
        let issuer = document.str_at(&["issuer"]);
        if issuer != self.url {
            let (ours, theirs) = (api::quote(&self.url), api::quote(issuer));
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {ours} got {theirs}"
            ));
        }
        match document.str_at(&["jwks_uri"]) {
            "" => Err("provider did not return JWKS URL".to_owned()),
            url => Ok(url.to_owned()),
        }
    }

    /// Whether one of the issuer's keys signed a token; they are fetched when none of those at hand did.
    pub async fn verify(&self, jwt: &Jwt<'_>) -> Result<(), String> {
        let unverified = || "failed to verify id token signature".to_owned();
        let (keys, before, may_fetch) = {
            let state = self.state.lock();
            let (now, known) = (self.clock.now().secs, state.keys.iter().any(|key| key.id() == jwt.key_id));
            let expired = now.saturating_add(EXPIRY_DELTA_SECS) > state.expires.secs;
            let rested = now >= state.fetched.secs.saturating_add(PAUSE_SECS);
            (state.keys.clone(), state.fetches, expired || (!known && rested))
        };
        if signed(jwt, &keys) {
            return Ok(());
        }
        if !may_fetch {
            return Err(unverified());
        }
        {
            let _fetching = self.fetching.lock().await;
            if self.state.lock().fetches == before {
                self.fetch_keys().await.map_err(|why| format!("fetching keys {why}"))?;
            }
        }
        let keys = self.state.lock().keys.clone();
        if signed(jwt, &keys) { Ok(()) } else { Err(unverified()) }
    }

    async fn fetch_keys(&self) -> Result<(), String> {
        let url = self.state.lock().keys_url.clone().ok_or("oidc: authenticator not initialized")?;
        let reply = self.get(&url).await.map_err(|why| format!("oidc: get keys failed {why}"))?;
        let body = String::from_utf8_lossy(&reply.body);
        if reply.status != 200 {
            return Err(format!("oidc: get keys failed: {} {body}", reply.status));
        }
        let document =
            json::parse(&reply.body).map_err(|why| format!("oidc: failed to decode keys: {why} {body}"))?;
        let keys = document.list_at(&["keys"]).iter().filter_map(PublicKey::from_jwk).collect();
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.keys = Arc::new(keys);
        state.fetched = now;
        state.expires = now.plus(max_age(&reply));
        state.fetches += 1;
        Ok(())
    }

    async fn get(&self, url: &str) -> Result<Reply, String> {
        let remote = Remote { url: url.to_owned(), ..self.discovery.clone() };
        let question = Question { max_bytes: MAX_BYTES, ..Question::default() };
        self.network.ask(&remote, question, TIMEOUT).await.map_err(|why| why.to_string())
    }
}

fn signed(jwt: &Jwt<'_>, keys: &[PublicKey]) -> bool {
    let named = |key: &&PublicKey| jwt.key_id.is_empty() || key.id() == jwt.key_id;
    keys.iter().filter(named).any(|key| jwt.is_signed_by(key))
}

/// How long an answer may be kept; not at all where it does not say.
fn max_age(reply: &Reply) -> Duration {
    let control = reply.header("cache-control").unwrap_or_default().to_ascii_lowercase();
    let parts: Vec<&str> = control.split(',').map(str::trim).collect();
    if parts.contains(&"no-store") || parts.contains(&"no-cache") {
        return Duration::ZERO;
    }
    let secs = parts.iter().find_map(|part| part.strip_prefix("max-age=")?.parse().ok());
    // A day at most, so that no answer can make its keys eternal.
    Duration::from_secs(secs.unwrap_or(0).min(86_400))
}

/// The document that a server shows as its own, for tests of what asks it.
#[cfg(test)]
pub fn document(issuer: &str) -> api::Value {
    api::tree!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})
}
