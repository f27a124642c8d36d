//! Tokens of service accounts from secrets of the type `kubernetes.io/service-account-token`: they never expire, and
//! end with their secret. Source: upstream's `pkg/serviceaccount/legacy.go`.

use crate::service_account::{LegacyUse, ServiceAccounts, Verifier, account, find};
use crate::token::{TokenKind, TokenVerdict};
use crate::{Caller, Settings};
use api::{Later, Reader, Value, names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const ISSUER: &str = "kubernetes/serviceaccount";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const INVALIDATED: &str = "Token has been invalidated";
const DAY: Duration = Duration::from_secs(86_400);

struct LegacyTokens {
    verifier: Verifier,
    lookup: bool,
    reader: Arc<dyn Reader>,
    clock: Clock,
    used: Option<Arc<dyn Fn(LegacyUse) + Send + Sync>>,
}

/// See `TOKENS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every kind's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn TokenKind>>, String> {
    let ServiceAccounts { keys, lookup, used, .. } = settings.service_accounts.clone();
    if keys.is_empty() {
        return Ok(None);
    }
    let issuers = vec![ISSUER.to_owned()];
    let verifier = Verifier { issuers, keys, api_audiences: settings.api_audiences.clone() };
    let (reader, clock) = (settings.reader.clone(), settings.clock.clone());
    Ok(Some(Box::new(LegacyTokens { verifier, lookup, reader, clock, used })))
}

impl TokenKind for LegacyTokens {
    fn name(&self) -> &'static str {
        "legacy-service-account"
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
            match self.check(token, &jwt.claims).await {
                Ok(caller) => TokenVerdict::Known { caller, audiences },
                Err(why) => TokenVerdict::refused(why),
            }
        })
    }
}

/// What such a token says.
struct Claims<'a> {
    namespace: &'a str,
    secret: &'a str,
    account: &'a str,
    uid: &'a str,
}

impl<'a> Claims<'a> {
    fn read(claims: &'a Value) -> Result<Self, String> {
        let text = |field: &str, called: &str| match claims.str_at(&[field]) {
            "" => Err(format!("{called} claim is missing")),
            text => Ok(text),
        };
        let subject = text("sub", "sub")?;
        let named = Claims {
            namespace: text("kubernetes.io/serviceaccount/namespace", "namespace")?,
            secret: text("kubernetes.io/serviceaccount/secret.name", "secretName")?,
            account: text("kubernetes.io/serviceaccount/service-account.name", "serviceAccountName")?,
            uid: text("kubernetes.io/serviceaccount/service-account.uid", "serviceAccountUID")?,
        };
        let parts: Vec<&str> = subject.split(':').collect();
        let well = names::is_dns1123_label(named.namespace).is_empty()
            && names::is_dns1123_subdomain(named.account).is_empty();
        if !well || parts != ["system", "serviceaccount", named.namespace, named.account] {
            return Err("sub claim is invalid".to_owned());
        }
        Ok(named)
    }
}

impl LegacyTokens {
    async fn check(&self, token: &str, claims: &Value) -> Result<Caller, String> {
        let claims = Claims::read(claims)?;
        if self.lookup {
            self.look_up(token, &claims).await?;
        }
        Ok(account(claims.namespace, claims.account, claims.uid))
    }

    async fn look_up(&self, token: &str, claims: &Claims<'_>) -> Result<(), String> {
        let Claims { namespace, secret: name, account, uid } = claims;
        let secret = find(&*self.reader, "secrets", namespace, name).await.ok_or(INVALIDATED)?;
        if is_leaving(&secret) {
            return Err(INVALIDATED.to_owned());
        }
        let kept = STANDARD.decode(secret.str_at(&["data", "token"])).unwrap_or_default();
        // Digests tell nothing by the time that comparing them takes.
        if Sha256::digest(&kept) != Sha256::digest(token) {
            return Err("Token does not match server's copy".to_owned());
        }
        let found = find(&*self.reader, "serviceaccounts", namespace, account).await;
        let found = found.ok_or_else(|| format!("serviceaccounts {} not found", api::quote(account)))?;
        if is_leaving(&found) {
            return Err(format!("ServiceAccount {namespace}/{account} has been deleted"));
        }
        let found_uid = found.str_at(&["metadata", "uid"]);
        if found_uid != *uid {
            return Err(format!("ServiceAccount UID ({found_uid}) does not match claim ({uid})"));
        }
        self.note_use(&secret);
        if !secret.str_at(&["metadata", "labels", INVALID_SINCE]).is_empty() {
            return Err(format!(
                "the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            ));
        }
        Ok(())
    }

    /// Tells of the use, unless the secret says already that it was today (or, elsewhere on earth, tomorrow).
    fn note_use(&self, secret: &Value) {
        let now = self.clock.now();
        let (today, last) = (day(now), secret.str_at(&["metadata", "labels", LAST_USED]));
        if let Some(used) = &self.used
            && last != today
            && last != day(now.plus(DAY))
        {
            let text = |field: &str| secret.str_at(&["metadata", field]).to_owned();
            used(LegacyUse {
                namespace: text("namespace"),
                name: text("name"),
                uid: text("uid"),
                day: today,
            });
        }
    }
}

fn is_leaving(object: &Value) -> bool {
    !object.str_at(&["metadata", "deletionTimestamp"]).is_empty()
}

fn day(time: Time) -> String {
    time.rfc3339().split('T').next().unwrap_or_default().to_owned()
}
