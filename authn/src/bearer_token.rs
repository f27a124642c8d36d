//! `Authorization: Bearer TOKEN`, and the same as a subprotocol of a WebSocket, for browsers, which cannot set
//! headers. Whose token it is, the kinds of tokens tell.

use crate::jwt::BASE64;
use crate::method::{Method, Settings, Verdict};
use crate::token::{TokenVerdict, Tokens};
use crate::{Credentials, Headers};
use api::Later;
use base64::Engine;

/// What stands before a token in a WebSocket's subprotocol.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
const UNKNOWN: &str = "invalid bearer token";
const IGNORED: &str =
    "the provided Authorization header contains extra space before the bearer token, and is ignored";
struct BearerToken(Tokens);

/// See `METHODS`.
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    Ok(Some(Box::new(BearerToken(Tokens::new(settings)?))))
}

impl Method for BearerToken {
    fn name(&self) -> &'static str {
        "bearer-token"
    }

    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict> {
        Box::pin(async {
            let header = credentials.headers.first("authorization").and_then(token);
            let mut reasons = match header {
                // The server's own token is asked for before all others: it has none, and says so as upstream does.
                Some(token) => match self.ask(token, credentials, &[UNKNOWN]).await {
                    Verdict::Refused(reasons) => reasons,
                    verdict => return verdict,
                },
                None => Vec::new(),
            };
            match protocol_token(credentials.headers) {
                Ok(None) => {}
                Err(why) => reasons.push(why.to_owned()),
                Ok(Some(token)) => match self.ask(token.as_bytes(), credentials, &[]).await {
                    Verdict::Refused(why) => reasons.extend(why),
                    verdict => return verdict,
                },
            }
            if reasons.is_empty() { Verdict::NotMine } else { Verdict::Refused(reasons) }
        })
    }
}

impl BearerToken {
    /// `before` are reasons that stand before those of the kinds, when none of them knows the token.
    async fn ask(&self, token: &[u8], credentials: &Credentials<'_>, before: &[&str]) -> Verdict {
        let mut reasons: Vec<String> = before.iter().map(ToString::to_string).collect();
        let verdict = match std::str::from_utf8(token) {
            Ok(token) => self.0.judge(token, credentials.audiences).await,
            Err(_) => TokenVerdict::NotMine,
        };
        match verdict {
            TokenVerdict::Known { caller, audiences } => Verdict::Known { caller, audiences },
            TokenVerdict::NotMine => {
                reasons.push(UNKNOWN.to_owned());
                Verdict::Refused(reasons)
            }
            TokenVerdict::Refused(why) => {
                reasons.extend(why);
                Verdict::Refused(reasons)
            }
        }
    }
}

/// The token of an `Authorization` header: what stands between the scheme, in any case, and the next space.
/// An empty one is none at all.
fn token(header: &[u8]) -> Option<&[u8]> {
    let mut parts = header.trim_ascii().splitn(3, |byte| *byte == b' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

/// What is to be said to whoever sent a token that is not looked at.
pub(crate) fn warning(headers: &dyn Headers) -> Option<&'static str> {
    let header = headers.first("authorization")?.trim_ascii();
    let (scheme, rest) = header.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && rest.starts_with(b" ")).then_some(IGNORED)
}

/// The token among the subprotocols of a WebSocket, one of which must be another.
fn protocol_token(headers: &dyn Headers) -> Result<Option<String>, &'static str> {
    if !opens_web_socket(headers) {
        return Ok(None);
    }
    let (mut token, mut others) = (None, 0);
    for protocol in headers.all("sec-websocket-protocol").into_iter().flat_map(|v| v.split(|b| *b == b',')) {
        let Some(encoded) = protocol.trim_ascii().strip_prefix(PROTOCOL.as_bytes()) else {
            others += 1;
            continue;
        };
        if token.is_some() {
            return Err("multiple base64.bearer.authorization tokens specified");
        }
        let decoded =
            BASE64.decode(encoded).map_err(|_| "invalid base64.bearer.authorization token encoding")?;
        token = Some(String::from_utf8(decoded).map_err(|_| "invalid base64.bearer.authorization token")?);
    }
    match token.filter(|token| !token.is_empty()) {
        Some(_) if others == 0 => Err("missing additional subprotocol"),
        token => Ok(token),
    }
}

/// Whether a request is to become a WebSocket.
fn opens_web_socket(headers: &dyn Headers) -> bool {
    let upgrade = headers.first("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let connection = headers.first("connection").map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
    upgrade && connection.split(|byte| *byte == b',').any(|part| part.trim_ascii() == b"upgrade")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sent(Vec<(&'static str, String)>);

    impl Headers for Sent {
        fn first(&self, name: &str) -> Option<&[u8]> {
            self.all(name).first().copied()
        }

        fn all(&self, name: &str) -> Vec<&[u8]> {
            self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_bytes()).collect()
        }
    }

    fn protocols(value: &str) -> Result<Option<String>, &'static str> {
        protocol_token(&Sent(vec![
            ("connection", "keep-alive, Upgrade".to_owned()),
            ("upgrade", "WebSocket".to_owned()),
            ("sec-websocket-protocol", value.to_owned()),
        ]))
    }

    #[test]
    fn tokens_are_found_as_upstream_finds_them() {
        assert_eq!(token(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(token(b"  bEARER abc def "), Some(&b"abc"[..]));
        assert_eq!(token(b"Bearer \xff\xfe"), Some(&b"\xff\xfe"[..]));
        for none in [&b"Bearer"[..], b"Bearer ", b"Bearer  abc", b"Basic YTpi", b"", b"Bearerabc"] {
            assert_eq!(token(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_web_socket_has_its_token_among_its_protocols() {
        let named = format!("{PROTOCOL}{}", BASE64.encode("abc"));
        assert_eq!(protocols(&format!("v4.channel.k8s.io, {named}")), Ok(Some("abc".to_owned())));
        assert_eq!(protocols("v4.channel.k8s.io"), Ok(None));
        assert_eq!(protocols(&format!("v4,{PROTOCOL}")), Ok(None));
        assert_eq!(protocols(&named), Err("missing additional subprotocol"));
        assert!(protocols(&format!("v4,{named},{named}")).is_err());
        assert!(protocols(&format!("v4,{PROTOCOL}a")).is_err());
        assert!(protocols(&format!("v4,{PROTOCOL}_w")).is_err());
        assert_eq!(protocol_token(&Sent(vec![("sec-websocket-protocol", format!("v4,{named}"))])), Ok(None));
    }
}
