//! Client certificates: the common name is the user, each organization a group.
//!
//! The chain is verified here, not by the door, so that a bad certificate is a 401 and not a broken handshake.
//! A verdict is kept with the connection (`TrustedCas`).

use crate::method::{Method, Settings, Verdict};
use crate::trusted_cas::TrustedCas;
use crate::{Caller, Credentials};
use api::Later;
use sha2::{Digest, Sha256};
use stdx::Clock;
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{AttributeTypeAndValue, X509Certificate};

const NAME: &str = "x509";
/// Under which key the certificate's digest is shown to audit and reviews.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// `1.3.6.1.4.1.57683.2` (the number of the Cloud Native Computing Foundation): a subject's part that holds
/// the user's UID.
const UID_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];

struct X509 {
    cas: TrustedCas,
    clock: Clock,
}

/// See `METHODS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every method's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    Ok(Some(Box::new(X509 { cas: settings.client_cas.clone(), clock: settings.clock.clone() })))
}

impl Method for X509 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict> {
        let peer = credentials.peer;
        let found = self.cas.judge(peer, &peer.judged, self.clock.now(), |der, read| caller(der, read));
        Box::pin(std::future::ready(match found {
            Some(Ok(Some(caller))) => Verdict::known(caller),
            Some(Ok(None)) | None => Verdict::NotMine,
            Some(Err(why)) => Verdict::refused(why),
        }))
    }
}

/// The last common name of a certificate's subject; empty when it has none.
pub(crate) fn common_name(certificate: &X509Certificate<'_>) -> String {
    certificate.subject().iter_common_name().filter_map(text).last().unwrap_or_default()
}

fn text(part: &AttributeTypeAndValue<'_>) -> Option<String> {
    part.as_str().ok().map(ToOwned::to_owned)
}

/// The user of a verified certificate; nobody when it has no common name.
fn caller(der: &[u8], certificate: &X509Certificate<'_>) -> Result<Option<Caller>, String> {
    let (subject, name) = (certificate.subject(), common_name(certificate));
    if name.is_empty() {
        return Ok(None);
    }
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
    Ok(Some(caller.authenticated()))
}
