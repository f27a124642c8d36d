//! `--authentication-config`, `--oidc-…` and `--authentication-token-webhook-…`: tokens that others answer for.

use super::duration;
use crate::follow_file;
use anyhow::{Context, anyhow, bail, ensure};
use authn::{Configuration, Issuers, OidcFlags, Settings, TokenWebhook};
use clap::Args;
use client::kubeconfig::{self, read_file};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Authentication by others")]
pub struct Oidc {
    /// An AuthenticationConfiguration: issuers of tokens, and where one may be anonymous; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// The server that judges tokens, as a kubeconfig
    #[arg(long, value_name = "FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// The version of TokenReview that it takes: v1 or v1beta1
    #[arg(long, value_name = "VERSION", default_value = "v1beta1")]
    pub authentication_token_webhook_version: String,
    /// How long its verdicts hold
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// An issuer of OpenID Connect, https://…
    #[arg(long, value_name = "URL")]
    pub oidc_issuer_url: Option<String>,
    /// For whom its tokens must be
    #[arg(long, value_name = "NAME")]
    pub oidc_client_id: Option<String>,
    /// PEM certificates that its server may come from [default: the machine's own]
    #[arg(long, value_name = "FILE")]
    pub oidc_ca_file: Option<PathBuf>,
    /// The claim that names the user [default: sub]
    #[arg(long, value_name = "CLAIM")]
    pub oidc_username_claim: Option<String>,
    /// What is put before the name, - for nothing [default: the issuer's URL and #, nothing for the claim email]
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    pub oidc_username_prefix: Option<String>,
    /// The claim that names groups
    #[arg(long, value_name = "CLAIM")]
    pub oidc_groups_claim: Option<String>,
    /// What is put before groups
    #[arg(long, value_name = "PREFIX")]
    pub oidc_groups_prefix: Option<String>,
    /// Algorithms that tokens may be signed by [default: RS256]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub oidc_signing_algs: Option<Vec<String>>,
    /// A claim that must have a value; may be given several times
    #[arg(long, value_name = "CLAIM=VALUE")]
    pub oidc_required_claim: Vec<String>,
}

/// How long the issuers of a configuration that changed have to answer, and how often they are asked.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

impl Oidc {
    /// Adds what the flags say to the settings, after those of the issuers of service accounts.
    /// `anonymous_is_set` is whether `--anonymous-auth` was given.
    ///
    /// # Errors
    /// When they contradict each other, or a file is not as it should be.
    pub fn settle(&self, settings: &mut Settings, anonymous_is_set: bool) -> anyhow::Result<()> {
        settings.token_webhook = self.token_webhook()?;
        let disallowed = settings.service_accounts.issuers.clone();
        let flags = self.flags()?;
        let Some(path) = &self.authentication_config else {
            if let Some(flags) = flags {
                settings.configuration =
                    Configuration::of_flags(&flags, &disallowed).map_err(anyhow::Error::msg)?;
            }
            return Ok(());
        };
        ensure!(flags.is_none(), "authentication-config file and oidc-* flags are mutually exclusive");
        let text = read_file(path).map_err(anyhow::Error::msg)?;
        let parsed = Configuration::parse(&text, &disallowed).map_err(|why| {
            anyhow!(
                "failed to load authentication configuration from file {:?}: {why}",
                path.display().to_string()
            )
        })?;
        if let Some(anonymous) = &parsed.anonymous {
            ensure!(
                !anonymous_is_set,
                "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in \
                 authentication configuration file"
            );
            (settings.anonymous, settings.anonymous_paths) = (anonymous.enabled, anonymous.paths.clone());
        }
        settings.configuration = parsed;
        let issuers = settings.issuers.clone();
        follow_file::follow(path, text, move |text| {
            let configuration = Configuration::parse(text, &disallowed).map_err(anyhow::Error::msg)?;
            tokio::spawn(replace(issuers.clone(), configuration));
            Ok(())
        })
    }

    fn token_webhook(&self) -> anyhow::Result<Option<TokenWebhook>> {
        let Some(path) = &self.authentication_token_webhook_config_file else { return Ok(None) };
        Ok(Some(TokenWebhook {
            remote: kubeconfig::read(path).map_err(anyhow::Error::msg)?,
            version: self.authentication_token_webhook_version.clone(),
            cache_ttl: self.authentication_token_webhook_cache_ttl,
        }))
    }

