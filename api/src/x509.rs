//! Certificates and requests for them, as far as policy looks into them. Nothing is verified here: who signs a
//! request checks that it is signed itself.

use crate::{pem, time};
use std::net::IpAddr;
use stdx::der::{self, Element, SEQUENCE};

/// `2.5.4.3`, `2.5.4.10`, `2.5.29.17` and `1.2.840.113549.1.9.14`: their bytes in DER.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

const OBJECT_ID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const TWO_BYTE_STRING: u8 = 0x1e;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]` of a request: its attributes; of a certificate: its version.
const CONTEXT_0: u8 = 0xa0;

/// A PKCS #10 request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// All of it.
    pub der: Vec<u8>,
    /// The subject and the public key with its algorithm, as they stand in it.
    pub subject: Vec<u8>,
    pub public_key: Vec<u8>,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ip_addresses: Vec<IpAddr>,
    pub email_addresses: Vec<String>,
    pub uris: Vec<String>,
}

impl CertificateRequest {
    /// The request in the first PEM block of a text. An error in the words of Go and upstream.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        match pem::blocks(text).into_iter().next() {
            Some(block) if block.label == "CERTIFICATE REQUEST" => Self::from_der(block.der),
            _ => Err("PEM block type must be CERTIFICATE REQUEST".to_owned()),
        }
    }

    fn from_der(der: Vec<u8>) -> Result<Self, String> {
        let whole = sequence(&der, "certificateRequest")?;
        let mut request = Self::read(whole).ok_or("asn1: structure error: malformed certificate request")?;
        request.der = der;
        Ok(request)
    }

    fn read(whole: Element<'_>) -> Option<Self> {
        let mut parts = der::elements(whole.content);
        let info = is_sequence(parts.next()?)?;
        let (algorithm, signature) = (parts.next()?, parts.next()?);
        if algorithm.tag != SEQUENCE || signature.tag != der::BIT_STRING {
            return None;
        }
        let mut fields = der::elements(info.content).skip(1);
        let (subject, key) = (is_sequence(fields.next()?)?, is_sequence(fields.next()?)?);
        let mut request = CertificateRequest {
            subject: subject.bytes.to_vec(),
            public_key: key.bytes.to_vec(),
            ..CertificateRequest::default()
        };
        request.read_subject(subject)?;
        let attributes = fields.filter(|field| field.tag == CONTEXT_0);
        for attribute in attributes.flat_map(|list| der::elements(list.content)) {
            request.read_attribute(attribute)?;
        }
        Some(request)
    }

    fn read_subject(&mut self, subject: Element<'_>) -> Option<()> {
        for set in der::elements(subject.content) {
            for pair in der::elements(set.content) {
                let mut parts = der::elements(pair.content);
                let (id, value) = (parts.next()?, parts.next()?);
                match id.content {
                    oid if oid == COMMON_NAME => self.common_name = text(value),
                    oid if oid == ORGANIZATION => self.organizations.push(text(value)),
                    _ => {}
                }
            }
        }
        Some(())
    }

    fn read_attribute(&mut self, attribute: Element<'_>) -> Option<()> {
        let mut parts = der::elements(attribute.content);
        let (id, values) = (parts.next()?, parts.next()?);
        if id.tag != OBJECT_ID || id.content != EXTENSION_REQUEST {
            return Some(());
        }
        for extension in der::elements(der::element(values.content)?.0.content) {
            let mut parts = der::elements(extension.content);
            let id = parts.next()?;
            let value = parts.find(|part| part.tag == OCTET_STRING)?;
            if id.content == ALTERNATIVE_NAMES {
                self.read_names(der::element(value.content)?.0)?;
            }
        }
        Some(())
    }

    fn read_names(&mut self, names: Element<'_>) -> Option<()> {
        for name in der::elements(names.content) {
            let text = || String::from_utf8_lossy(name.content).into_owned();
            match name.tag {
                0x81 => self.email_addresses.push(text()),
                0x82 => self.dns_names.push(text()),
                0x86 => self.uris.push(text()),
                0x87 => self.ip_addresses.push(address(name.content)?),
                _ => {}
            }
        }
        Some(())
    }
}

/// When a certificate (DER) ends, in unix seconds. An error in Go's words when it is none.
pub fn certificate_end(der: &[u8]) -> Result<i64, String> {
    let whole = sequence(der, "certificate").map_err(|_| "x509: malformed certificate")?;
    end(whole).ok_or_else(|| "x509: malformed tbs certificate".to_owned())
}

fn end(certificate: Element<'_>) -> Option<i64> {
    let tbs = is_sequence(der::elements(certificate.content).next()?)?;
    let mut fields = der::elements(tbs.content).filter(|field| field.tag != CONTEXT_0);
    // After serial number, algorithm and issuer.
    let validity = is_sequence(fields.nth(3)?)?;
    let end = der::elements(validity.content).nth(1)?;
    let digits = std::str::from_utf8(end.content).ok()?.strip_suffix('Z')?;
    let whole = match end.tag {
        GENERALIZED_TIME => digits.to_owned(),
        UTC_TIME if digits < "50" => format!("20{digits}"),
        UTC_TIME => format!("19{digits}"),
        _ => return None,
    };
    let part = |range| whole.get(range);
    let (date, clock) =
        ((part(0..4)?, part(4..6)?, part(6..8)?), (part(8..10)?, part(10..12)?, part(12..14)?));
    let text = format!("{}-{}-{}T{}:{}:{}Z", date.0, date.1, date.2, clock.0, clock.1, clock.2);
    time::parse(&text).ok().map(|time| time.secs)
}

fn is_sequence(element: Element<'_>) -> Option<Element<'_>> {
    (element.tag == SEQUENCE).then_some(element)
}

/// `der` as one sequence and nothing behind; an error as Go's decoder words it for a structure of this name.
fn sequence<'a>(der: &'a [u8], name: &str) -> Result<Element<'a>, String> {
    let Some(first) = der.first().filter(|_| der.len() > 1) else {
        return Err("asn1: syntax error: sequence truncated".to_owned());
    };
    let (whole, rest) = match der::element(der) {
        Some(found) if *first == SEQUENCE => found,
        None if *first == SEQUENCE => return Err("asn1: syntax error: data truncated".to_owned()),
        found => {
            let length = found.map_or(0, |(element, _)| element.content.len());
            let (class, compound, tag) = (first >> 6, first & 0x20 != 0, first & 0x1f);
            return Err(format!(
                "asn1: structure error: tags don't match (16 vs {{class:{class} tag:{tag} length:{length} isCompound:{compound}}}) {{optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}} {name} @2"
            ));
        }
    };
    if rest.is_empty() { Ok(whole) } else { Err("asn1: syntax error: trailing data".to_owned()) }
}

fn text(value: Element<'_>) -> String {
    if value.tag != TWO_BYTE_STRING {
        return String::from_utf8_lossy(value.content).into_owned();
    }
    let units = value.content.chunks_exact(2).map(|pair| pair.iter().fold(0, |n, b| n << 8 | u16::from(*b)));
    String::from_utf16_lossy(&units.collect::<Vec<_>>())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(bytes) {
        Ok(v4) => Some(v4.into()),
        Err(_) => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests;
