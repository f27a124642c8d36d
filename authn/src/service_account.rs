//! Tokens of service accounts: made by the TokenRequest API, bound to their account and perhaps to a pod, a secret or
//! a node, and worth nothing without them. Source: upstream's `pkg/serviceaccount`.

use crate::jwt::{Jwt, LEEWAY_SECS, Untimely, seconds};
use crate::token::{TokenKind, TokenVerdict};
use crate::{Caller, PublicKey, Settings};
use api::{Later, Reader, Value, quote};
use std::sync::Arc;
use stdx::{Clock, Time};

/// The audience and issuer of a server that is told of none.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc";
const INVALIDATED: &str = "service account token has been invalidated";
/// What all keys under which a caller's details are shown begin with.
const DETAILS: &str = "authentication.kubernetes.io";

/// Under which key the audit log learns of tokens that live longer than they were asked for.
const STALE: &str = "authentication.k8s.io/stale-token";

/// How tokens of service accounts are recognized.
#[derive(Clone, Default)]
pub struct ServiceAccounts {
    /// Who may have issued them, upstream's `--service-account-issuer`.
    pub issuers: Vec<String>,
    /// Who may have signed them; none switches these tokens off.
    pub keys: Vec<PublicKey>,
    /// Whether tokens from secrets are worth nothing without their secret.
    pub lookup: bool,
    /// Is told of each use of a token from a secret that does not say that it was used today.
    pub used: Option<Arc<dyn Fn(LegacyUse) + Send + Sync>>,
}

/// A token from a secret was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyUse {
    /// Of the secret.
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `2006-01-02`, UTC.
    pub day: String,
}

/// Tells whether a token is one of ours, and what it says.
pub(crate) struct Verifier {
    pub issuers: Vec<String>,
    pub keys: Vec<PublicKey>,
    pub api_audiences: Vec<String>,
}

impl Verifier {
    /// The token, verified, and which of `wanted` it is for. `Err` holds the answer when it is not.
    pub fn verify<'a>(
        &self,
        token: &'a str,
        wanted: &[String],
    ) -> Result<(Jwt<'a>, Vec<String>), TokenVerdict> {
        let jwt = Jwt::parse(token).ok_or(TokenVerdict::NotMine)?;
        if !self.issuers.iter().any(|issuer| issuer == jwt.claims.str_at(&["iss"])) {
            return Err(TokenVerdict::NotMine);
        }
        let keys: Vec<&PublicKey> =
            self.keys.iter().filter(|key| jwt.key_id.is_empty() || key.id() == jwt.key_id).collect();
        if keys.is_empty() {
            return Err(TokenVerdict::refused("invalid signature, no keys found"));
        }
        if !keys.iter().any(|key| jwt.is_signed_by(key)) {
            return Err(TokenVerdict::refused("go-jose/go-jose: error in cryptographic primitive"));
        }
        let named = Some(jwt.audiences()).filter(|named| !named.is_empty());
        let named = named.unwrap_or_else(|| self.api_audiences.clone());
        let wanted = if wanted.is_empty() { &self.api_audiences } else { wanted };
        let both: Vec<String> = wanted.iter().filter(|audience| named.contains(audience)).cloned().collect();
        if both.is_empty() && !self.api_audiences.is_empty() {
            let (named, wanted) = (quoted(&named), quoted(wanted));
            let why = format!("token audiences [{named}] is invalid for the target audiences [{wanted}]");
            return Err(TokenVerdict::refused(why));
        }
        Ok((jwt, both))
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(" ")
}

/// An object of the cluster: from what this server knows, else the newest there is.
pub(crate) async fn find(reader: &dyn Reader, resource: &str, namespace: &str, name: &str) -> Option<Value> {
    match reader.get("", resource, namespace, name).await {
        Some(object) => Some(object),
        None => reader.get_latest("", resource, namespace, name).await,
    }
}

/// The audit log learns of tokens that do not say for whom they are.
pub(crate) fn told(caller: Caller, jwt: &Jwt<'_>) -> Caller {
    if jwt.audiences().is_empty() {
        return caller.with_annotation("authentication.k8s.io/legacy-token", jwt.claims.str_at(&["sub"]));
    }
    caller
}

/// The user that a service account is.
pub(crate) fn account(namespace: &str, name: &str, uid: &str) -> Caller {
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    Caller::new(&format!("system:serviceaccount:{namespace}:{name}"), groups).with_uid(uid.to_owned())
}

struct BoundTokens {
    verifier: Verifier,
    reader: Arc<dyn Reader>,
    clock: Clock,
}

/// See `TOKENS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every kind's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn TokenKind>>, String> {
    let ServiceAccounts { issuers, keys, .. } = settings.service_accounts.clone();
    if keys.is_empty() || issuers.is_empty() {
        return Ok(None);
    }
    let verifier = Verifier { issuers, keys, api_audiences: settings.api_audiences.clone() };
    let (reader, clock) = (settings.reader.clone(), settings.clock.clone());
    Ok(Some(Box::new(BoundTokens { verifier, reader, clock })))
}

