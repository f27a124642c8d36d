//! Groups that an issuer keeps elsewhere (distributed claims, OpenID Connect Core 5.6.2): the token says where to ask
//! for another token, which has them.

use super::Issuer;
use super::provider::Provider;
use crate::configuration::{JwtAuthenticator, Mapping};
use crate::jwt::Jwt;
use api::{Question, Remote, Value};
use std::sync::Arc;
use std::time::Duration;

/// For one answer: upstream's.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest token that is read.
const MAX_BYTES: usize = 1 << 20;
/// Issuers of such tokens that are remembered.
const OTHERS: usize = 16;

impl Issuer {
    /// The claims with the groups in them, when they are elsewhere.
    pub(super) async fn expand(&self, claims: &Value) -> Result<Value, String> {
        let mut claims = claims.clone();
        let Some(Mapping::Claim { claim, .. }) = &self.config.groups else { return Ok(claims) };
        if claims.get(claim).is_some() {
            return Ok(claims);
        }
        let Some(names) = claims.get("_claim_names") else { return Ok(claims) };
        if names.as_map().is_none() {
            return Err("oidc: error parsing distributed claim names: they are no object".to_owned());
        }
        let sources = claims.get("_claim_sources").ok_or("oidc: no claim sources")?;
        let Some(name) = names.get(claim).and_then(Value::as_str) else { return Ok(claims) };
        let source = sources.get(name).ok_or_else(|| {
            format!("id token _claim_names contained a source {name} missing in _claims_sources")
        })?;
        let endpoint = source.str_at(&["endpoint"]);
        if endpoint.is_empty() {
            return Ok(claims); // an aggregated claim, which nobody reads
        }
        let found = self.ask(claim, endpoint, source.str_at(&["access_token"])).await?;
        claims.set(&[claim], found);
        Ok(claims)
    }

    async fn ask(&self, claim: &str, endpoint: &str, access_token: &str) -> Result<Value, String> {
        let ca = &self.config.certificate_authority;
        let remote = Remote {
            url: endpoint.to_owned(),
            ca: (!ca.is_empty()).then(|| ca.as_bytes().to_vec()),
            authorization: (!access_token.is_empty()).then(|| format!("Bearer {access_token}")),
            ..Remote::default()
        };
        let failed = |why: String| format!("while getting distributed claim {}: {why}", api::quote(claim));
        let question = Question { max_bytes: MAX_BYTES, ..Question::default() };
        let (network, _) = &self.around;
        let reply = network.ask(&remote, question, TIMEOUT).await.map_err(|why| failed(why.to_string()))?;
        if !(200..=226).contains(&reply.status) {
            return Err(failed(format!("error while getting distributed claim JWT: {}", reply.status)));
        }
        let text = String::from_utf8_lossy(&reply.body);
        let jwt = Jwt::parse(text.trim()).ok_or_else(|| {
            format!(
                "getting untrusted issuer from endpoint {endpoint} failed for claim {}: malformed token",
                api::quote(claim)
            )
        })?;
        let issuer = self.other(jwt.claims.str_at(&["iss"]));
        issuer.provider.ready().await.map_err(|_| {
            let url = &issuer.config.url;
            format!(
                "verifying untrusted issuer {url} failed: verifier not initialized for issuer: {}",
                api::quote(url)
            )
        })?;
        // Boxed, for an issuer is asked by an issuer.
        let verified = Box::pin(issuer.verify(&jwt, self.around.1.now())).await;
        verified.map_err(|why| format!("verify distributed claim token: {why}"))?;
        jwt.claims.get(claim).cloned().ok_or_else(|| {
            let endpoint = api::quote(endpoint);
            format!("jwt returned by distributed claim endpoint {endpoint} did not contain claim: {claim}")
        })
    }

    /// Another issuer, believed only for what this one refers to.
    fn other(&self, url: &str) -> Arc<Issuer> {
        let mut others = self.others.lock();
        if let Some(known) = others.iter().find(|other| other.config.url == url) {
            return known.clone();
        }
        let config = JwtAuthenticator {
            url: url.to_owned(),
            discovery_url: String::new(),
            groups: None,
            ..self.config.clone()
        };
        let (network, clock) = self.around.clone();
        let provider = Provider::new(&config, network, clock);
        let other =
            Arc::new(Issuer { provider, config, around: self.around.clone(), others: Default::default() });
        if others.len() >= OTHERS {
            others.remove(0);
        }
        others.push(other.clone());
        other
    }
}
