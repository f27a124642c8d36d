//! Requests and certificates as openssl makes them.

use super::*;

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

/// Ends 2126-10-28 16:46:08.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBbjCCARWgAwIBAgIUb87bGq294C4GVm20khenEQaEYwIwCgYIKoZIzj0EAwIw\n\
DDEKMAgGA1UEAwwBeDAgFw0yNjExMjExNjQ2MDhaGA8yMTI2MTAyODE2NDYwOFow\n\
DDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBtnq9Fw6cit\n\
SSe5n4sXEhYcepmlrucBokHUEEtl4XLxT3VoLAZeNowEcQAEbGO+HcRFkFC6nJvU\n\
fuFm06+cvFejUzBRMB0GA1UdDgQWBBSgnNA2d4pc9k6phV8NsLr0x9s9sDAfBgNV\n\
HSMEGDAWgBSgnNA2d4pc9k6phV8NsLr0x9s9sDAPBgNVHRMBAf8EBTADAQH/MAoG\n\
CCqGSM49BAMCA0cAMEQCIFiLC7rS7c5gKT28VLM74OhHWxsIHcEv9E1Km3E5EQhB\n\
AiAJhEHkRSWmixN64n6rRtJN4+XaypWX6bVEZl5tBge6Fg==\n\
-----END CERTIFICATE-----\n";

#[test]
fn a_request_tells_who_it_is_for_and_where() {
    let request = CertificateRequest::from_pem(REQUEST).unwrap();
    assert_eq!(request.common_name, "system:node:a");
    assert_eq!(request.organizations, ["system:nodes", "second"]);
    assert_eq!(request.dns_names, ["a.b"]);
    let addresses: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(request.ip_addresses, addresses);
    assert_eq!(
        (request.email_addresses, request.uris),
        (vec!["x@y".to_owned()], vec!["spiffe://z".to_owned()])
    );
}

#[test]
fn what_is_no_request_is_refused_in_the_words_of_go() {
    let refused = |text: &str| CertificateRequest::from_pem(text).unwrap_err();
    assert_eq!(refused("nothing"), "PEM block type must be CERTIFICATE REQUEST");
    assert_eq!(refused(CERTIFICATE), "PEM block type must be CERTIFICATE REQUEST");
    let wrapped = |der: &[u8]| refused(&pem::encode("CERTIFICATE REQUEST", der));
    assert_eq!(wrapped(&[0x30, 9, 0]), "asn1: syntax error: data truncated");
    assert_eq!(wrapped(&[0x30, 0, 0]), "asn1: syntax error: trailing data");
    assert!(
        wrapped(b"no").starts_with("asn1: structure error: tags don't match (16 vs {class:1 tag:14 length:")
    );
    assert_eq!(wrapped(&[0x30, 0]), "asn1: structure error: malformed certificate request");
}

#[test]
fn no_prefix_of_a_request_or_certificate_is_one() {
    let whole = CertificateRequest::from_pem(REQUEST).unwrap().der;
    let certificate = pem::blocks(CERTIFICATE).remove(0).der;
    for end in 0..whole.len() {
        assert!(CertificateRequest::from_der(whole[..end].to_vec()).is_err(), "{end}");
    }
    for end in 0..certificate.len() {
        assert!(certificate_end(&certificate[..end]).is_err(), "{end}");
    }
}

#[test]
fn certificates_tell_when_they_end() {
    let der = pem::blocks(CERTIFICATE).remove(0).der;
    assert_eq!(certificate_end(&der), Ok(4_948_879_568));
    assert_eq!(certificate_end(b"x").unwrap_err(), "x509: malformed certificate");
}
