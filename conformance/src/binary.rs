//! Finds the binary under test: `PINTLE_BIN` when set, else what cargo builds for the package `pintle` now.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The binary's path. Built at most once in a process.
///
/// # Panics
/// When `PINTLE_BIN` names no file, or cargo cannot build the binary: then no test can say anything.
pub fn path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("PINTLE_BIN") {
        Some(given) => {
            let given = PathBuf::from(given);
            assert!(given.is_file(), "PINTLE_BIN is {}, which is no file", given.display());
            given
        }
        None => build(),
    })
    .clone()
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "pintle"])
        .current_dir(root())
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "cargo build --package pintle failed");
    target_dir().join("debug/pintle")
}

/// The repository's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Cargo's target folder, `CARGO_TARGET_DIR` respected.
pub fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
