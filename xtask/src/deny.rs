//! Licences, bans and sources of all dependencies, by cargo-deny over `deny.toml`; installs it into `target/tools` when
//! it is on neither PATH nor there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{tools, workspace};

const VERSION: &str = "0.20.2";

/// Runs cargo-deny.
///
/// # Errors
/// When it cannot be installed, or finds something.
pub fn run() -> Result<()> {
    let program = program()?;
    // Advisories need a clone of their data base, which not every network has; the other three need only Cargo.lock.
    let status = Command::new(&program)
        .args(["--workspace", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"])
        .current_dir(workspace::root())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "cargo-deny found something");
    Ok(())
}

fn program() -> Result<PathBuf> {
    if tools::on_path("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let installed = tools::dir().join("bin/cargo-deny");
    if !installed.exists() {
        install()?;
    }
    Ok(installed)
}

/// Builds cargo-deny from its own lock file, unoptimised: it runs for a second, and compiles for minutes as it is.
fn install() -> Result<()> {
    eprintln!("deny: installing cargo-deny {VERSION}");
    let status = Command::new("cargo")
        .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--quiet", "--debug"])
        .args(["--no-default-features", "--root"])
        .arg(tools::dir())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TARGET_DIR", tools::dir().join("build-deny"))
        .current_dir(workspace::root())
        .status()
        .context("cannot run cargo install")?;
    ensure!(status.success(), "cargo install cargo-deny failed");
    std::fs::remove_dir_all(tools::dir().join("build-deny"))
        .context("cannot remove cargo-deny's build folder")
}
