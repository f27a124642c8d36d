//! Finds the programs that tests drive: in `target/tools` (put there by `cargo xtask tools`), else on PATH.

use std::path::PathBuf;

use crate::binary;

/// The folder that `cargo xtask tools` fills.
pub fn dir() -> PathBuf {
    binary::target_dir().join("tools")
}

/// A program by name, or `None` with a note on stderr when it is not installed, so that the test is left out.
///
/// # Panics
/// When the program is missing and `CI` or `PINTLE_REQUIRE_TOOLS` is set: there, leaving tests out is failing.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(dir().join("bin")).chain(std::env::split_paths(&path));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        absent(program);
    }
    found
}

/// A file or folder below `target/tools`, or `None` as for `find`.
///
/// # Panics
/// As `find`.
pub fn find_below(path: &str) -> Option<PathBuf> {
    let found = dir().join(path);
    if found.exists() {
        return Some(found);
    }
    absent(path);
    None
}

fn absent(what: &str) {
    let required = ["CI", "PINTLE_REQUIRE_TOOLS"].iter().any(|name| std::env::var_os(name).is_some());
    assert!(!required, "{what} is not installed: run `cargo xtask tools`");
    eprintln!("left out: {what} is not installed; `cargo xtask tools` installs it");
}
