//! Bootstrap tokens, `ID.SECRET`, by which new nodes join: secrets `bootstrap-token-ID` in `kube-system`. What is wrong
//! with one stays in the log. Source: upstream's `plugin/pkg/auth/authenticator/token/bootstrap`.

use crate::token::{TokenKind, TokenVerdict};
use crate::{Caller, Settings};
use api::{Later, Reader, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use stdx::{Clock, Time};

/// The group of all of them.
const GROUP: &str = "system:bootstrappers";
const TYPE: &str = "bootstrap.kubernetes.io/token";

struct BootstrapTokens {
    reader: Arc<dyn Reader>,
    clock: Clock,
}

/// See `TOKENS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every kind's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn TokenKind>>, String> {
    let (reader, clock) = (settings.reader.clone(), settings.clock.clone());
    let kind: Box<dyn TokenKind> = Box::new(BootstrapTokens { reader, clock });
    Ok(settings.bootstrap_tokens.then_some(kind))
}

impl TokenKind for BootstrapTokens {
    fn name(&self) -> &'static str {
        "bootstrap-token"
    }

    fn judge<'a>(&'a self, token: &'a str, _: &'a [String]) -> Later<'a, TokenVerdict> {
        Box::pin(async move {
            let Some((id, secret)) = split(token) else { return TokenVerdict::NotMine };
            let name = format!("bootstrap-token-{id}");
            let Some(object) = self.reader.get("", "secrets", "kube-system", &name).await else {
                return TokenVerdict::NotMine;
            };
            match caller(&object, id, secret, self.clock.now()) {
                Ok(caller) => TokenVerdict::known(caller),
                Err(why) => {
                    tracing::debug!(name, why, "a bootstrap token does not serve");
                    TokenVerdict::NotMine
                }
            }
        })
    }
}

/// `ID.SECRET`, six and sixteen small letters or digits.
fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let well = |text: &str, len| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    };
    (well(id, 6) && well(secret, 16)).then_some((id, secret))
}

fn data(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret.str_at(&["data", key])).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn caller(object: &Value, id: &str, secret: &str, now: Time) -> Result<Caller, String> {
    if !object.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        return Err("is deleted and awaiting removal".to_owned());
    }
    if object.str_at(&["type"]) != TYPE {
        return Err(format!("has invalid type, expected {TYPE}."));
    }
    // Digests tell nothing by the time that comparing them takes.
    if Sha256::digest(data(object, "token-secret")) != Sha256::digest(secret) {
        return Err("has invalid value for key token-secret.".to_owned());
    }
    if data(object, "token-id") != id {
        return Err("has invalid value for key token-id.".to_owned());
    }
    let ends = data(object, "expiration");
    if !ends.is_empty() && api::time::parse(&ends).map_or(true, |ends| ends.secs <= now.secs) {
        return Err("has expired.".to_owned());
    }
    if data(object, "usage-bootstrap-authentication") != "true" {
        return Err("not marked usage-bootstrap-authentication=true.".to_owned());
    }
    Ok(Caller::new(&format!("system:bootstrap:{id}"), groups(&data(object, "auth-extra-groups"))?))
}

/// The group of all, and those that the token names, in order.
fn groups(extra: &str) -> Result<Vec<String>, String> {
    let mut groups = BTreeSet::from([GROUP.to_owned()]);
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        if !is_group(group) {
            return Err(format!("has invalid value for key auth-extra-groups: {group}."));
        }
        groups.insert(group.to_owned());
    }
    Ok(groups.into_iter().collect())
}

/// `system:bootstrappers:` and small letters, digits, colons and dashes, of which no dash or colon stands last.
fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    rest.len() <= 256
        && rest.bytes().last().is_some_and(plain)
        && rest.bytes().all(|b| plain(b) || matches!(b, b':' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn secret() -> Value {
        let text = |text: &str| STANDARD.encode(text);
        tree!({
            "metadata": {"name": "bootstrap-token-abcdef"}, "type": TYPE,
            "data": {
                "token-id": text("abcdef"), "token-secret": text("0123456789abcdef"),
                "usage-bootstrap-authentication": text("true"),
                "auth-extra-groups": text("system:bootstrappers:kubeadm:default-node-token"),
                "expiration": text("2027-01-15T08:00:01Z")
            }
        })
    }

    fn judge(secret: &Value) -> Result<Caller, String> {
        caller(secret, "abcdef", "0123456789abcdef", NOW)
    }

    #[test]
    fn a_token_is_a_user_in_its_groups() {
        let caller = judge(&secret()).unwrap();
        assert_eq!(caller.name(), "system:bootstrap:abcdef");
        assert_eq!(caller.groups(), [GROUP, "system:bootstrappers:kubeadm:default-node-token"]);
    }

    #[test]
    fn what_is_wrong_with_a_secret_makes_its_token_nobodys() {
        let wrongs: [(&[&str], &str); 7] = [
            (&["type"], "Opaque"),
            (&["metadata", "deletionTimestamp"], "2027-01-15T08:00:00Z"),
            (&["data", "token-secret"], "AAAA"),
            (&["data", "token-id"], "AAAA"),
            (&["data", "usage-bootstrap-authentication"], "ZmFsc2U="),
            (&["data", "auth-extra-groups"], "c3lzdGVtOm1hc3RlcnM="),
            (&["data", "expiration"], "MjAyNy0wMS0xNVQwODowMDowMFo="),
        ];
        for (path, value) in wrongs {
            let mut secret = secret();
            secret.set(path, value);
            assert!(judge(&secret).is_err(), "{path:?}");
        }
        assert!(caller(&secret(), "abcdef", "0123456789abcdeg", NOW).is_err());
    }

    #[test]
    fn tokens_have_an_id_and_a_secret() {
        assert_eq!(split("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for wrong in [
            "",
            "abcdef",
            "abcde.0123456789abcdef",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcde.",
            "abcdef.0123456789abcdef\n",
        ] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn groups_are_those_of_bootstrappers() {
        for good in ["system:bootstrappers:a", "system:bootstrappers:-", "system:bootstrappers:a:b-c"] {
            assert_eq!(is_group(good), !good.ends_with('-'), "{good}");
        }
        for wrong in
            ["system:bootstrappers:", "system:bootstrappers", "system:masters", "system:bootstrappers:A"]
        {
            assert!(!is_group(wrong), "{wrong}");
        }
    }
}
