//! Client certificates: the common name is the user, each organization a group.
//!
//! The chain is verified here, not by the door, so that a bad certificate is a 401 and not a broken handshake.
//! A verdict is kept with the connection until the chain, or the patience with a refusal, runs out.

use crate::method::{Method, Settings, Verdict};
use crate::{Caller, Credentials, Peer};
use api::Later;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use std::time::Duration;
use stdx::{Clock, Time};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

const NAME: &str = "x509";
/// Under which key the certificate's digest is shown to audit and reviews.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// `1.3.6.1.4.1.57683.2` (the number of the Cloud Native Computing Foundation): a subject's part that holds
/// the user's UID.
const UID_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];
/// How long a refusal holds: a certificate may become valid while the connection stays.
const REFUSAL_SECS: i64 = 10;

struct X509 {
    anchors: Vec<TrustAnchor<'static>>,
    clock: Clock,
}

/// A verdict and the Unix second after which it is formed anew.
#[derive(Debug)]
pub(crate) struct Judged {
    verdict: Verdict,
    formed: i64,
    until: i64,
}

/// See `METHODS`.
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    if settings.client_cas.is_empty() {
        return Ok(None);
    }
    let anchor = |ca| anchor_from_trusted_cert(ca).map(|anchor| anchor.to_owned());
    let anchors = settings.client_cas.iter().map(anchor).collect::<Result<_, _>>();
    let anchors = anchors.map_err(|why| format!("bad client CA certificate: {why}"))?;
    Ok(Some(Box::new(X509 { anchors, clock: settings.clock.clone() })))
}

impl Method for X509 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict> {
        Box::pin(std::future::ready(self.look(credentials)))
    }
}

impl X509 {
    fn look(&self, credentials: &Credentials<'_>) -> Verdict {
        let Peer { judged, .. } = credentials.peer;
        let Some((leaf, intermediates)) = credentials.peer.certificates().split_first() else {
            return Verdict::NotMine;
        };
        let now = self.clock.now();
        if let Some(judged) = &*judged.read()
            && (judged.formed..=judged.until).contains(&now.secs)
        {
            return judged.verdict.clone();
        }
        let (verdict, until) = match self.verify(leaf, intermediates, now) {
            Ok((verdict, until)) => (verdict, until),
            Err(why) => (Verdict::refused(why), now.secs + REFUSAL_SECS),
        };
        *judged.write() = Some(Judged { verdict: verdict.clone(), formed: now.secs, until });
        verdict
    }
}

impl X509 {
    /// Who the certificate is for and how long its chain is valid; an error text when it is not now.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'static>],
        now: Time,
    ) -> Result<(Verdict, i64), String> {
        let unreadable = |why: webpki::Error| format!("the certificate does not read: {why}");
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.secs).unwrap_or(0)));
        let certificate = EndEntityCert::try_from(leaf).map_err(unreadable)?;
        let usage = KeyUsage::client_auth();
        certificate
            .verify_for_usage(ALL_VERIFICATION_ALGS, &self.anchors, intermediates, at, usage, None, None)
            .map_err(|why| format!("the certificate does not verify: {why}"))?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|why| format!("the certificate does not read: {why}"))?;
        let until = intermediates
            .iter()
            .filter_map(|der| end(der))
            .fold(end(leaf), |least, end| Some(least.map_or(end, |least| least.min(end))));
        Ok((caller(leaf, &parsed)?, until.unwrap_or(now.secs)))
    }
}

/// The Unix second at which a certificate ends.
fn end(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The user of a verified certificate; nobody when it has no common name.
fn caller(der: &[u8], certificate: &X509Certificate<'_>) -> Result<Verdict, String> {
    let subject = certificate.subject();
    let text = |part: &AttributeTypeAndValue<'_>| part.as_str().ok().map(ToOwned::to_owned);
    let Some(name) = subject.iter_common_name().filter_map(text).last().filter(|name| !name.is_empty())
    else {
        return Ok(Verdict::NotMine);
    };
    let groups = subject.iter_organization().filter_map(text).collect();
    let uid_oid = Oid::from(UID_OID).map_err(|_| "the UID's number does not read")?;
    let uids: Vec<Option<String>> = subject.iter_by_oid(&uid_oid).map(text).collect();
    let uid = match uids.as_slice() {
        [] => String::new(),
        [Some(uid)] if !uid.is_empty() => uid.clone(),
        _ => return Err("the certificate's UID must be one text that is not empty".to_owned()),
    };
    let digest: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("X509SHA256={digest}");
    let caller = Caller::new(&name, groups).by(NAME).with_uid(uid).with_extra(CREDENTIAL_ID, vec![id]);
    Ok(Verdict::known(caller.authenticated()))
}
