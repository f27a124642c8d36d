//! `--scheduler-config`: how pods are placed.

use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Scheduler")]
pub struct Scheduler {
    /// Profiles, plugins and their settings: a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1)
    #[arg(long, value_name = "FILE")]
    pub scheduler_config: Option<PathBuf>,
}

impl Scheduler {
    /// What the file says, or the usual.
    pub fn configuration(&self) -> anyhow::Result<scheduler::Configuration> {
        let Some(path) = &self.scheduler_config else { return Ok(scheduler::Configuration::default()) };
        let about = || format!("--scheduler-config {}", path.display());
        let text = std::fs::read(path).with_context(about)?;
        scheduler::Configuration::parse(&text).map_err(anyhow::Error::msg).with_context(about)
    }
}
