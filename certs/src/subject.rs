//! A certificate's subject with several organizations, which is how groups are written.
//!
//! The library that makes certificates keeps one value per kind of name, so a user in two groups needs its
//! subject written here: the certificate is taken apart, the subject exchanged, and the whole signed again.

use crate::PkiError;
use rcgen::SigningKey;
use stdx::der::{BIT_STRING, SEQUENCE, SET, UTF8_STRING, element, tagged};

/// `2.5.4.10` and `2.5.4.3`, as they stand in DER with tag and length.
const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// Elements of a TBSCertificate before the subject: version, serial, algorithm, issuer, validity.
const BEFORE_SUBJECT: usize = 5;

/// `certificate` (DER) with another subject (DER), signed with `key`, which must be the key that signed it before.
pub(crate) fn with_subject(
    certificate: &[u8],
    subject: &[u8],
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
    fields.extend_from_slice(subject);
    fields.extend_from_slice(after);
    let tbs = tagged(SEQUENCE, &fields);
    let signature = [&[0u8][..], &key.sign(&tbs)?].concat();
    Ok(tagged(SEQUENCE, &[&tbs, algorithm.bytes, &tagged(BIT_STRING, &signature)].concat()))
}

/// `O=groups…, CN=user`, in DER.
pub(crate) fn of_user(user: &str, groups: &[String]) -> Vec<u8> {
    let part = |oid: &[u8], text: &str| {
        let pair = [oid, &tagged(UTF8_STRING, text.as_bytes())].concat();
        tagged(SET, &tagged(SEQUENCE, &pair))
    };
    let mut parts: Vec<u8> = groups.iter().flat_map(|group| part(&ORGANIZATION, group)).collect();
    parts.extend(part(&COMMON_NAME, user));
    tagged(SEQUENCE, &parts)
}
