//! Facts read back from a certificate, to decide whether it still serves.

use crate::ServerNames;
use std::net::IpAddr;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// What is needed of an X.509 certificate.
#[derive(Debug)]
pub(crate) struct ParsedCertificate {
    /// Unix seconds.
    pub not_after: i64,
    pub is_ca: bool,
    pub names: ServerNames,
    /// The key itself, without its algorithm.
    pub public_key: Vec<u8>,
    pub subject_key_id: Vec<u8>,
    pub authority_key_id: Vec<u8>,
}

impl ParsedCertificate {
    /// Reads DER; an error text when it is no certificate.
    pub fn of_der(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|e| format!("no certificate: {e}"))?;
        if !rest.is_empty() {
            return Err("bytes after the certificate".to_owned());
        }
        let mut parsed = ParsedCertificate {
            not_after: certificate.validity().not_after.timestamp(),
            is_ca: certificate.is_ca(),
            names: ServerNames::new(Vec::new(), Vec::new()),
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            subject_key_id: Vec::new(),
            authority_key_id: Vec::new(),
        };
        for extension in certificate.extensions() {
            parsed.note(extension.parsed_extension());
        }
        Ok(parsed)
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = id.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id =
                    id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(dns) => self.names.dns.push((*dns).to_owned()),
                        GeneralName::IPAddress(bytes) => self.names.ips.extend(address(bytes)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The bytes of the first certificate in a PEM text.
pub(crate) fn certificate_der(pem: &str) -> Result<Vec<u8>, String> {
    let (_, block) =
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| "not a PEM text".to_owned())?;
    if block.label == "CERTIFICATE" { Ok(block.contents) } else { Err(format!("a {} in PEM", block.label)) }
}

/// A PEM block of `label` around `der`.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
