//! Signing what others ask for: a PKCS #10 request becomes a certificate with its subject, key and alternative names.
//! Of its other wishes none is heard; usages and dates are those of the signer.

use crate::{Authority, PkiError, parsed, subject};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose as Extended, IsCa, KeyUsagePurpose as Usage, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use std::time::Duration;
use stdx::Time;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension};

/// Usages by the names that `certificates.k8s.io` has for them.
const USAGES: [(&str, Usage); 10] = [
    ("signing", Usage::DigitalSignature),
    ("digital signature", Usage::DigitalSignature),
    ("content commitment", Usage::ContentCommitment),
    ("key encipherment", Usage::KeyEncipherment),
    ("key agreement", Usage::KeyAgreement),
    ("data encipherment", Usage::DataEncipherment),
    ("cert sign", Usage::KeyCertSign),
    ("crl sign", Usage::CrlSign),
    ("encipher only", Usage::EncipherOnly),
    ("decipher only", Usage::DecipherOnly),
];

/// In the order in which they are written.
fn extended() -> [(&'static str, Extended); 13] {
    let other = |oid: &[u64]| Extended::Other(oid.to_vec());
    [
        ("any", Extended::Any),
        ("server auth", Extended::ServerAuth),
        ("client auth", Extended::ClientAuth),
        ("code signing", Extended::CodeSigning),
        ("email protection", Extended::EmailProtection),
        ("s/mime", Extended::EmailProtection),
        ("ipsec end system", other(&[1, 3, 6, 1, 5, 5, 7, 3, 5])),
        ("ipsec tunnel", other(&[1, 3, 6, 1, 5, 5, 7, 3, 6])),
        ("ipsec user", other(&[1, 3, 6, 1, 5, 5, 7, 3, 7])),
        ("timestamping", Extended::TimeStamping),
        ("ocsp signing", Extended::OcspSigning),
        ("microsoft sgc", other(&[1, 3, 6, 1, 4, 1, 311, 10, 3, 3])),
        ("netscape sgc", other(&[2, 16, 840, 1, 113_730, 4, 1])),
    ]
}

/// How a request is to be signed.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// As `certificates.k8s.io` calls them.
    pub usages: &'a [&'a str],
    pub not_before: Time,
    pub not_after: Time,
    /// Never used before.
    pub serial: [u8; 16],
}

impl Authority {
    /// When this authority ends.
    pub fn not_after(&self) -> Result<Time, PkiError> {
        let certificate =
            parsed::ParsedCertificate::of_der(self.certificate_der()).map_err(PkiError::Issue)?;
        Ok(Time { secs: certificate.not_after, ..Time::default() })
    }

    /// Signs a request (DER) whose own signature is good; gives the certificate as PEM.
    pub fn sign_request(&self, request: &[u8], terms: &Terms<'_>) -> Result<String, PkiError> {
        let issue = |why: String| PkiError::Issue(why);
        let (_, asked) = X509CertificationRequest::from_der(request)
            .map_err(|error| issue(format!("unable to parse certificate request: {error}")))?;
        asked
            .verify_signature()
            .map_err(|error| issue(format!("unable to verify certificate request signature: {error}")))?;
        let mut params = params(terms)?;
        for extension in asked.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                params.subject_alt_names.extend(
                    names.general_names.iter().filter_map(name).collect::<Result<Vec<_>, PkiError>>()?,
                );
            }
        }
        let info = &asked.certification_request_info;
        let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)?;
        let der = params.signed_by(&key, self.issuer())?.der().to_vec();
        let der = subject::with_subject(&der, info.subject.as_raw(), self.issuer().key())?;
        Ok(parsed::pem("CERTIFICATE", &der))
    }
}

fn params(terms: &Terms<'_>) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    let extended = extended();
    for usage in terms.usages {
        let known = |name: &&str| name == usage;
        match USAGES.iter().find(|(name, _)| known(name)) {
            Some((_, usage)) if params.key_usages.contains(usage) => {}
            Some((_, usage)) => params.key_usages.push(*usage),
            None if extended.iter().any(|(name, _)| known(name)) => {}
            None => return Err(PkiError::Issue(format!("unrecognized usage values: [{usage:?}]"))),
        }
    }
    for (_, usage) in extended.into_iter().filter(|(name, _)| terms.usages.contains(name)) {
        if !params.extended_key_usages.contains(&usage) {
            params.extended_key_usages.push(usage);
        }
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |time: Time| epoch + Duration::from_secs(u64::try_from(time.secs).unwrap_or(0));
    (params.not_before, params.not_after) = (at(terms.not_before), at(terms.not_after));
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from_slice(&terms.serial));
    Ok(params)
}