impl TokenKind for BoundTokens {
    fn name(&self) -> &'static str {
        "service-account"
    }

    fn knows_audiences(&self) -> bool {
        true
    }

    fn judge<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> Later<'a, TokenVerdict> {
        Box::pin(async move {
            let (jwt, audiences) = match self.verifier.verify(token, audiences) {
                Ok(verified) => verified,
                Err(verdict) => return verdict,
            };
            match self.check(&jwt).await {
                Ok(late_secs) => {
                    let mut caller = caller(&jwt.claims);
                    if let Some(secs) = late_secs {
                        let subject = jwt.claims.str_at(&["sub"]);
                        let late = format!("subject: {subject}, seconds after warning threshold: {secs}");
                        caller = caller.with_annotation(STALE, &late);
                    }
                    TokenVerdict::Known { caller: told(caller, &jwt), audiences }
                }
                Err(why) => TokenVerdict::refused(why),
            }
        })
    }
}

impl BoundTokens {
    /// Gives by how many seconds the token is used longer than it was asked for, if it is.
    async fn check(&self, jwt: &Jwt<'_>) -> Result<Option<i64>, String> {
        let now = self.clock.now();
        jwt.check_times(now).map_err(|untimely| match untimely {
            Untimely::NotYet => "service account token is not valid yet",
            Untimely::Expired => "service account token has expired",
            Untimely::IssuedLater => "service account token is issued in the future",
        })?;
        let claims = &jwt.claims;
        self.check_account(claims, now).await?;
        for (field, resource) in [("secret", "secrets"), ("pod", "pods")] {
            self.check_bound(claims, field, resource, now).await?;
        }
        // The node of a token that is bound to a pod is told, not checked.
        if !is_bound(claims, "pod") {
            self.check_bound(claims, "node", "nodes", now).await?;
        }
        let warns = claims.at(&["kubernetes.io", "warnafter"]).and_then(seconds).filter(|at| *at != 0);
        Ok(warns.map(|at| now.secs.saturating_sub(at)).filter(|late| *late > 0))
    }

    async fn check_account(&self, claims: &Value, now: Time) -> Result<(), String> {
        let namespace = claims.str_at(&["kubernetes.io", "namespace"]);
        let (name, uid) = (claim(claims, "serviceaccount", "name"), claim(claims, "serviceaccount", "uid"));
        let Some(account) = find(&*self.reader, "serviceaccounts", namespace, name).await else {
            return Err(format!("serviceaccounts {} not found", quote(name)));
        };
        let found = account.str_at(&["metadata", "uid"]);
        if found != uid {
            return Err(format!("service account UID ({found}) does not match claim ({uid})"));
        }
        if is_gone(&account, now) {
            return Err(format!("service account {namespace}/{name} has been deleted"));
        }
        Ok(())
    }

    async fn check_bound(
        &self,
        claims: &Value,
        field: &str,
        resource: &str,
        now: Time,
    ) -> Result<(), String> {
        if !is_bound(claims, field) {
            return Ok(());
        }
        let namespace = if field == "node" { "" } else { claims.str_at(&["kubernetes.io", "namespace"]) };
        let (name, uid) = (claim(claims, field, "name"), claim(claims, field, "uid"));
        let object = find(&*self.reader, resource, namespace, name).await.ok_or(INVALIDATED)?;
        let found = object.str_at(&["metadata", "uid"]);
        if found != uid {
            return Err(format!(
                "{field} UID ({found}) does not match service account {field} ref claim ({uid})"
            ));
        }
        if is_gone(&object, now) { Err(INVALIDATED.to_owned()) } else { Ok(()) }
    }
}

fn claim<'a>(claims: &'a Value, of: &str, field: &str) -> &'a str {
    claims.str_at(&["kubernetes.io", of, field])
}

fn is_bound(claims: &Value, field: &str) -> bool {
    claims.at(&["kubernetes.io", field]).is_some_and(|bound| !bound.is_null())
}

/// Whether the object has been on its way out for longer than clocks differ.
fn is_gone(object: &Value, now: Time) -> bool {
    let deleted = object.str_at(&["metadata", "deletionTimestamp"]);
    api::time::parse(deleted).is_ok_and(|time| time.secs < now.secs.saturating_sub(LEEWAY_SECS))
}

/// The account, with what its token is bound to.
fn caller(claims: &Value) -> Caller {
    let (name, uid) = (claim(claims, "serviceaccount", "name"), claim(claims, "serviceaccount", "uid"));
    let mut caller = account(claims.str_at(&["kubernetes.io", "namespace"]), name, uid);
    let mut tell = |key: &str, value: &str| {
        caller = caller.clone().with_extra(&format!("{DETAILS}/{key}"), vec![value.to_owned()]);
    };
    let (pod, pod_uid) = (claim(claims, "pod", "name"), claim(claims, "pod", "uid"));
    let jti = claims.str_at(&["jti"]);
    if !jti.is_empty() {
        tell("credential-id", &format!("JTI={jti}"));
    }
    let (node, node_uid) = (claim(claims, "node", "name"), claim(claims, "node", "uid"));
    if !node.is_empty() {
        tell("node-name", node);
        if !node_uid.is_empty() {
            tell("node-uid", node_uid);
        }
    }
    if !pod.is_empty() && !pod_uid.is_empty() {
        tell("pod-name", pod);
        tell("pod-uid", pod_uid);
    }
    caller
}

#[cfg(test)]
mod tests;
