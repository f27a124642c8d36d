//! `--anonymous-auth` and its like: how callers are recognized.

use clap::Args;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub struct Authentication {
    /// Let requests without credentials in, as system:anonymous
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub anonymous_auth: bool,
}

impl Authentication {
    /// Adds what the flags say to the settings of a cluster.
    pub fn settle(&self, settings: &mut authn::Settings) -> anyhow::Result<()> {
        settings.anonymous = self.anonymous_auth;
        Ok(())
    }
}
