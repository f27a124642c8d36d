//! Public keys that verify signatures of JSON Web Tokens, from files (SubjectPublicKeyInfo) and from issuers (JSON Web
//! Keys, RFC 7517), and the documents that publish ours.

use api::{Value, tree};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// How each algorithm of RSA keys verifies.
const RSA: [(&str, &RsaParameters); 6] = [
    ("RS256", &RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &RSA_PKCS1_2048_8192_SHA384),
    ("RS512", &RSA_PKCS1_2048_8192_SHA512),
    ("PS256", &RSA_PSS_2048_8192_SHA256),
    ("PS384", &RSA_PSS_2048_8192_SHA384),
    ("PS512", &RSA_PSS_2048_8192_SHA512),
];

/// A public key, and the name that tokens know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Modulus and exponent, without zeros in front.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point, uncompressed, with its leading 4.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo; its name is the digest of that, as upstream's.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let unreadable = |why: &dyn std::fmt::Display| format!("the public key does not read: {why}");
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|why| unreadable(&why))?;
        let form = match info.parsed().map_err(|why| unreadable(&why))? {
            Parsed::RSA(key) => Form::Rsa { n: trimmed(key.modulus), e: trimmed(key.exponent) },
            Parsed::EC(point) => curve(point.data())?,
            _ => return Err("the public key is neither RSA nor of a curve".to_owned()),
        };
        Ok(PublicKey { id: URL_SAFE_NO_PAD.encode(Sha256::digest(der)), form })
    }

    /// From a JSON Web Key; `None` for those of unknown kinds, and those that do not read.
    pub fn from_jwk(jwk: &Value) -> Option<Self> {
        let bytes = |field: &str| decode(jwk.str_at(&[field])).filter(|bytes| !bytes.is_empty());
        let point = |len: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == len && y.len() == len).then(|| [&[4], &x[..], &y[..]].concat())
        };
        let form = match (jwk.str_at(&["kty"]), jwk.str_at(&["crv"])) {
            ("RSA", _) => Form::Rsa { n: trimmed(&bytes("n")?), e: trimmed(&bytes("e")?) },
            ("EC", "P-256") => Form::P256(point(32)?),
            ("EC", "P-384") => Form::P384(point(48)?),
            ("OKP", "Ed25519") => Form::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(PublicKey { id: jwk.str_at(&["kid"]).to_owned(), form })
    }

    /// The name of the key in the headers of tokens; may be empty.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm that this server signs with such a key.
    pub fn algorithm(&self) -> &'static str {
        match self.form {
            Form::Rsa { .. } => "RS256",
            Form::P256(_) => "ES256",
            Form::P384(_) => "ES384",
            Form::Ed25519(_) => "EdDSA",
        }
    }

    /// Whether the holder of this key signed `message` by `algorithm`, in the names of RFC 7518.
    pub fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let by = |with: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(with, key).verify(message, signature).is_ok()
        };
        match (&self.form, algorithm) {
            (Form::P256(point), "ES256") => by(&ECDSA_P256_SHA256_FIXED, point),
            (Form::P384(point), "ES384") => by(&ECDSA_P384_SHA384_FIXED, point),
            (Form::Ed25519(key), "EdDSA") => by(&ED25519, key),
            (Form::Rsa { n, e }, _) => {
                RSA.iter().find(|(name, _)| *name == algorithm).is_some_and(|(_, with)| {
                    RsaPublicKeyComponents { n, e }.verify(with, message, signature).is_ok()
                })
            }
            _ => false,
        }
    }

    /// The key as others may know it: a JSON Web Key.
    pub fn to_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (id, algorithm) = (self.id.as_str(), self.algorithm());
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
            tree!({"use": "sig", "kty": "EC", "kid": id, "crv": name, "alg": algorithm, "x": text(x), "y": text(y)})
        };
        match &self.form {
            Form::Rsa { n, e } => {
                tree!({"use": "sig", "kty": "RSA", "kid": id, "alg": algorithm, "n": text(n), "e": text(e)})
            }
            Form::P256(point) => curve("P-256", point),
            Form::P384(point) => curve("P-384", point),
            Form::Ed25519(key) => tree!({
                "use": "sig", "kty": "OKP", "kid": id, "crv": "Ed25519", "alg": algorithm, "x": text(key)
            }),
        }
    }
}

fn curve(point: &[u8]) -> Result<Form, String> {
    match (point.first(), point.len()) {
        (Some(4), 65) => Ok(Form::P256(point.to_vec())),
        (Some(4), 97) => Ok(Form::P384(point.to_vec())),
        _ => Err("the public key is of an unknown curve: P-256 and P-384 can be used".to_owned()),
    }
}

fn trimmed(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// Base64 of JSON Web Keys, which some issuers pad.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use certs::{TokenSigner, public_keys_from_pem};

    #[test]
    fn keys_come_back_from_their_documents() {
        let names = certs::ServerNames::new(Vec::new(), Vec::new());
        let pki = certs::Pki::ephemeral(&names, stdx::Time::from_secs(1_800_000_000)).unwrap();
        let signer = TokenSigner::from_pem(&pki.service_account.private_pem).unwrap();
        let key = PublicKey::from_der(signer.public_key_der()).unwrap();
        assert_eq!(PublicKey::from_jwk(&key.to_jwk()), Some(key.clone()));
        assert_eq!(key.algorithm(), "ES256");
        let read = public_keys_from_pem(&pki.service_account.public_pem).unwrap();
        assert_eq!(PublicKey::from_der(&read[0]), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for wrong in [
            tree!({}),
            tree!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            tree!({"kty": "RSA", "n": "!", "e": "AQAB"}),
            tree!({"kty": "oct", "k": "AAAA"}),
        ] {
            assert_eq!(PublicKey::from_jwk(&wrong), None, "{wrong:?}");
        }
        assert!(PublicKey::from_der(&[]).is_err());
    }
}
