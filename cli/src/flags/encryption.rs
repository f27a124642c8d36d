//! `--encryption-provider-config`: what rests sealed in the store.

use apiserver::encryption::Encryption as Room;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use stdx::Ids;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Store")]
pub struct Encryption {
    /// Which resources rest encrypted in the store, and with what keys
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Use the file anew when it changes
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set, requires = "encryption_provider_config")]
    pub encryption_provider_config_automatic_reload: bool,
}

impl Encryption {
    /// The encryption that the flags ask for. Must be called within a tokio runtime.
    pub async fn open(&self) -> Result<Option<Arc<Room>>, String> {
        let Some(path) = &self.encryption_provider_config else { return Ok(None) };
        Room::open(path, self.encryption_provider_config_automatic_reload, Ids::system()).await.map(Some)
    }
}
