//! Whom a connection believes, and what it shows of itself.
//!
//! Certificates are judged as Go judges them: the name before the chain, and a certificate that is itself among the
//! trusted ones is believed even if it could sign others, as self-made ones often can.

use api::Remote;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, crypto,
};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where systems keep the certificates that they trust, as Go looks for them.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS to the server of `remote`.
pub(super) fn config(remote: &Remote, protocols: &[&str]) -> Result<ClientConfig, String> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = Arc::new(Trust::new(remote, &provider)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &remote.client {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
            let chain = chain
                .ok()
                .filter(|chain| !chain.is_empty())
                .ok_or("tls: failed to find any PEM data in certificate input")?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| "tls: failed to find any PEM data in key input")?;
            builder.with_client_auth_cert(chain, key).map_err(|why| format!("tls: {why}"))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

#[derive(Debug)]
struct Trust {
    insecure: bool,
    roots: Arc<RootCertStore>,
    /// The trusted certificates themselves.
    own: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    fn new(remote: &Remote, provider: &CryptoProvider) -> Result<Self, String> {
        let (roots, own) = match &remote.ca {
            _ if remote.insecure => (Arc::new(RootCertStore::empty()), Vec::new()),
            Some(pem) => {
                let own: Vec<_> = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
                let mut roots = RootCertStore::empty();
                let (good, _) = roots.add_parsable_certificates(own.iter().cloned());
                if good == 0 {
                    return Err("unable to load root certificates: unable to parse bytes as PEM block".into());
                }
                (Arc::new(roots), own)
            }
            None => (system_roots(), Vec::new()),
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Trust { insecure: remote.insecure, roots, own, algorithms })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        in_time(end_entity, now)?;
        verify_server_name(&certificate, name)?;
        if !self.own.contains(end_entity) {
            let all = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, all)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate is valid at a time.
fn in_time(der: &CertificateDer<'_>, time: UnixTime) -> Result<(), Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let seconds = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    let (not_before, not_after) =
        (seconds(certificate.validity().not_before), seconds(certificate.validity().not_after));
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before }.into());
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after }.into());
    }
    Ok(())
}

/// What this machine trusts; read once.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        let given = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let mut files = given.into_iter().chain(SYSTEM_BUNDLES.map(PathBuf::from));
        if let Some(pem) = files.find_map(|file| std::fs::read(file).ok()) {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        }
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}
