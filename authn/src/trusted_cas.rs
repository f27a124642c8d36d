//! CA certificates that may be exchanged while the server runs, and what a client's certificate is worth by them.

use crate::Peer;
use arc_swap::ArcSwap;
use parking_lot::RwLock;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use stdx::Time;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a refusal holds: a certificate may become valid while the connection stays.
const REFUSAL_SECS: i64 = 10;

/// CA certificates; none at first. Cheap to clone, and all clones see the same.
#[derive(Clone, Debug, Default)]
pub struct TrustedCas(Arc<ArcSwap<Vec<Ca>>>);

/// A CA and the Unix seconds it is valid between, both included: an anchor by itself has no times.
#[derive(Debug)]
struct Ca {
    anchor: TrustAnchor<'static>,
    not_before: i64,
    not_after: i64,
}

/// What was found about a connection's certificate by some CAs, kept with the connection.
#[derive(Debug)]
pub(crate) struct Judged<T> {
    found: Result<T, String>,
    by: Arc<Vec<Ca>>,
    formed: i64,
    until: i64,
}

impl TrustedCas {
    /// Trusts these alone from now on. An error text, and no change, when one of them is no CA certificate.
    pub fn replace(&self, certificates: &[CertificateDer<'static>]) -> Result<(), String> {
        let cas = certificates.iter().map(Ca::read).collect::<Result<_, _>>();
        self.0.store(Arc::new(cas.map_err(|why| format!("bad client CA certificate: {why}"))?));
        Ok(())
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// What `read` says of the certificate that the client showed, once its chain verifies. `kept` holds the answer
    /// until the chain ends, the CAs change, or the patience with a refusal does. `None` when the client showed none
    /// or nobody is trusted.
    pub(crate) fn judge<T: Clone>(
        &self,
        peer: &Peer,
        kept: &RwLock<Option<Judged<T>>>,
        now: Time,
        read: impl FnOnce(&CertificateDer<'_>, &X509Certificate<'_>) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let (leaf, intermediates) = peer.certificates().split_first()?;
        let cas = self.0.load();
        if cas.is_empty() {
            return None;
        }
        if let Some(judged) = &*kept.read()
            && (judged.formed..=judged.until).contains(&now.secs)
            && Arc::ptr_eq(&judged.by, &cas)
        {
            return Some(judged.found.clone());
        }
        let verified = verify(&cas, leaf, intermediates, now);
        let (found, until) =
            match verified.and_then(|(leaf_read, until)| Ok((read(leaf, &leaf_read)?, until))) {
                Ok((found, until)) => (Ok(found), until),
                Err(why) => (Err(why), now.secs + REFUSAL_SECS),
            };
        let by = Arc::clone(&cas);
        *kept.write() = Some(Judged { found: found.clone(), by, formed: now.secs, until });
        Some(found)
    }
}

impl Ca {
    fn read(der: &CertificateDer<'static>) -> Result<Self, String> {
        let anchor = anchor_from_trusted_cert(der).map_err(|why| why.to_string())?.to_owned();
        let (_, read) = X509Certificate::from_der(der).map_err(|why| why.to_string())?;
        let (not_before, not_after) = (read.validity().not_before, read.validity().not_after);
        Ok(Ca { anchor, not_before: not_before.timestamp(), not_after: not_after.timestamp() })
    }

    fn is_valid(&self, now: Time) -> bool {
        (self.not_before..=self.not_after).contains(&now.secs)
    }
}

/// The certificate and how long its chain, up to the CAs that are valid now, is valid; an error text when it is not
/// now.
fn verify<'a>(
    cas: &[Ca],
    leaf: &'a CertificateDer<'_>,
    intermediates: &[CertificateDer<'static>],
    now: Time,
) -> Result<(X509Certificate<'a>, i64), String> {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.secs).unwrap_or(0)));
    let certificate =
        EndEntityCert::try_from(leaf).map_err(|why| format!("the certificate does not read: {why}"))?;
    let usage = KeyUsage::client_auth();
    let valid = || cas.iter().filter(|ca| ca.is_valid(now));
    let anchors: Vec<TrustAnchor<'_>> = valid().map(|ca| ca.anchor.clone()).collect();
    certificate
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, intermediates, at, usage, None, None)
        .map_err(|why| format!("the certificate does not verify: {why}"))?;
    let (_, read) =
        X509Certificate::from_der(leaf).map_err(|why| format!("the certificate does not read: {why}"))?;
    let ends = intermediates.iter().filter_map(|der| end(der)).chain(valid().map(|ca| ca.not_after));
    let until = ends.fold(read.validity().not_after.timestamp(), i64::min);
    Ok((read, until))
}

/// The Unix second at which a certificate ends.
fn end(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
