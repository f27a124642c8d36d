//! The kubelet: puts its parts together.

use crate::pods::Pods;
use crate::{Runtime, Settings};
use client::Client;

/// A kubelet at work. It ends with the runtime; containers go on.
#[derive(Clone)]
pub struct Kubelet {
    pub pods: Pods,
    pub runtime: Runtime,
}

/// Starts a kubelet; `client` has the identity of the node.
///
/// # Errors
/// When a folder cannot be made, or the machine cannot be read.
pub async fn start(settings: Settings, client: Client) -> std::io::Result<Kubelet> {
    let _ = (client, &settings.root);
    Ok(Kubelet { pods: Pods::default(), runtime: Runtime::new(&settings.containerd) })
}
