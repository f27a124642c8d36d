//! Client certificates: garbage in the place of a chain is nobody, and panics nowhere; so are CAs and public keys.
#![no_main]

use authn::{Authenticator, Peer, PublicKey, Settings, TrustedCas};
use authn_fuzz::{Lines, run};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use std::sync::LazyLock;
use stdx::{Clock, Time};

/// A CA whose key nobody has.
const CA: &[u8] = include_bytes!("../ca.der");

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let mut settings = Settings::new(Clock::manual(Time::from_secs(1_800_000_000)));
    settings.anonymous = false;
    settings.client_cas.replace(&[CertificateDer::from(CA)]).expect("a CA");
    Authenticator::new(&settings).expect("good settings")
});

fuzz_target!(|bytes: &[u8]| {
    let whole = CertificateDer::from(bytes.to_vec());
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let chain = vec![CertificateDer::from(first.to_vec()), CertificateDer::from(second.to_vec())];
    for certificates in [vec![whole.clone()], chain, vec![CertificateDer::from(CA), whole.clone()]] {
        let peer = Peer::new(certificates, None);
        assert!(run(AUTHENTICATOR.authenticate(&peer, &Lines::default(), "/api")).is_err());
    }
    let _ = TrustedCas::default().replace(&[whole]);
    let _ = PublicKey::from_der(bytes);
});
