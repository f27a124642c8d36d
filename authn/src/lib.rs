//! Who is calling: the only place that makes a `Caller`.
//!
//! The door hands in a `Peer` (a connection), the corridor adds the headers; `Authenticator` asks the methods
//! in `METHODS`, in upstream's order, and answers with a `Caller` or a refusal (401). The only other door is
//! `in_process`, for components that run in this very process.

mod anonymous;
mod bearer_token;
mod bootstrap_token;
mod caller;
mod configuration;
mod impersonate;
mod jwt;
mod legacy_token;
mod method;
mod oidc;
mod peer;
#[cfg(test)]
mod property_tests;
mod public_key;
mod request_header;
mod service_account;
mod static_token;
mod token;
mod trusted_cas;
pub mod webhook;
mod webhook_token;
mod x509;

pub use caller::{Caller, hypothetical, in_process};
pub use configuration::{Anonymous, Configuration, OidcFlags};
pub use impersonate::{Asked, Impersonated, Impersonation, Judge, is_impersonation};
pub use method::{Authenticator, METHODS, MakeMethod, Method, Recognized, Refusal, Settings, Verdict};
pub use oidc::Issuers;
pub use peer::{Credentials, Headers, Peer};
pub use public_key::PublicKey;
pub use request_header::RequestHeaders;
pub use service_account::{DEFAULT_ISSUER, LegacyUse, ServiceAccounts};
pub use static_token::StaticTokens;
pub use token::{MakeTokenKind, TOKENS, TokenCache, TokenKind, TokenVerdict};
pub use trusted_cas::TrustedCas;
pub use webhook_token::TokenWebhook;

/// The group of everybody who was recognized.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user of a request without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
