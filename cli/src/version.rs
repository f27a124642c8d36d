//! `pintle version`.

use anyhow::Context;
use std::io::Write;

/// The Kubernetes release whose API is served.
const KUBERNETES: &str = "v1.36.2";

pub fn run() -> anyhow::Result<()> {
    let text = format!("pintle {} (Kubernetes {KUBERNETES})\n", env!("CARGO_PKG_VERSION"));
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the version")
}
