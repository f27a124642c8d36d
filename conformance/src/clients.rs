//! Clients in other languages: scripts beside this crate, run with the libraries that `cargo xtask tools` installed.

use std::process::{Command, Output};

use crate::{Server, binary, tools};

/// Runs `clients/NAME` with the Python client; `None` when it is not installed.
///
/// # Panics
/// When Python cannot be run.
pub fn python(server: &Server, name: &str) -> Option<Output> {
    let library = tools::find_below("python/kubernetes")?;
    let mut command = Command::new(tools::find("python3")?);
    command.env("PYTHONPATH", library.parent()?).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(run(command, server, name))
}

/// Runs `clients/NAME` with the JavaScript client; `None` when it is not installed.
///
/// # Panics
/// When Node cannot be run.
pub fn javascript(server: &Server, name: &str) -> Option<Output> {
    let library = tools::find_below("node/node_modules/@kubernetes/client-node/dist/index.js")?;
    let mut command = Command::new(tools::find("node")?);
    command.env("CLIENT_LIBRARY", library);
    Some(run(command, server, name))
}

fn run(mut command: Command, server: &Server, name: &str) -> Output {
    command.arg(binary::root().join("conformance/clients").join(name));
    command.env("KUBECONFIG", server.kubeconfig()).env("HOME", server.folder());
    command.output().unwrap_or_else(|error| panic!("cannot run {name}: {error}"))
}
