//! `--service-account-issuer` and its like: tokens of service accounts, issued and recognized.

use anyhow::{Context, bail, ensure};
use apiserver::TokenIssuer;
use authn::{DEFAULT_ISSUER, PublicKey};
use certs::{Pki, TokenSigner, public_keys_from_pem};
use clap::Args;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The shortest and longest limit that makes sense, in seconds.
const MAX_LIFE_SECS: std::ops::RangeInclusive<i64> = 3600..=1 << 32;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Service accounts")]
pub struct ServiceAccounts {
    /// Who issues tokens of service accounts; the first issues, all are accepted [default: https://kubernetes.default.svc]
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Vec<String>,
    /// PEM keys, public or private, that verify tokens of service accounts [default: the cluster's own]
    #[arg(long, value_name = "FILE")]
    pub service_account_key_file: Vec<PathBuf>,
    /// PEM private key that signs tokens of service accounts [default: the cluster's own]
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Recognize tokens from secrets only as long as the secret is there
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub service_account_lookup: bool,
    /// The longest life of a token, such as 24h; longer ones are shortened
    #[arg(long, value_name = "DURATION")]
    pub service_account_max_token_expiration: Option<String>,
    /// Give the tokens that pods get by default a year, for clients that never read them again
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub service_account_extend_token_expiration: bool,
    /// Where others find the keys that verify tokens [default: this server's /openid/v1/jwks]
    #[arg(long, value_name = "URL")]
    pub service_account_jwks_uri: Option<String>,
}

impl ServiceAccounts {
    /// Who issues tokens, the one that this server issues as first.
    pub fn issuers(&self) -> anyhow::Result<Vec<String>> {
        let given = &self.service_account_issuer;
        for (at, issuer) in given.iter().enumerate() {
            ensure!(!issuer.is_empty(), "service-account-issuer should not be an empty string");
            if given.iter().position(|other| other == issuer) != Some(at) {
                bail!("service-account-issuer {issuer:?} is already specified");
            }
        }
        Ok(if given.is_empty() { vec![DEFAULT_ISSUER.to_owned()] } else { given.clone() })
    }

    /// What verifies tokens.
    pub fn keys(&self, pki: &Pki) -> anyhow::Result<Vec<PublicKey>> {
        let mut ders = Vec::new();
        for path in &self.service_account_key_file {
            let keys = public_keys_from_pem(&read(path)?).map_err(anyhow::Error::msg);
            ders.extend(keys.with_context(|| path.display().to_string())?);
        }
        if ders.is_empty() {
            ders.push(self.signer(pki)?.public_key_der().to_vec());
        }
        let keys = ders.iter().map(|der| PublicKey::from_der(der)).collect::<Result<_, _>>();
        keys.map_err(anyhow::Error::msg).context("--service-account-key-file")
    }

    /// What signs tokens.
    pub fn signer(&self, pki: &Pki) -> anyhow::Result<TokenSigner> {
        let Some(path) = &self.service_account_signing_key_file else {
            return TokenSigner::from_pem(&pki.service_account.private_pem).map_err(anyhow::Error::msg);
        };
        TokenSigner::from_pem(&read(path)?)
            .map_err(anyhow::Error::msg)
            .with_context(|| path.display().to_string())
    }

    /// What issues tokens, for a server at `address`.
    pub fn issuer(&self, pki: &Pki, address: SocketAddr) -> anyhow::Result<TokenIssuer> {
        let issuers = self.issuers()?;
        let issuer = issuers.first().context("nobody issues tokens")?;
        let mut tokens = TokenIssuer::new(self.signer(pki)?, issuer, self.keys(pki)?, address);
        if let Some(uri) = &self.service_account_jwks_uri {
            ensure!(
                uri.starts_with("https://"),
                "service-account-jwks-uri requires https scheme, parsed as: {uri}"
            );
            tokens.keys_uri.clone_from(uri);
        }
        tokens.extend = self.service_account_extend_token_expiration;
        if let Some(text) = &self.service_account_max_token_expiration {
            tokens.max_secs = max_secs(text)?;
        }
        Ok(tokens)
    }
}

fn max_secs(text: &str) -> anyhow::Result<Option<i64>> {
    let life = api::time::parse_duration(text).map_err(anyhow::Error::msg);
    let secs = life.context("--service-account-max-token-expiration")? / 1_000_000_000;
    let fits = secs == 0 || MAX_LIFE_SECS.contains(&secs);
    ensure!(fits, "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
    Ok(Some(secs).filter(|secs| *secs > 0))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
