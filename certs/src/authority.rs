//! An authority: a CA certificate with its key, and what it issues.

use crate::parsed::{ParsedCertificate, certificate_der, pem};
use crate::{PkiError, ServerNames, subject};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::time::Duration;
use stdx::Time;

const DAY: Duration = Duration::from_secs(86_400);
/// A CA outlives the cluster (kubeadm's ten years).
const CA_LIFETIME: Duration = DAY.saturating_mul(3650);
/// Certificates are valid from a little before they are made, for clients whose clock is behind.
const BACKDATE_SECS: i64 = 300;

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: Vec<u8>,
    key_id: Vec<u8>,
}

/// A certificate with its private key, in PEM and in DER (the key as PKCS #8).
#[derive(Clone, Debug)]
pub struct Credential {
    pub certificate_pem: String,
    pub certificate_der: Vec<u8>,
    pub key_pem: String,
    pub key_der: Vec<u8>,
}

impl Authority {
    /// A new authority with a new P-256 key.
    pub fn new(common_name: &str, now: Time) -> Result<Self, PkiError> {
        Authority::with_key(common_name, KeyPair::generate()?, now)
    }

    /// A new certificate for a key that is there.
    pub(crate) fn with_key(common_name: &str, key: KeyPair, now: Time) -> Result<Self, PkiError> {
        let mut params = params(common_name, now, CA_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::KeyEncipherment,
        ];
        let certificate = params.self_signed(&key)?.pem();
        Authority::read(&certificate, key).map_err(PkiError::Issue)
    }

    /// The authority of a CA certificate in PEM and its key in PEM. An error text when they are not a pair.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, String> {
        Authority::read(certificate, KeyPair::from_pem(key).map_err(|e| format!("no private key: {e}"))?)
    }

    fn read(certificate: &str, key: KeyPair) -> Result<Self, String> {
        let der = certificate_der(certificate)?;
        let parsed = ParsedCertificate::of_der(&der)?;
        if !parsed.is_ca {
            return Err("not a CA certificate".to_owned());
        }
        if parsed.public_key != key.public_key_raw() {
            return Err("the certificate is not for the key beside it".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key).map_err(|e| e.to_string())?;
        Ok(Authority {
            issuer,
            certificate_pem: certificate.to_owned(),
            certificate_der: der,
            key_id: parsed.subject_key_id,
        })
    }

    /// The CA certificate in PEM: what clients trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server certificate of the API server for `names`.
    pub fn issue_server(
        &self,
        names: &ServerNames,
        now: Time,
        lifetime: Duration,
    ) -> Result<Credential, PkiError> {
        self.issue_server_as("kube-apiserver", names, now, lifetime)
    }

    pub(crate) fn issue_server_as(
        &self,
        common_name: &str,
        names: &ServerNames,
        now: Time,
        lifetime: Duration,
    ) -> Result<Credential, PkiError> {
        let mut params = params(common_name, now, lifetime)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in &names.dns {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.subject_alt_names.extend(names.ips.iter().copied().map(SanType::IpAddress));
        let key = KeyPair::generate()?;
        let der = params.signed_by(&key, &self.issuer)?.der().to_vec();
        Ok(Credential::new(der, &key))
    }

    /// A client certificate: `user` is the common name, each group an organization.
    pub fn issue_client(
        &self,
        user: &str,
        groups: &[String],
        now: Time,
        lifetime: Duration,
    ) -> Result<Credential, PkiError> {
        let mut params = params(user, now, lifetime)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let der = params.signed_by(&key, &self.issuer)?.der().to_vec();
        let der = subject::with_subject(&der, &subject::of_user(user, groups), self.issuer.key())?;
        Ok(Credential::new(der, &key))
    }

    /// Whether `credential` was issued by this authority and its parts belong together.
    pub(crate) fn issued(&self, credential: &Credential) -> Option<ParsedCertificate> {
        let parsed = ParsedCertificate::of_der(&credential.certificate_der).ok()?;
        let key = KeyPair::from_pem(&credential.key_pem).ok()?;
        let ours = parsed.authority_key_id == self.key_id && parsed.public_key == key.public_key_raw();
        ours.then_some(parsed)
    }
}

fn params(common_name: &str, now: Time, lifetime: Duration) -> Result<CertificateParams, PkiError> {
    if common_name.is_empty() {
        return Err(PkiError::Issue("the user has no name".to_owned()));
    }
    let start = now.secs - BACKDATE_SECS;
    let end = now.plus(lifetime).secs;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |secs: i64| epoch + Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    let mut params = CertificateParams::default();
    params.not_before = at(start);
    params.not_after = at(end);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

impl Credential {
    fn new(certificate_der: Vec<u8>, key: &KeyPair) -> Self {
        Credential {
            certificate_pem: pem("CERTIFICATE", &certificate_der),
            certificate_der,
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    /// Reads both parts back; an error text when one is not what it should be.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, String> {
        let pair = KeyPair::from_pem(key).map_err(|e| format!("no private key: {e}"))?;
        Ok(Credential {
            certificate_pem: certificate.to_owned(),
            certificate_der: certificate_der(certificate)?,
            key_pem: key.to_owned(),
            key_der: pair.serialize_der(),
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
