//! Bearer tokens: garbage, and tokens that are signed well but say anything. Nobody is recognized by one that is not
//! signed, and nobody ever gets into `system:masters` by one.
#![no_main]

use api::tree;
use authn::{Authenticator, Peer, PublicKey, ServiceAccounts, Settings, StaticTokens};
use authn_fuzz::{Everything, Lines, run};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use libfuzzer_sys::fuzz_target;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use std::sync::{Arc, LazyLock};
use stdx::{Clock, Time};

const ISSUER: &str = "https://kubernetes.default.svc";

static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let (with, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(with, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(with, pkcs8.as_ref(), &random).expect("the same key")
});

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let point = &KEY.public_key().as_ref()[1..];
    let (x, y) = (BASE64.encode(&point[..32]), BASE64.encode(&point[32..]));
    let jwk = tree!({"kty": "EC", "crv": "P-256", "kid": "", "x": x, "y": y});
    let mut settings = Settings::new(Clock::manual(Time::from_secs(1_800_000_000)));
    settings.anonymous = false;
    settings.bootstrap_tokens = true;
    settings.api_audiences = vec![ISSUER.to_owned()];
    settings.reader = Arc::new(Everything);
    settings.static_tokens = StaticTokens::parse("secret,jane,1,\"a,b\"\n", "tokens.csv").ok();
    let keys = vec![PublicKey::from_jwk(&jwk).expect("a key")];
    settings.service_accounts =
        ServiceAccounts { issuers: vec![ISSUER.to_owned()], keys, lookup: true, used: None };
    Authenticator::new(&settings).expect("good settings")
});

fn signed(head: &[u8], claims: &[u8]) -> Vec<u8> {
    let text = format!("{}.{}", BASE64.encode(head), BASE64.encode(claims));
    let signature = KEY.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
    format!("{text}.{}", BASE64.encode(signature)).into_bytes()
}

fuzz_target!(|bytes: &[u8]| {
    let peer = Peer::default();
    let ask = |token: &[u8]| run(AUTHENTICATOR.authenticate(&peer, &Lines::bearer(token), "/api"));
    if let Ok(caller) = ask(bytes) {
        assert_eq!(caller.name(), "jane", "an unsigned token is good for nothing");
    }
    let (head, claims) = match bytes.iter().position(|b| *b == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&br#"{"alg":"ES256"}"#[..], bytes),
    };
    if let Ok(caller) = ask(&signed(head, claims)) {
        assert!(caller.name().starts_with("system:serviceaccount:") && !caller.in_group("system:masters"));
    }
});
