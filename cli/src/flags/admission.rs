//! `--enable-admission-plugins` and its like: what policy is asked.

use clap::Args;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Admission")]
pub struct Admission {
    /// Admission plugins to use besides those that are on by default
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins not to use
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
}
