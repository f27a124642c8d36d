//! `TokenIssuer`: how this server issues tokens of service accounts, and the documents by which others can verify them
//! (OpenID Connect Discovery). Source: upstream's `pkg/serviceaccount/openidmetadata.go`.

use api::{Value, tree};
use authn::PublicKey;
use certs::TokenSigner;
use std::net::SocketAddr;

/// A pod's token of exactly this life is that of `kube-api-access`: old clients that never read it again get a year.
pub const WATCHED_SECS: i64 = 3607;
/// How long those last that get more than they ask for.
pub const EXTENDED_SECS: i64 = 365 * 24 * 3600;
/// Where the keys are shown.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

/// Issues tokens of service accounts.
#[derive(Debug)]
pub struct TokenIssuer {
    /// Signs them.
    pub signer: TokenSigner,
    /// What they say issued them.
    pub issuer: String,
    /// What they are verified by, in the order it is shown to others.
    pub keys: Vec<PublicKey>,
    /// The longest life a token is given; longer ones are shortened.
    pub max_secs: Option<i64>,
    /// Whether tokens of `kube-api-access` get a year.
    pub extend: bool,
    /// Where others find the keys, `https://…`.
    pub keys_uri: String,
}

impl TokenIssuer {
    /// Issues in the name of `issuer`, without limits, for a server at `address`.
    pub fn new(signer: TokenSigner, issuer: &str, keys: Vec<PublicKey>, address: SocketAddr) -> Self {
        let (issuer, keys_uri) = (issuer.to_owned(), format!("https://{address}{KEYS_PATH}"));
        TokenIssuer { signer, issuer, keys, max_secs: None, extend: true, keys_uri }
    }

    /// How long a token lives that is asked for `secs`, and whether it is for the asking.
    pub fn shortened(&self, secs: i64) -> Option<i64> {
        self.max_secs.filter(|max| *max > 0 && secs > *max)
    }

    /// Whether others can find the documents: only under an issuer that is a plain HTTPS URL.
    fn is_discoverable(&self) -> bool {
        self.issuer.starts_with("https://")
            && self.keys_uri.starts_with("https://")
            && !self.issuer.contains(['?', '#'])
            && !self.keys.is_empty()
    }

    /// `/.well-known/openid-configuration`.
    pub fn configuration(&self) -> Option<Value> {
        let mut algorithms: Vec<&str> = self.keys.iter().map(PublicKey::algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        self.is_discoverable().then(|| {
            tree!({
                "issuer": self.issuer.as_str(),
                "jwks_uri": self.keys_uri.as_str(),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": algorithms
            })
        })
    }

    /// `/openid/v1/jwks`.
    pub fn key_set(&self) -> Option<Value> {
        let keys = || self.keys.iter().map(PublicKey::to_jwk).collect::<Vec<_>>();
        self.is_discoverable().then(|| tree!({"keys": keys()}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(name: &str) -> TokenIssuer {
        let names = certs::ServerNames::new(Vec::new(), Vec::new());
        let pki = certs::Pki::ephemeral(&names, stdx::Time::from_secs(1_800_000_000)).unwrap();
        let signer = TokenSigner::from_pem(&pki.service_account.private_pem).unwrap();
        let keys = vec![PublicKey::from_der(signer.public_key_der()).unwrap()];
        TokenIssuer::new(signer, name, keys, "10.0.0.1:6443".parse().unwrap())
    }

    #[test]
    fn others_find_the_keys_under_an_issuer_that_is_a_plain_url() {
        let ours = issuer("https://kubernetes.default.svc");
        assert_eq!(
            ours.configuration(),
            Some(tree!({
                "issuer": "https://kubernetes.default.svc", "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks",
                "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"]
            }))
        );
        let keys = ours.key_set().unwrap();
        assert_eq!(keys.list_at(&["keys"])[0].str_at(&["kty"]), "EC");
        for name in ["kubernetes/serviceaccount", "http://a", "https://a?b", "https://a#b"] {
            assert_eq!((issuer(name).configuration(), issuer(name).key_set()), (None, None), "{name}");
        }
    }
}
