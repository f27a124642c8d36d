//! The key that signs tokens of service accounts (JSON Web Tokens, RFC 7519), and the public keys that files hold.
//!
//! Keys are what upstream takes: RSA (RS256), and elliptic curves P-256 (ES256) and P-384 (ES384), in the forms that
//! openssl writes: PKCS #8, PKCS #1 and SEC 1.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
// A signature's nonce must be unguessable: it comes from the system, seeded runs or not.
use ring::hmac;
use ring::rand as system;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use sha2::{Digest, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
/// `INTEGER 0`, the version of PKCS #8.
const VERSION: &[u8] = &[0x02, 0x01, 0x00];
/// What stands for the kind of a key (RFC 3279, 5480), between the tags of its `AlgorithmIdentifier`.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
const P384: &[u8] =
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// Both curves, as they sign and as they are called in keys.
const CURVES: [(&EcdsaSigningAlgorithm, &[u8], &str); 2] =
    [(&ECDSA_P256_SHA256_FIXED_SIGNING, P256, "ES256"), (&ECDSA_P384_SHA384_FIXED_SIGNING, P384, "ES384")];

/// Signs tokens with one key.
pub struct TokenSigner {
    key: Key,
    public_key_der: Vec<u8>,
    /// The first part of every token.
    header: String,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Curve(Box<EcdsaKeyPair>),
}

impl TokenSigner {
    /// From the first private key of a PEM file.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let key = blocks(text)?.into_iter().find(|block| block.label.ends_with("PRIVATE KEY"));
        let key = key.ok_or("no private key in the file")?;
        TokenSigner::from_block(&key)
    }

    fn from_block(block: &Pem) -> Result<Self, String> {
        let der = &block.contents;
        let (key, public_key_der, algorithm) = match block.label.as_str() {
            "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(der))?,
            "EC PRIVATE KEY" => curve(|kind| pkcs8(kind, der))?,
            _ => curve(|_| der.clone()).or_else(|_| rsa(RsaKeyPair::from_pkcs8(der)))?,
        };
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(&public_key_der));
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","kid":"{id}"}}"#));
        Ok(TokenSigner { key, public_key_der, header })
    }

    /// The public key, as SubjectPublicKeyInfo.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    /// A token that says `claims`, which are JSON.
    pub fn sign(&self, claims: &[u8]) -> Result<String, String> {
        let message = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims));
        let random = system::SystemRandom::new();
        let signature = match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).map(|()| signature)
            }
            Key::Curve(key) => key.sign(&random, message.as_bytes()).map(|s| s.as_ref().to_vec()),
        };
        let signature = signature.map_err(|_| "cannot sign".to_owned())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSigner").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The signature of `content` by the token `id`.`secret` with which a node joins (HS256), without the content.
pub fn sign_detached(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

/// The public keys of a PEM file, as SubjectPublicKeyInfo: its public keys, those of its private keys, and of its
/// certificates.
pub fn public_keys_from_pem(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut keys = Vec::new();
    for block in blocks(text)? {
        match block.label.as_str() {
            "PUBLIC KEY" => keys.push(block.contents),
            "RSA PUBLIC KEY" => keys.push(public_key(RSA, &block.contents)),
            "CERTIFICATE" => {
                let (_, certificate) = X509Certificate::from_der(&block.contents)
                    .map_err(|why| format!("a certificate does not read: {why}"))?;
                keys.push(certificate.public_key().raw.to_vec());
            }
            label if label.ends_with("PRIVATE KEY") => {
                keys.push(TokenSigner::from_block(&block)?.public_key_der);
            }
            _ => {}
        }
    }
    if keys.is_empty() {
        Err("data does not contain any valid RSA or ECDSA public keys".to_owned())
    } else {
        Ok(keys)
    }
}

/// The certificates of a PEM file, DER.
pub fn certificates_from_pem(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let found: Vec<Vec<u8>> = blocks(text)?
        .into_iter()
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| block.contents)
        .collect();
    if found.is_empty() { Err("data does not contain any valid certificates".to_owned()) } else { Ok(found) }
}

fn blocks(text: &str) -> Result<Vec<Pem>, String> {
    Pem::iter_from_buffer(text.as_bytes()).collect::<Result<_, _>>().map_err(|why| format!("no PEM: {why}"))
}

