//! `cargo xtask up`: a cluster of this machine. What a node needs is installed when it is missing, the binary is built as
//! it is shipped, and takes this process's place.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{tools, workspace};

#[derive(clap::Args)]
pub struct Args {
    /// Flags of `pintle up`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// Returns only when something fails.
pub fn run(args: &Args) -> Result<()> {
    if let Err(error) = tools::node() {
        eprintln!("up: this machine is no node: {error:#}");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--package", "pintle"];
    let status = Command::new(cargo).args(build).current_dir(workspace::root()).status();
    anyhow::ensure!(status.context("cannot run cargo")?.success(), "cannot build pintle");
    let binary = workspace::target_dir().join("release/pintle");
    Err(Command::new(&binary).arg("up").args(&args.flags).exec()).context("cannot run pintle")
}
