//! Tokens of service accounts: JSON Web Tokens (RFC 7519), signed with ES256 by the cluster's service-account key.

use api::{Value, json};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
// A signature's nonce must be unguessable: it comes from the system, seeded runs or not.
use ring::rand as system;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use sha2::{Digest, Sha256};

/// Who issues tokens, and the audience of those that name none.
pub const ISSUER: &str = "https://kubernetes.default.svc";
/// What stands before the point of a P-256 key in its SubjectPublicKeyInfo.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Signs and verifies tokens with one key.
pub struct Signer {
    key: EcdsaKeyPair,
    /// The first part of every token.
    header: String,
}

impl Signer {
    /// From a P-256 private key in PEM (PKCS #8).
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(body).map_err(|e| format!("the service-account key is no PEM: {e}"))?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &system::SystemRandom::new())
                .map_err(|e| format!("the service-account key cannot be used: {e}"))?;
        let mut public = P256_PREFIX.to_vec();
        public.extend_from_slice(key.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(&public));
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"{id}"}}"#));
        Ok(Signer { key, header })
    }

    /// A token that says `claims`.
    pub fn sign(&self, claims: &Value) -> Result<String, String> {
        let message = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(json::to_vec(claims)));
        let signature = self
            .key
            .sign(&system::SystemRandom::new(), message.as_bytes())
            .map_err(|_| "cannot sign".to_owned())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What a token of ours says; `None` when it is not one. Its times are not looked at.
    pub fn verify(&self, token: &str) -> Option<Value> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        if header != self.header {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key());
        public.verify(message.as_bytes(), &signature).ok()?;
        let claims = json::parse(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.str_at(&["iss"]) == ISSUER).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn signer() -> Signer {
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &system::SystemRandom::new())
                .unwrap();
        Signer::from_pem(&format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        ))
        .unwrap()
    }

    #[test]
    fn a_token_is_known_by_its_signer_alone_and_only_whole() {
        let (ours, other) = (signer(), signer());
        let claims = tree!({"iss": ISSUER, "sub": "a"});
        let token = ours.sign(&claims).unwrap();
        assert_eq!(ours.verify(&token), Some(claims));
        assert_eq!(other.verify(&token), None);
        let mut forged: Vec<&str> = token.split('.').collect();
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{ISSUER}","sub":"b"}}"#));
        forged[1] = &claims;
        assert_eq!(ours.verify(&forged.join(".")), None);
        for garbage in ["", ".", "..", "a.b.c", &token[1..]] {
            assert_eq!(ours.verify(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn no_key_no_signer() {
        assert!(Signer::from_pem("").is_err());
        assert!(Signer::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").is_err());
    }
}
