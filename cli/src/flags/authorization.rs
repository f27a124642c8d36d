//! `--authorization-mode` and its like: who says what callers may do.

use super::duration;
use anyhow::{Context, bail, ensure};
use authz::{Configuration, Mode, WebhookMode};
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Authorization")]
pub struct Authorization {
    /// Who is asked, in this order: AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook [default: Node,RBAC]
    #[arg(long, value_name = "MODE,…", value_delimiter = ',')]
    pub authorization_mode: Option<Vec<String>>,
    /// An AuthorizationConfiguration, instead of the other flags of this group; it is read again when it changes
    #[arg(long, value_name = "FILE")]
    pub authorization_config: Option<PathBuf>,
    /// The server of mode Webhook, as a kubeconfig
    #[arg(long, value_name = "FILE")]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// The version of SubjectAccessReview that it takes: v1 or v1beta1 [default: v1beta1]
    #[arg(long, value_name = "VERSION")]
    pub authorization_webhook_version: Option<String>,
    /// How long it holds that something is allowed [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub authorization_webhook_cache_authorized_ttl: Option<Duration>,
    /// How long it holds that something is not allowed [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Option<Duration>,
}

/// The modes that can be named.
const MODES: [&str; 5] = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
/// For one question to the server of mode Webhook.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Authorization {
    /// What the flags say, together.
    ///
    /// # Errors
    /// When they contradict each other, or a file is not as it should be.
    pub fn configuration(&self) -> anyhow::Result<Configuration> {
        let Some(file) = &self.authorization_config else { return self.of_modes() };
        let others = self.authorization_mode.is_some()
            || self.authorization_webhook_config_file.is_some()
            || self.authorization_webhook_version.is_some()
            || self.authorization_webhook_cache_authorized_ttl.is_some()
            || self.authorization_webhook_cache_unauthorized_ttl.is_some();
        ensure!(
            !others,
            "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags \
             are defined"
        );
        parse(&client::kubeconfig::read_file(file).map_err(anyhow::Error::msg)?)
    }

    /// Whether everybody who is let in may do everything: then strangers are not let in.
    pub fn allows_all(&self) -> bool {
        self.authorization_mode.iter().flatten().any(|mode| mode == "AlwaysAllow")
    }

    fn of_modes(&self) -> anyhow::Result<Configuration> {
        let modes = match &self.authorization_mode {
            Some(modes) => modes.clone(),
            None => vec!["Node".to_owned(), "RBAC".to_owned()],
        };
        ensure!(!modes.is_empty(), "at least one authorization-mode must be passed");
        if let Some(unknown) = modes.iter().find(|mode| !MODES.contains(&mode.as_str())) {
            bail!("authorization-mode {unknown:?} is not a valid mode");
        }
        let distinct: BTreeSet<&String> = modes.iter().collect();
        ensure!(
            distinct.len() == modes.len(),
            "authorization-mode {modes:?} has mode specified more than once"
        );
        ensure!(
            self.authorization_webhook_config_file.is_none() || modes.iter().any(|mode| mode == "Webhook"),
            "cannot specify --authorization-webhook-config-file without mode Webhook"
        );
        let authorizers = modes.iter().map(|mode| match Mode::of_type(mode) {
            Some(mode) => Ok(mode),
            None => self.webhook().map(|webhook| Mode::Webhook(Box::new(webhook))),
        });
        Ok(Configuration { authorizers: authorizers.collect::<anyhow::Result<_>>()? })
    }

    fn webhook(&self) -> anyhow::Result<WebhookMode> {
        let file = self
            .authorization_webhook_config_file
            .as_deref()
            .context("authorization-mode Webhook's authorization config file not passed")?;
        let seconds = Duration::from_secs;
        Ok(WebhookMode {
            name: "default".to_owned(),
            remote: client::kubeconfig::read(file).map_err(anyhow::Error::msg)?,
            timeout: TIMEOUT,
            version: self.authorization_webhook_version.clone().unwrap_or_else(|| "v1beta1".to_owned()),
            authorized_ttl: self.authorization_webhook_cache_authorized_ttl.unwrap_or(seconds(300)),
            unauthorized_ttl: self.authorization_webhook_cache_unauthorized_ttl.unwrap_or(seconds(30)),
            deny_on_error: false,
            match_conditions: Vec::new(),
        })
    }
}

/// The content of an AuthorizationConfiguration.
pub fn parse(text: &[u8]) -> anyhow::Result<Configuration> {
    let read_file = |path: &str| client::kubeconfig::read_file(Path::new(path));
    Configuration::parse(text, &read_file).map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Command, Flags};
    use clap::Parser;

    fn of(flags: &[&str]) -> Result<Configuration, String> {
        let flags = Flags::try_parse_from(["pintle", "apiserver"].iter().chain(flags)).unwrap();
        let Command::Apiserver(cluster) = flags.command else { panic!("{flags:?}") };
        cluster.authorization.configuration().map_err(|why| why.to_string())
    }

    #[test]
    fn modes_are_asked_in_their_order() {
        assert_eq!(of(&[]), Ok(Configuration::usual()));
        let modes = of(&["--authorization-mode=RBAC,AlwaysDeny", "--authorization-mode", "Node"]).unwrap();
        assert_eq!(modes.authorizers, [Mode::Rbac, Mode::AlwaysDeny, Mode::Node]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "{current-context: a, contexts: [{name: a, context: {cluster: c}}], \
             clusters: [{name: c, cluster: {server: 'https://a'}}]}",
        )
        .unwrap();
        let file = format!("--authorization-webhook-config-file={}", file.path().display());
        let modes = of(&["--authorization-mode=Webhook", &file]).unwrap();
        let [Mode::Webhook(webhook)] = modes.authorizers.as_slice() else { panic!("{modes:?}") };
        assert_eq!((webhook.version.as_str(), webhook.authorized_ttl.as_secs()), ("v1beta1", 300));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let refused = |flags: &[&str], part: &str| {
            let why = of(flags).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        refused(&["--authorization-mode=Foo"], "authorization-mode \"Foo\" is not a valid mode");
        refused(&["--authorization-mode=RBAC,RBAC"], "has mode specified more than once");
        refused(&["--authorization-mode=Webhook"], "authorization config file not passed");
        refused(&["--authorization-webhook-config-file=a"], "without mode Webhook");
        refused(&["--authorization-config=a", "--authorization-mode=RBAC"], "can not be specified when");
        refused(&["--authorization-config=/no/such"], "open /no/such: no such file or directory");
    }
}
