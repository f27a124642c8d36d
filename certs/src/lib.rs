//! Certificate authority, issuing, renewal, kubeconfigs and service-account keys.
//!
//! `Pki` is everything a control plane needs, made once and kept in a directory; `Authority` signs;
//! `Credential` is a certificate with its key; `kubeconfig` writes one into a file for clients; `ServerTls` shows one
//! to the clients of a server.

mod authority;
mod error;
pub mod kubeconfig;
mod names;
mod parsed;
mod pki;
mod request;
mod server_tls;
mod subject;
mod token_signer;

pub use authority::{Authority, Credential};
pub use error::PkiError;
pub use names::ServerNames;
pub use pki::{ADMIN_GROUP, ADMIN_USER, KUBELET_CLIENT_USER, Pki, ServiceAccountKey};
pub use request::Terms;
pub use server_tls::ServerTls;
pub use token_signer::{TokenSigner, certificates_from_pem, public_keys_from_pem, sign_detached};
