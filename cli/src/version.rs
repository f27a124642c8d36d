//! `pintle version`.

use anyhow::Context;
use std::io::Write;

pub fn run() -> anyhow::Result<()> {
    let text = format!("pintle {} (Kubernetes {})\n", env!("CARGO_PKG_VERSION"), apiserver::VERSION);
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the version")
}
