//! TLS as this house's servers speak it: 1.3 and 1.2, HTTP/2 and HTTP/1.1, client certificates welcome.
//!
//! A client certificate is asked for but not needed. The handshake proves that the client holds its key; whether
//! the certificate means anything is for `authn` to say, so that a wrong one is a 401 and not a broken line.

use crate::Credential;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::Arc;

/// The server's side of TLS. Clones share the certificate in use.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

impl ServerTls {
    /// Shows `server` to clients and hints that certificates from `client_cas` (DER) would be of use.
    pub fn new(server: &Credential, client_cas: &[&[u8]]) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let current = Arc::new(Current(ArcSwap::from_pointee(certified(server)?)));
        let verifier = Arc::new(Offered::new(client_cas, provider.signature_verification_algorithms)?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(ServerTls { config: Arc::new(config), current })
    }

    /// Shows another certificate from the next handshake on.
    pub fn replace(&self, server: &Credential) -> Result<(), Error> {
        self.current.0.store(Arc::new(certified(server)?));
        Ok(())
    }

    /// What a connection is accepted with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

fn certified(server: &Credential) -> Result<CertifiedKey, Error> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.key_der.clone()));
    let key = ring::sign::any_supported_type(&key)?;
    Ok(CertifiedKey::new(vec![server.certificate_der.clone().into()], key))
}

/// The certificate in use.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Asks for client certificates and takes any whose key the client holds.
#[derive(Debug)]
struct Offered {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Offered {
    fn new(client_cas: &[&[u8]], algorithms: WebPkiSupportedAlgorithms) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for ca in client_cas {
            roots.add(CertificateDer::from(*ca))?;
        }
        Ok(Offered { hints: roots.subjects(), algorithms })
    }
}

impl ClientCertVerifier for Offered {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
