//! `--anonymous-auth` and its like: how callers are recognized.

use super::ServiceAccounts;
use crate::follow_file;
use anyhow::{Context, ensure};
use api::Value;
use authn::{RequestHeaders, Settings, StaticTokens, TrustedCas};
use certs::{Pki, certificates_from_pem};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub struct Authentication {
    /// Let requests without credentials in, as system:anonymous [default: true]
    #[arg(long, value_name = "BOOL")]
    pub anonymous_auth: Option<bool>,
    /// For whom tokens must be that are used here [default: the issuers of service accounts' tokens]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    /// PEM certificates of CAs that sign certificates of users [default: the cluster's own]
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Recognize tokens by which nodes join [default: true with pintle up]
    #[arg(long, value_name = "BOOL")]
    pub enable_bootstrap_token_auth: Option<bool>,
    /// CSV file of tokens: token, user name, UID, "group,group"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    #[command(flatten)]
    pub service_accounts: ServiceAccounts,
    #[command(flatten)]
    pub proxy: Proxy,
}

/// Authenticating proxies.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Authenticating proxies")]
pub struct Proxy {
    /// PEM certificates of CAs that sign certificates of proxies
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of proxies [default: any]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers for the user's name, such as X-Remote-User
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub requestheader_username_headers: Vec<String>,
    /// Headers for the user's UID, such as X-Remote-Uid
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers for groups, such as X-Remote-Group
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub requestheader_group_headers: Vec<String>,
    /// How headers begin that hold more about the user, such as X-Remote-Extra-
    #[arg(long, value_name = "PREFIX,…", value_delimiter = ',')]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

impl Authentication {
    /// Adds what the flags say to the settings of a cluster with the keys of `pki`; `joins` is whether nodes may join
    /// unless the flags say.
    pub fn settle(&self, settings: &mut Settings, pki: &Pki, joins: bool) -> anyhow::Result<()> {
        settings.anonymous = self.anonymous_auth.unwrap_or(true);
        settings.bootstrap_tokens = self.enable_bootstrap_token_auth.unwrap_or(joins);
        let issuers = self.service_accounts.issuers()?;
        settings.api_audiences =
            if self.api_audiences.is_empty() { issuers.clone() } else { self.api_audiences.clone() };
        settings.service_accounts.issuers = issuers;
        settings.service_accounts.keys = self.service_accounts.keys(pki)?;
        settings.service_accounts.lookup = self.service_accounts.service_account_lookup;
        match &self.client_ca_file {
            Some(path) => follow_cas(path, &settings.client_cas)?,
            None => trust(&settings.client_cas, pki.ca.certificate_pem())?,
        }
        if let Some(path) = &self.token_auth_file {
            let text = read(path)?;
            let tokens = StaticTokens::parse(&text, &path.display().to_string());
            settings.static_tokens = Some(tokens.map_err(anyhow::Error::msg)?);
        }
        settings.request_headers = self.proxy.headers()?;
        Ok(())
    }

    /// What other servers of the cluster are told of how users are known, under upstream's names.
    pub fn trust(&self, pki: &Pki) -> anyhow::Result<Vec<(String, String)>> {
        let client_cas = match &self.client_ca_file {
            Some(path) => read(path)?,
            None => pki.ca.certificate_pem().to_owned(),
        };
        let mut trust = vec![("client-ca-file".to_owned(), client_cas)];
        let proxy = &self.proxy;
        if let Some(path) = &proxy.requestheader_client_ca_file {
            trust.push(("requestheader-client-ca-file".to_owned(), read(path)?));
            for (key, values) in [
                ("requestheader-allowed-names", &proxy.requestheader_allowed_names),
                ("requestheader-username-headers", &proxy.requestheader_username_headers),
                ("requestheader-uid-headers", &proxy.requestheader_uid_headers),
                ("requestheader-group-headers", &proxy.requestheader_group_headers),
                ("requestheader-extra-headers-prefix", &proxy.requestheader_extra_headers_prefix),
            ] {
                let json = api::json::to_vec(&Value::from(values.clone()));
                trust.push((key.to_owned(), String::from_utf8_lossy(&json).into_owned()));
            }
        }
        Ok(trust)
    }
}

impl Proxy {
    fn headers(&self) -> anyhow::Result<Option<RequestHeaders>> {
        let Some(path) = &self.requestheader_client_ca_file else { return Ok(None) };
        let username = filled("--requestheader-username-headers", &self.requestheader_username_headers)?;
        ensure!(!username.is_empty(), "--requestheader-username-headers must be set");
        let headers = RequestHeaders {
            cas: TrustedCas::default(),
            allowed_names: self.requestheader_allowed_names.clone(),
            username,
            uid: filled("--requestheader-uid-headers", &self.requestheader_uid_headers)?,
            group: filled("--requestheader-group-headers", &self.requestheader_group_headers)?,
            extra_prefixes: filled(
                "--requestheader-extra-headers-prefix",
                &self.requestheader_extra_headers_prefix,
            )?,
        };
        follow_cas(path, &headers.cas)?;
        Ok(Some(headers))
    }
}

/// The values of a flag, none of which may be blank.
fn filled(flag: &str, values: &[String]) -> anyhow::Result<Vec<String>> {
    let values: Vec<String> = values.iter().map(|value| value.trim().to_owned()).collect();
    ensure!(values.iter().all(|value| !value.is_empty()), "empty value in {flag:?}");
    Ok(values)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn trust(cas: &TrustedCas, pem: &str) -> anyhow::Result<()> {
    let ders = certificates_from_pem(pem).map_err(anyhow::Error::msg)?;
    let ders: Vec<_> = ders.into_iter().map(Into::into).collect();
    cas.replace(&ders).map_err(anyhow::Error::msg)
}

/// Trusts the certificates of a file, now and after each change of it.
fn follow_cas(path: &Path, cas: &TrustedCas) -> anyhow::Result<()> {
    let current = read(path)?;
    trust(cas, &current).with_context(|| path.display().to_string())?;
    let cas = cas.clone();
    follow_file::follow(path, current.into_bytes(), move |text| trust(&cas, std::str::from_utf8(text)?))
}