type Parts = (Key, Vec<u8>, &'static str);

fn rsa(key: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Parts, String> {
    let key = key.map_err(|why| format!("the key cannot be used: {why}"))?;
    let public: PublicKeyComponents<Vec<u8>> = key.public().into();
    let integers = [integer(&public.n), integer(&public.e)].concat();
    Ok((Key::Rsa(Box::new(key)), public_key(RSA, &tlv(SEQUENCE, &integers)), "RS256"))
}

/// The curve's key whose PKCS #8 form `der` gives for each kind.
fn curve(der: impl Fn(&[u8]) -> Vec<u8>) -> Result<Parts, String> {
    let mut why = String::new();
    for (algorithm, kind, name) in CURVES {
        match EcdsaKeyPair::from_pkcs8(algorithm, &der(kind), &system::SystemRandom::new()) {
            Ok(key) => {
                let public = public_key(kind, key.public_key().as_ref());
                return Ok((Key::Curve(Box::new(key)), public, name));
            }
            Err(error) => why = format!("the key cannot be used: {error}"),
        }
    }
    Err(why)
}

fn public_key(kind: &[u8], key: &[u8]) -> Vec<u8> {
    // No bits of the last byte are unused.
    let key = tlv(BIT_STRING, &[&[0], key].concat());
    tlv(SEQUENCE, &[tlv(SEQUENCE, kind), key].concat())
}

fn pkcs8(kind: &[u8], key: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[VERSION, &tlv(SEQUENCE, kind), &tlv(OCTET_STRING, key)].concat())
}

/// A positive number, with a zero before a first bit that would make it negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    tlv(0x02, &[if negative { &[0][..] } else { &[] }, bytes].concat())
}

/// Tag, length, value, as DER writes them.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let len = value.len().to_be_bytes();
            let len: Vec<u8> = len.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(len.len()).unwrap_or(0));
            out.extend(len);
        }
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsed::pem;
    use x509_parser::x509::SubjectPublicKeyInfo;

    const RSA_KEY: &str = include_str!("token_signer/rsa.pem");

    fn curve_key(algorithm: &'static rcgen::SignatureAlgorithm) -> rcgen::KeyPair {
        rcgen::KeyPair::generate_for(algorithm).unwrap()
    }

    fn algorithm(token: &str) -> String {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        String::from_utf8(header).unwrap()[8..13].to_owned()
    }

    #[test]
    fn curves_sign_and_show_the_public_key_that_others_compute() {
        for (curve, name) in
            [(&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"), (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384")]
        {
            let key = curve_key(curve);
            let signer = TokenSigner::from_pem(&key.serialize_pem()).unwrap();
            assert_eq!(algorithm(&signer.sign(b"{}").unwrap()), name);
            assert_eq!(public_keys_from_pem(&key.public_key_pem()).unwrap(), [signer.public_key_der()]);
            assert_eq!(public_keys_from_pem(&key.serialize_pem()).unwrap(), [signer.public_key_der()]);
        }
    }

    #[test]
    fn rsa_keys_sign_in_both_forms() {
        let signer = TokenSigner::from_pem(RSA_KEY).unwrap();
        assert_eq!(algorithm(&signer.sign(b"{}").unwrap()), "RS256");
        let (_, parsed) = SubjectPublicKeyInfo::from_der(signer.public_key_der()).unwrap();
        let pkcs1 = pem("RSA PUBLIC KEY", &parsed.subject_public_key.data);
        assert_eq!(public_keys_from_pem(&pkcs1).unwrap(), [signer.public_key_der()]);
        let block = blocks(RSA_KEY).unwrap().remove(0);
        assert_eq!(block.label, "RSA PRIVATE KEY");
        let wrapped = TokenSigner::from_pem(&pem("PRIVATE KEY", &pkcs8(RSA, &block.contents))).unwrap();
        assert_eq!(wrapped.public_key_der(), signer.public_key_der());
    }

    #[test]
    fn curves_are_read_as_openssl_writes_them() {
        // PKCS #8 of these keys ends with the SEC 1 form.
        let key = curve_key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let der = key.serialize_der();
        let at = der.windows(6).position(|w| w[0] == SEQUENCE && w[2..] == [0x02, 0x01, 0x01, 0x04]).unwrap();
        let sec1 = pem("EC PRIVATE KEY", &der[at..]);
        assert_eq!(
            public_keys_from_pem(&sec1).unwrap(),
            public_keys_from_pem(&key.public_key_pem()).unwrap()
        );
    }

    #[test]
    fn content_is_signed_as_kubeadm_does() {
        // The expected signature was made with another implementation of HMAC.
        assert_eq!(
            sign_detached(
                "Hello from the other side. I must have called a thousand times.",
                "joshua",
                "my secret"
            ),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..uaOf9upP3NdHhGO-62JbQYHyljDohuR55ILTyJnn0VE"
        );
    }

    #[test]
    fn files_without_keys_are_refused() {
        for wrong in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(TokenSigner::from_pem(wrong).is_err(), "{wrong}");
            assert!(public_keys_from_pem(wrong).is_err(), "{wrong}");
        }
    }
}