/// An alternative name of a kind that is carried over.
fn name(name: &GeneralName<'_>) -> Option<Result<SanType, PkiError>> {
    let text = |text: &str| Ok(text.try_into()?);
    match name {
        GeneralName::RFC822Name(email) => Some(text(email).map(SanType::Rfc822Name)),
        GeneralName::DNSName(dns) => Some(text(dns).map(SanType::DnsName)),
        GeneralName::URI(uri) => Some(text(uri).map(SanType::URI)),
        GeneralName::IPAddress(bytes) => parsed::address(bytes).map(|ip| Ok(SanType::IpAddress(ip))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::X509Certificate;

    /// `O=system:nodes, O=second, CN=system:node:a`, with alternative names of four kinds.
    const REQUEST: &str = "\
-----BEGIN CERTIFICATE REQUEST-----\n\
MIIBRTCB7AIBADBAMRUwEwYDVQQKDAxzeXN0ZW06bm9kZXMxDzANBgNVBAoMBnNl\n\
Y29uZDEWMBQGA1UEAwwNc3lzdGVtOm5vZGU6YTBZMBMGByqGSM49AgEGCCqGSM49\n\
AwEHA0IABHG2dnWGnf3UFL7eXmRB4h74nqNV2RHaP2OOPmoFvZgKy2KOUmL/fTHe\n\
Qjw4q8sELbrpFoJMc4v2e+dU7Z1FiDCgSjBIBgkqhkiG9w0BCQ4xOzA5MDcGA1Ud\n\
EQQwMC6CA2EuYocECgAAAYcQAAAAAAAAAAAAAAAAAAAAAYEDeEB5hgpzcGlmZmU6\n\
Ly96MAoGCCqGSM49BAMCA0gAMEUCIGAQHOoVeTAurwgK4lgpWPrwUURcJ/19KbUX\n\
qpMb7jEEAiEAjcWCZYVXrqmYvwrTgGWwa/eUvqzIbyn4m4VKPcfvxJU=\n\
-----END CERTIFICATE REQUEST-----\n";

    fn request() -> Vec<u8> {
        x509_parser::pem::parse_x509_pem(REQUEST.as_bytes()).unwrap().1.contents
    }

    fn at(secs: i64) -> Time {
        Time { secs, ..Time::default() }
    }

    fn terms<'a>(usages: &'a [&'a str]) -> Terms<'a> {
        Terms { usages, not_before: at(1_700_000_000), not_after: at(1_700_003_600), serial: [0xff; 16] }
    }

    #[test]
    fn a_certificate_is_what_was_asked_for_on_the_signers_terms() {
        let authority = Authority::new("test", at(1_600_000_000)).unwrap();
        let signed =
            authority.sign_request(&request(), &terms(&["client auth", "digital signature", "signing"]));
        let der = parsed::certificate_der(&signed.unwrap()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.subject().to_string(), "O=system:nodes, O=second, CN=system:node:a");
        assert_eq!(certificate.validity().not_before.timestamp(), 1_700_000_000);
        assert_eq!(certificate.validity().not_after.timestamp(), 1_700_003_600);
        assert_eq!(certificate.key_usage().unwrap().unwrap().value.flags, 1);
        let usages = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usages.client_auth && !usages.server_auth);
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && !constraints.value.ca);
        let names = certificate.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names.len(), 5);
        assert_eq!(certificate.raw_serial(), [&[0][..], &[0xff; 16]].concat());
        let (_, issuer) = X509Certificate::from_der(authority.certificate_der()).unwrap();
        certificate.verify_signature(Some(issuer.public_key())).unwrap();
    }

    #[test]
    fn a_request_with_a_broken_signature_or_an_odd_usage_is_not_signed() {
        let authority = Authority::new("test", at(1_600_000_000)).unwrap();
        let mut broken = request();
        let flipped = broken.iter().position(|byte| *byte == b'a').unwrap();
        broken[flipped] ^= 1;
        let why = authority.sign_request(&broken, &terms(&["client auth"])).unwrap_err().to_string();
        assert!(why.contains("unable to verify certificate request signature"), "{why}");
        let why = authority.sign_request(&request(), &terms(&["odd"])).unwrap_err().to_string();
        assert!(why.contains("unrecognized usage values: [\"odd\"]"), "{why}");
        assert_eq!(authority.not_after().unwrap(), at(1_600_000_000 + 3650 * 86_400));
    }
}
