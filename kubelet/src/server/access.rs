//! Who asks, and may they: as upstream's kubelet with webhook authentication and authorization. Client certificates are
//! judged by the cluster's CA, tokens and rights by the API server, whose answers hold for a while.

use super::attributes::attributes;
use super::reply::{self, Reply};
use super::reviews::Reviews;
use api::Remote;
use authn::{Authenticator, Caller, Peer, TokenWebhook};
use authz::{Authorizer, Configuration, Decision, Mode, WebhookMode};
use client::Client;
use http::{HeaderMap, Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

/// Upstream's times for which answers hold.
const TOKEN_TTL: Duration = Duration::from_secs(120);
const ALLOWED_TTL: Duration = Duration::from_secs(300);
const REFUSED_TTL: Duration = Duration::from_secs(30);
const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Access {
    node_name: String,
    authenticator: Authenticator,
    authorizer: Authorizer,
}

impl Access {
    /// # Errors
    /// When a CA certificate is none.
    pub fn new(
        node_name: &str,
        client: &Client,
        client_cas: &[Vec<u8>],
        clock: &Clock,
    ) -> Result<Self, String> {
        let reviews = Arc::new(Reviews::new(client.clone()));
        let mut who = authn::Settings::new(clock.clone());
        let cas: Vec<_> = client_cas.iter().map(|der| der.clone().into()).collect();
        who.client_cas.replace(&cas)?;
        (who.anonymous, who.network) = (false, reviews.clone());
        let remote =
            Remote { url: "/apis/authentication.k8s.io/v1/tokenreviews".to_owned(), ..Remote::default() };
        who.token_webhook = Some(TokenWebhook { remote, version: "v1".to_owned(), cache_ttl: TOKEN_TTL });
        let mut may = authz::Settings::new(clock.clone());
        may.network = reviews;
        may.configuration = Configuration { authorizers: vec![Mode::Webhook(Box::new(rights()))] };
        Ok(Access {
            node_name: node_name.to_owned(),
            authenticator: Authenticator::new(&who)?,
            authorizer: Authorizer::new(&may)?,
        })
    }

    /// Lets a request in, or answers it.
    pub async fn admit(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        method: &Method,
        path: &str,
    ) -> Result<(), Box<Reply>> {
        let caller = self.authenticator.authenticate(peer, &View(headers), path).await;
        let Ok(caller) = caller else {
            return Err(Box::new(reply::text(StatusCode::UNAUTHORIZED, "Unauthorized")));
        };
        self.authorize(&caller, method, path).await.map_err(Box::new)
    }

    async fn authorize(&self, caller: &Caller, method: &Method, path: &str) -> Result<(), Reply> {
        let asked = attributes(&self.node_name, method, path);
        for asked in &asked {
            let refusal = match self.authorizer.decide(caller, asked).await {
                Decision::Allow(_) => return Ok(()),
                Decision::Deny(reason) | Decision::NoOpinion(reason) => reason,
            };
            if let Some(error) = refusal.error() {
                tracing::error!(user = caller.name(), "cannot find out what somebody may do: {error}");
                let (verb, subresource) = (&asked.verb, &asked.subresource);
                let text = format!(
                    "Authorization error (user={}, verb={verb}, resource=nodes, subresource={subresource})",
                    caller.name()
                );
                return Err(reply::text(StatusCode::INTERNAL_SERVER_ERROR, text));
            }
        }
        let subresources: Vec<&str> = asked.iter().map(|asked| asked.subresource.as_str()).collect();
        let verb = asked.first().map_or("", |asked| asked.verb.as_str());
        let text = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            caller.name(),
            subresources.join(" ")
        );
        Err(reply::text(StatusCode::FORBIDDEN, text))
    }
}

/// The API server says what callers may.
fn rights() -> WebhookMode {
    let url = "/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned();
    WebhookMode {
        name: "kubelet".to_owned(),
        remote: Remote { url, ..Remote::default() },
        timeout: REVIEW_TIMEOUT,
        version: "v1".to_owned(),
        authorized_ttl: ALLOWED_TTL,
        unauthorized_ttl: REFUSED_TTL,
        deny_on_error: false,
        match_conditions: Vec::new(),
    }
}

/// Headers as `authn` looks at them.
struct View<'a>(&'a HeaderMap);

impl authn::Headers for View<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_bytes())
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.0.get_all(name).iter().map(|value| value.as_bytes()).collect()
    }
}
