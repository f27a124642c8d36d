//! Acting as another user, between who and may they: `authn` says what is to be asked, `authz` answers, and the
//! headers that say so end here, together with those that said who calls.

use crate::door::HeaderView;
use crate::server::Server;
use api::{Later, Status};
use authn::{Asked, Caller, Impersonated, Judge};
use authz::{Attributes, Decision, Reason};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// How a token among the subprotocols of a WebSocket begins.
const PROTOCOL_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// The user that a request asks to act as; `None` when it is to be what its credentials say.
pub async fn act(
    server: &Server,
    caller: &Caller,
    headers: &HeaderMap,
    attributes: &Attributes,
) -> Result<Option<Impersonated>, Status> {
    // The common case costs no more than looking at the names.
    if !headers.keys().any(|name| authn::is_impersonation(name.as_str())) {
        return Ok(None);
    }
    let (view, judge) = (HeaderView(headers), Authorities { server, request: attributes });
    let acting: Later<'_, _> = Box::pin(server.impersonation.act(caller, &view, &judge));
    acting.await
}

/// The headers of a request for who works on it: without what said who it is from, or as whom it acts.
pub fn without_credentials(server: &Server, headers: &HeaderMap) -> HeaderMap {
    let spent = |name: &HeaderName| {
        name == header::AUTHORIZATION
            || authn::is_impersonation(name.as_str())
            || server.authenticator.is_proxys(name.as_str())
    };
    let mut kept = headers.clone();
    for name in headers.keys().filter(|name| spent(name)) {
        kept.remove(name);
    }
    if let Some(protocols) = without_token(headers) {
        kept.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols);
    }
    kept
}

/// The subprotocols of a WebSocket that are no token; `None` when there is no token among them.
fn without_token(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let protocols: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let others: Vec<&str> =
        protocols.iter().copied().filter(|protocol| !protocol.starts_with(PROTOCOL_TOKEN)).collect();
    if others.len() == protocols.len() {
        return None;
    }
    HeaderValue::from_str(&others.join(",")).ok()
}

/// The authorizer, asked about one request.
struct Authorities<'a> {
    server: &'a Server,
    request: &'a Attributes,
}

impl Authorities<'_> {
    fn attributes(&self, asked: Asked<'_>) -> Attributes {
        match asked {
            Asked::Request { prefix } => {
                let verb = format!("{prefix}{}", self.request.verb);
                Attributes { verb: verb.into(), ..self.request.clone() }
            }
            Asked::Part { verb, group, resource, subresource, namespace, name } => Attributes {
                subresource: subresource.into(),
                namespace: namespace.into(),
                name: name.into(),
                ..Attributes::resource(verb, group, "v1", resource)
            },
        }
    }
}

impl Judge for Authorities<'_> {
    fn may<'a>(&'a self, caller: &'a Caller, asked: Asked<'a>) -> Later<'a, Result<(), Status>> {
        Box::pin(async move {
            let attributes = self.attributes(asked);
            match self.server.authorizer.decide(caller, &attributes).await {
                Decision::Allow(_) => Ok(()),
                Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                    Err(attributes.forbidden(caller.name(), &why(&reason)))
                }
            }
        })
    }

    fn refusal(&self, caller: &Caller, asked: Asked<'_>, why: &str) -> Status {
        self.attributes(asked).forbidden(caller.name(), why)
    }
}

/// What is said of a refusal: what went wrong, then the reason.
fn why(reason: &Reason) -> String {
    match (reason.error(), reason.is_empty()) {
        (Some(error), true) => error.to_owned(),
        (Some(error), false) => format!("{error}: {reason}"),
        (None, _) => reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_went_wrong_before_its_reason() {
        for (reason, said) in [
            (Reason::NONE, ""),
            (Reason::from("no rule"), "no rule"),
            (Reason::NONE.with_error("no answer"), "no answer"),
            (Reason::from("no rule").with_error("no answer"), "no answer: no rule"),
        ] {
            assert_eq!(why(&reason), said);
        }
    }

    #[test]
    fn a_token_is_taken_from_the_protocols_of_a_web_socket() {
        let mut headers = HeaderMap::new();
        assert_eq!(without_token(&headers), None);
        headers.append("sec-websocket-protocol", HeaderValue::from_static("v5.channel.k8s.io, v4"));
        assert_eq!(without_token(&headers), None);
        let token = HeaderValue::from_static("base64url.bearer.authorization.k8s.io.YWJj");
        headers.append("sec-websocket-protocol", token);
        assert_eq!(without_token(&headers), Some(HeaderValue::from_static("v5.channel.k8s.io,v4")));
    }
}
