//! A certificate's subject with several organizations, which is how groups are written.
//!
//! The library that makes certificates keeps one value per kind of name, so a user in two groups needs its
//! subject written here: the certificate is taken apart, the subject exchanged, and the whole signed again.

use crate::PkiError;
use rcgen::SigningKey;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
/// `2.5.4.10` and `2.5.4.3`, as they stand in DER with tag and length.
const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// Elements of a TBSCertificate before the subject: version, serial, algorithm, issuer, validity.
const BEFORE_SUBJECT: usize = 5;

/// `certificate` (DER) with the subject `O=groups…, CN=user`, signed with `key`, which must be the key that
/// signed it before.
pub(crate) fn with_subject(
    certificate: &[u8],
    user: &str,
    groups: &[String],
    key: &impl SigningKey,
) -> Result<Vec<u8>, PkiError> {
    let unreadable = || PkiError::Issue("the certificate does not read back".to_owned());
    let (whole, _) = element(certificate).ok_or_else(unreadable)?;
    let (tbs, rest) = element(whole.content).ok_or_else(unreadable)?;
    let (algorithm, _) = element(rest).ok_or_else(unreadable)?;
    let mut left = tbs.content;
    let mut fields = Vec::new();
    for _ in 0..BEFORE_SUBJECT {
        let (field, after) = element(left).ok_or_else(unreadable)?;
        fields.extend_from_slice(field.bytes);
        left = after;
    }
    let (_, after) = element(left).ok_or_else(unreadable)?;
    fields.extend(subject(user, groups));
    fields.extend_from_slice(after);
    let tbs = tagged(SEQUENCE, &fields);
    let signature = [&[0u8][..], &key.sign(&tbs)?].concat();
    Ok(tagged(SEQUENCE, &[&tbs, algorithm.bytes, &tagged(BIT_STRING, &signature)].concat()))
}

fn subject(user: &str, groups: &[String]) -> Vec<u8> {
    let part = |oid: &[u8], text: &str| {
        let pair = [oid, &tagged(UTF8_STRING, text.as_bytes())].concat();
        tagged(SET, &tagged(SEQUENCE, &pair))
    };
    let mut parts: Vec<u8> = groups.iter().flat_map(|group| part(&ORGANIZATION, group)).collect();
    parts.extend(part(&COMMON_NAME, user));
    tagged(SEQUENCE, &parts)
}

/// One DER element: all of its bytes, and those after tag and length.
struct Element<'a> {
    bytes: &'a [u8],
    content: &'a [u8],
}

/// The first element of `der` and what follows it.
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let first = *der.get(1)?;
    let (head, len) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        let digits = der.get(2..2 + count).filter(|digits| digits.len() <= 4)?;
        (2 + count, digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)))
    };
    let bytes = der.get(..head.checked_add(len)?)?;
    Some((Element { bytes, content: bytes.get(head..)? }, der.get(head + len..)?))
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = content.len();
    if let Ok(short @ 0..0x80) = u8::try_from(len) {
        out.push(short);
    } else {
        let digits = len.to_be_bytes();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.get(zeros..).unwrap_or_default();
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
    out
}
