//! Where things are: the repository's root, the target folder, the tracked files and the rooms.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The repository's root: the parent of this crate's folder.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Cargo's target folder, `CARGO_TARGET_DIR` respected.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// One text file of the repository, its path relative to the root with forward slashes.
pub struct Source {
    /// For example `api/src/value.rs`.
    pub path: String,
    /// The file's text.
    pub text: String,
}

impl Source {
    /// The folder that the file is in, which is its crate's folder: `api` for `api/src/value.rs`.
    pub fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or("")
    }

    /// Whether the whole file is test code: a file below `tests/`, `fuzz/`, `benches/` or `examples/`, or a module named `tests`.
    pub fn is_test(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap_or("");
        let folders = ["/tests/", "/fuzz/", "/benches/", "/examples/"];
        stem == "tests.rs" || stem.ends_with("_tests.rs") || folders.iter().any(|f| self.path.contains(f))
    }

    /// Whether the file is written by `cargo xtask generate`: its head says `@generated`.
    pub fn is_generated(&self) -> bool {
        self.text.lines().take(5).any(|line| line.contains("@generated"))
    }
}

/// All text files that git tracks or would track; binary files are left out.
///
/// # Errors
/// When git cannot list the files.
pub fn sources() -> Result<Vec<Source>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(Source { path: path.to_owned(), text })
    };
    Ok(listing.lines().filter_map(read).collect())
}
