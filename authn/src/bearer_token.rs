//! `Authorization: Bearer TOKEN`. Kinds of tokens are asked in turn; a token that none of them knows is refused.
//! There are none yet: service accounts, OpenID Connect and the others come with the chain of identities.

use crate::Credentials;
use crate::method::{Method, Settings, Verdict};
use api::Later;

struct BearerToken;

/// See `METHODS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every method's maker
pub(crate) fn make(_: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    Ok(Some(Box::new(BearerToken)))
}

impl Method for BearerToken {
    fn name(&self) -> &'static str {
        "bearer-token"
    }

    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict> {
        Box::pin(async {
            match credentials.headers.first("authorization").and_then(token) {
                Some(_) => Verdict::Refused("unknown bearer token".to_owned()),
                None => Verdict::NotMine,
            }
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_as_upstream_finds_them() {
        assert_eq!(token(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(token(b"  bEARER abc def "), Some(&b"abc"[..]));
        assert_eq!(token(b"Bearer \xff\xfe"), Some(&b"\xff\xfe"[..]));
        for none in [&b"Bearer"[..], b"Bearer ", b"Bearer  abc", b"Basic YTpi", b"", b"Bearerabc"] {
            assert_eq!(token(none), None, "{none:?}");
        }
    }
}