    /// What the flags say of one issuer; `None` when there are none.
    fn flags(&self) -> anyhow::Result<Option<OidcFlags>> {
        let others = [
            self.oidc_ca_file.is_some(),
            self.oidc_username_claim.is_some(),
            self.oidc_username_prefix.is_some(),
            self.oidc_groups_claim.is_some(),
            self.oidc_groups_prefix.is_some(),
            self.oidc_signing_algs.is_some(),
            !self.oidc_required_claim.is_empty(),
        ];
        let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
        let (issuer_url, client_id) = (text(&self.oidc_issuer_url), text(&self.oidc_client_id));
        match (issuer_url.is_empty(), client_id.is_empty()) {
            (true, true) if !others.contains(&true) => return Ok(None),
            (false, false) => {}
            _ if self.authentication_config.is_some() => {}
            _ => bail!(
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
            ),
        }
        let pair = |claim: &String| {
            let (name, value) = claim.split_once('=').context("oidc-required-claim must be CLAIM=VALUE")?;
            anyhow::Ok((name.to_owned(), value.to_owned()))
        };
        let ca = self.oidc_ca_file.as_deref().map(ca).transpose()?;
        Ok(Some(OidcFlags {
            issuer_url,
            client_id,
            ca: ca.unwrap_or_default(),
            username_claim: self.oidc_username_claim.clone().unwrap_or_else(|| "sub".to_owned()),
            username_prefix: text(&self.oidc_username_prefix),
            groups_claim: text(&self.oidc_groups_claim),
            groups_prefix: text(&self.oidc_groups_prefix),
            signing_algorithms: self.oidc_signing_algs.clone().unwrap_or_else(|| vec!["RS256".to_owned()]),
            required_claims: self.oidc_required_claim.iter().map(pair).collect::<anyhow::Result<_>>()?,
        }))
    }
}

fn ca(path: &Path) -> anyhow::Result<String> {
    Ok(String::from_utf8(read_file(path).map_err(anyhow::Error::msg)?)?)
}

/// Puts a changed configuration in force, once its issuers answer.
async fn replace(issuers: Issuers, configuration: Configuration) {
    let tries = async {
        let mut last = String::new();
        while let Err(why) = issuers.replace(&configuration).await {
            if why != last {
                tracing::error!("the authentication configuration is not in force yet: {why}");
            }
            last = why;
            tokio::time::sleep(RELOAD_PERIOD).await;
        }
    };
    match tokio::time::timeout(RELOAD_TIMEOUT, tries).await {
        Ok(()) => tracing::info!("the authentication configuration is in force"),
        Err(_) => tracing::error!("the authentication configuration stays as it was"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Command, Flags};
    use authn::Anonymous;
    use clap::Parser;
    use stdx::Clock;

    async fn settle(flags: &[&str]) -> Result<Settings, String> {
        let flags = Flags::try_parse_from(["pintle", "apiserver"].iter().chain(flags)).unwrap();
        let Command::Apiserver(cluster) = flags.command else { panic!("{flags:?}") };
        let mut settings = Settings::new(Clock::system());
        let set = cluster.authentication.anonymous_auth.is_some();
        cluster.oidc.settle(&mut settings, set).map_err(|why| why.to_string())?;
        Ok(settings)
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[tokio::test]
    async fn flags_and_files_name_issuers() {
        assert_eq!(settle(&[]).await.unwrap().configuration, Configuration::default());
        let flags = ["--oidc-issuer-url=https://a", "--oidc-client-id=b", "--oidc-required-claim=c=d=e"];
        let settings = settle(&flags).await.unwrap();
        let issuer = &settings.configuration.jwt[0];
        assert_eq!(issuer.required_claims, [("c".to_owned(), "d=e".to_owned())]);
        assert_eq!(issuer.signing_algorithms, ["RS256"]);
        let text = "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthenticationConfiguration, \
                    anonymous: {enabled: true, conditions: [{path: /livez}]}}";
        let file = file(text);
        let path = format!("--authentication-config={}", file.path().display());
        let settings = settle(&[&path]).await.unwrap();
        let expected = Anonymous { enabled: true, paths: vec!["/livez".to_owned()] };
        assert_eq!(settings.configuration.anonymous, Some(expected));
        assert_eq!(settings.anonymous_paths, ["/livez"]);
        let why = settle(&[&path, "--anonymous-auth=true"]).await.err().unwrap();
        assert!(why.starts_with("anonymous: Forbidden: --anonymous-auth flag cannot be set"), "{why}");
        let why = settle(&[&path, "--oidc-issuer-url=https://a"]).await.err().unwrap();
        assert_eq!(why, "authentication-config file and oidc-* flags are mutually exclusive");
    }

    #[tokio::test]
    async fn flags_that_lack_each_other_are_refused() {
        let together =
            "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set";
        for flags in
            [&["--oidc-issuer-url=https://a"][..], &["--oidc-client-id=a"], &["--oidc-groups-claim=g"]]
        {
            assert_eq!(settle(flags).await.err().as_deref(), Some(together));
        }
        let file = file("");
        let path = format!("--authentication-config={}", file.path().display());
        let why = settle(&[&path]).await.err().unwrap();
        assert!(why.starts_with("failed to load authentication configuration from file"), "{why}");
        assert!(why.ends_with(": empty config data"), "{why}");
    }
}
