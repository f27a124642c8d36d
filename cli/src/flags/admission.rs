//! `--enable-admission-plugins` and its like: what policy is asked.

use clap::Args;
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Admission")]
pub struct Admission {
    /// Admission plugins to use besides those that are on by default
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins not to use
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// Configurations of admission plugins: an AdmissionConfiguration
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// How long pods that do not say so stay on a node that is not ready
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub default_not_ready_toleration_seconds: i64,
    /// How long pods that do not say so stay on a node that is not reachable
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub default_unreachable_toleration_seconds: i64,
}

/// What kubeadm adds for a cluster with nodes.
const OF_CLUSTERS: &str = "NodeRestriction";

impl Admission {
    /// Adds the plugins that a whole cluster uses and an API server alone does not, unless the flags say otherwise.
    pub fn whole_cluster(&mut self) {
        let named = |list: &[String]| list.iter().any(|name| name == OF_CLUSTERS);
        if !named(&self.enable_admission_plugins) && !named(&self.disable_admission_plugins) {
            self.enable_admission_plugins.push(OF_CLUSTERS.to_owned());
        }
    }

    /// Adds what the flags say to the settings of a cluster.
    pub fn settle(&self, settings: &mut admission::Settings) -> anyhow::Result<()> {
        settings.read_file = read;
        settings.not_ready_toleration_secs = self.default_not_ready_toleration_seconds;
        settings.unreachable_toleration_secs = self.default_unreachable_toleration_seconds;
        if let Some(path) = &self.admission_control_config_file {
            settings.configure(&path.to_string_lossy()).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }
}

/// A file; an error in Go's words as far as they are plain.
fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("open {path}: permission denied"),
        _ => format!("open {path}: {error}"),
    })
}
