//! The way to a running server, for commands that ask it something: a kubeconfig.

use crate::flags::Data;
use anyhow::Context;
use api::Remote;
use client::kubeconfig;
use std::path::{Path, PathBuf};

/// How the server is reached: by the file given, else by the first of `$KUBECONFIG`, the cluster's own, the user's.
pub fn find(given: Option<&Path>, data: &Data) -> anyhow::Result<Remote> {
    kubeconfig::read(&path(given, data)?).map_err(anyhow::Error::msg)
}

fn path(given: Option<&Path>, data: &Data) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    if let Some(paths) = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
        return std::env::split_paths(&paths).next().context("KUBECONFIG names no file");
    }
    let own = data.dir().map(|dir| dir.join("admin.kubeconfig"));
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let known = own.into_iter().chain(home).find(|path| path.exists());
    known.context("no kubeconfig found: say --kubeconfig FILE")
}
