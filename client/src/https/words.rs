//! What goes wrong on a connection, as Go's libraries say it.

use super::Failure;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, Error, InvalidMessage};
use std::error::Error as StdError;

/// Of a request that was not answered.
pub fn failure(error: &(dyn StdError + 'static)) -> Failure {
    let mut last: &(dyn StdError + 'static) = error;
    loop {
        if let Some(failure) = last.downcast_ref::<Failure>() {
            return failure.clone();
        }
        if let Some(error) = last.downcast_ref::<std::io::Error>() {
            return Failure(io(error));
        }
        if last.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return Failure("EOF".to_owned());
        }
        if last.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
            return Failure("http2: client connection lost".to_owned());
        }
        match last.source() {
            Some(source) => last = source,
            None => return Failure(last.to_string()),
        }
    }
}

/// Of reading or writing.
pub(super) fn io(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => tls(error),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => system(error),
    }
}

/// The system's words, without Rust's number after them.
pub(super) fn system(error: &std::io::Error) -> String {
    let text = error.to_string();
    // HTTP/2 hands on an error of TLS as its text.
    if let Some(alert) = text.strip_prefix("received fatal alert: ") {
        return format!("remote error: tls: {}", alert_text(alert));
    }
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("tls: failed to verify certificate: x509: {}", x509(why)),
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(&format!("{alert:?}"))),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        other => format!("tls: {other}"),
    }
}

fn x509(error: &CertificateError) -> String {
    let late = |time: &UnixTime, word: &str, limit: &UnixTime| {
        let (time, limit) = (moment(*time), moment(*limit));
        format!("certificate has expired or is not yet valid: current time {time} is {word} {limit}")
    };
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => late(time, "after", not_after),
        CertificateError::NotValidYetContext { time, not_before } => late(time, "before", not_before),
        CertificateError::NotValidForNameContext { expected, presented } => wrong_name(expected, presented),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "certificate specifies an incompatible key usage".to_owned()
        }
        other => other.to_string(),
    }
}

/// The names of a certificate come as `DnsName("a")` and `IpAddress(127.0.0.1)`.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let wanted = expected.to_str();
    let (kind, none) = match expected {
        ServerName::IpAddress(_) => (
            "IpAddress(",
            format!("cannot validate certificate for {wanted} because it doesn't contain any IP SANs"),
        ),
        _ => ("DnsName(", format!("certificate is not valid for any names, but wanted to match {wanted}")),
    };
    let inner = |name: &'_ String| -> Option<String> {
        Some(name.strip_prefix(kind)?.strip_suffix(')')?.trim_matches('"').to_owned())
    };
    let names: Vec<String> = presented.iter().filter_map(inner).collect();
    if names.is_empty() {
        none
    } else {
        format!("certificate is valid for {}, not {wanted}", names.join(", "))
    }
}

fn moment(time: UnixTime) -> String {
    stdx::Time { secs: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), nanos: 0 }.rfc3339()
}

/// By rustls' name.
fn alert_text(alert: &str) -> &'static str {
    match alert {
        "BadCertificate" => "bad certificate",
        "CertificateRequired" => "certificate required",
        "CertificateUnknown" => "unknown certificate",
        "CertificateExpired" => "expired certificate",
        "CertificateRevoked" => "revoked certificate",
        "UnsupportedCertificate" => "unsupported certificate",
        "UnknownCA" => "unknown certificate authority",
        "AccessDenied" => "access denied",
        "HandshakeFailure" => "handshake failure",
        "ProtocolVersion" => "protocol version not supported",
        "NoApplicationProtocol" => "no application protocol",
        "UnrecognisedName" => "unrecognized name",
        "InternalError" => "internal error",
        "DecodeError" => "error decoding message",
        "DecryptError" => "error decrypting message",
        _ => "alert",
    }
}
