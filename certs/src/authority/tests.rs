//! Issued certificates, judged by the library that judges them in service.

use super::*;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring::ECDSA_P256_SHA256};

const NOW: Time = Time::from_secs(1_800_000_000);

fn verify(authority: &Authority, leaf: &[u8], at: Time, usage: KeyUsage) -> Result<(), webpki::Error> {
    let ca = authority.certificate_der().into();
    let anchors = [anchor_from_trusted_cert(&ca)?];
    let leaf = leaf.into();
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(at.secs.unsigned_abs()));
    let certificate = EndEntityCert::try_from(&leaf)?;
    certificate.verify_for_usage(&[ECDSA_P256_SHA256], &anchors, &[], time, usage, None, None).map(|_| ())
}

#[test]
fn a_client_certificate_carries_every_group_and_verifies() {
    let ca = Authority::new("kubernetes", NOW).unwrap();
    let groups: Vec<String> = (0..40).map(|n| format!("group-{n}-ü")).collect();
    let made = ca.issue_client("jane", &groups, NOW, DAY).unwrap();
    verify(&ca, &made.certificate_der, NOW, KeyUsage::client_auth()).unwrap();
    let (_, read) = x509_parser::parse_x509_certificate(&made.certificate_der).unwrap();
    let organizations: Vec<&str> = read.subject().iter_organization().map(|o| o.as_str().unwrap()).collect();
    assert_eq!(organizations, groups);
    assert_eq!(read.subject().iter_common_name().next().unwrap().as_str().unwrap(), "jane");
}

#[test]
fn certificates_end_and_start_when_they_say() {
    let ca = Authority::new("kubernetes", NOW).unwrap();
    let made = ca.issue_client("jane", &[], NOW, DAY).unwrap();
    let check = |at: Time| verify(&ca, &made.certificate_der, at, KeyUsage::client_auth());
    assert!(check(NOW.plus(DAY)).is_ok());
    assert!(check(NOW.plus(DAY + Duration::from_secs(2))).is_err());
    assert!(check(Time::from_secs(NOW.secs - 60)).is_ok());
    assert!(check(Time::from_secs(NOW.secs - 600)).is_err());
}

#[test]
fn one_use_does_not_stand_in_for_the_other() {
    let ca = Authority::new("kubernetes", NOW).unwrap();
    let names = ServerNames::new(vec!["localhost".into()], vec![[127, 0, 0, 1].into()]);
    let server = ca.issue_server(&names, NOW, DAY).unwrap();
    verify(&ca, &server.certificate_der, NOW, KeyUsage::server_auth()).unwrap();
    assert!(verify(&ca, &server.certificate_der, NOW, KeyUsage::client_auth()).is_err());
    let parsed = ca.issued(&server).unwrap();
    assert_eq!(parsed.names, names);
}

#[test]
fn another_authority_of_the_same_name_did_not_issue_it() {
    let (ours, theirs) =
        (Authority::new("kubernetes", NOW).unwrap(), Authority::new("kubernetes", NOW).unwrap());
    let made = theirs.issue_client("jane", &["system:masters".into()], NOW, DAY).unwrap();
    assert!(verify(&ours, &made.certificate_der, NOW, KeyUsage::client_auth()).is_err());
    assert!(ours.issued(&made).is_none());
    assert!(theirs.issued(&made).is_some());
}

#[test]
fn an_authority_reads_back_and_goes_on_issuing() {
    let first = Authority::new("kubernetes", NOW).unwrap();
    let again = Authority::from_pem(first.certificate_pem(), &first.key_pem()).unwrap();
    let made = again.issue_client("jane", &[], NOW, DAY).unwrap();
    verify(&first, &made.certificate_der, NOW, KeyUsage::client_auth()).unwrap();
    let other = Authority::new("kubernetes", NOW).unwrap();
    assert!(Authority::from_pem(first.certificate_pem(), &other.key_pem()).is_err());
    assert!(Authority::from_pem(&made.certificate_pem, &made.key_pem).is_err(), "a leaf is no authority");
}

#[test]
fn a_user_without_a_name_is_refused() {
    let ca = Authority::new("kubernetes", NOW).unwrap();
    assert!(ca.issue_client("", &[], NOW, DAY).is_err());
}
